from __future__ import annotations

from math import comb

import numpy as np
import polars as pl
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS
from testudo.evaluation.mcnemar import exact_difference, mcnemar
from testudo.evaluation.significance import COMPARISONS, compare, compare_groups, comparisons

hits = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)


def rows_of(run, right, *, attack="clean", metric="accuracy", start=0) -> pl.DataFrame:
    """Rows of a run that tells ``right`` (n,) examples right (for error: that is off by ``right``)."""
    right = np.asarray(right, np.float32)
    record = np.stack([right, np.full_like(right, metric == "accuracy")], 1)
    return pl.DataFrame(
        {
            "run": run,
            "example": np.arange(start, start + len(right)),
            "task": "digit",
            "metric": metric,
            "further": [[]] * len(right),
            "attack": attack,
            "family": attack,
            "norm": "",
            "eps": 0.0,
            "steps": 0,
            "objective": "",
            "score": right,
            "loss": 0.0,
            "linf": 0.0,
            "l2": 0.0,
            "record": record.tolist(),
        },
        schema=ROWS,
    )


def random_hits(n, share, seed):
    return np.random.default_rng(seed).random(n) < share


@given(hits)
def test_mcnemar_is_the_binomial_sum(pairs):
    a, b = np.array([x for x, _ in pairs], bool), np.array([y for _, y in pairs], bool)
    found = mcnemar(a, b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n, small = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(n, k) for k in range(small + 1)) / 2**n
    assert (found.b, found.c, found.statistic) == (only_a, only_b, small)
    assert found.p == pytest.approx(min(1, 2 * tail))
    if n:
        assert found.p == pytest.approx(scipy.stats.binomtest(only_a, n).pvalue)


def test_mcnemar_needs_the_same_examples():
    with pytest.raises(TestudoError, match="the same examples twice, got 2 and 1"):
        mcnemar([1, 0], [1])


def test_compare_pairs_on_the_examples_both_have():
    rows = pl.concat([rows_of("a", np.ones(30)), rows_of("b", random_hits(40, 0.5, 0), start=10)])
    found = compare(rows, "a", "b", "digit", "clean")
    share = random_hits(40, 0.5, 0)[:20].mean()
    assert found.n == 20
    assert found.difference == pytest.approx(1 - share)
    assert (found.b, found.c) == ((round(20 * (1 - share)),), (0,))
    assert found.low < found.difference < found.high
    assert (found.value, found.counterpart_value) == (1, pytest.approx(share))


def test_a_paired_interval_is_narrower_than_an_unpaired_one():
    first = random_hits(400, 0.6, 0)
    second = first.copy()
    second[:8] = ~second[:8]
    found = compare(pl.concat([rows_of("a", first), rows_of("b", second)]), "a", "b", "digit", "clean")
    assert found.high - found.low < 0.04  # unpaired it would be about 0.14
    same = compare(pl.concat([rows_of("a", first), rows_of("b", first)]), "a", "b", "digit", "clean")
    assert (same.difference, same.p_values) == (0, (1.0,))
    assert same.high == -same.low == pytest.approx(0.0092, abs=1e-4)  # where 400 agree, others may not


@pytest.mark.parametrize("more", range(13))
@pytest.mark.parametrize("less", [0, 1, 4, 11])
def test_few_differing_examples_are_called_different_only_where_mcnemar_does(more, less):
    first, second = np.zeros(200, bool), np.zeros(200, bool)
    first[:more] = second[50 : 50 + less] = True
    found = compare(pl.concat([rows_of("a", first), rows_of("b", second)]), "a", "b", "digit", "clean")
    assert found.low <= found.difference <= found.high
    apart = found.low > 0 or found.high < 0
    assert not apart or found.p_values[0] < 0.05


def test_many_differing_examples_keep_the_bootstrap():
    change = np.r_[np.ones(24), np.zeros(76)]
    assert exact_difference(change)[1] == pytest.approx(0.24)
    assert np.isnan(exact_difference(np.r_[change, 1])).all()
    assert exact_difference(change / 2)[1] == pytest.approx(0.12)  # of two pairs, one alone differs


def test_an_interval_of_a_rare_difference_covers():
    generator, covered = np.random.default_rng(0), 0
    for seed in range(200):
        hit = generator.random((2, 300)) < [[0.996], [1.0]]
        found = compare(pl.concat([rows_of("a", hit[0]), rows_of("b", hit[1])]), "a", "b", "digit", "clean", 200, seed)
        covered += found.low <= -0.004 <= found.high
    assert covered >= 190  # the bootstrap alone misses where all agree, three times in ten


def test_errors_have_an_interval_and_no_p():
    rows = pl.concat([rows_of("a", np.arange(9), metric="error"), rows_of("b", np.zeros(9), metric="error")])
    found = compare(rows, "a", "b", "digit", "clean", resamples=200)
    assert found.difference == 4
    assert found.low < 4 < found.high
    assert found.p_values == found.b == found.c == ()


def test_groups_are_paired_seed_by_seed():
    seeds = {
        name: random_hits(50, share, i)
        for i, (name, share) in enumerate({"a0": 0.9, "a1": 0.8, "b0": 0.6, "b1": 0.5}.items())
    }
    rows = pl.concat([rows_of(name, right) for name, right in seeds.items()])
    found = compare_groups(rows, ["a0", "a1"], ["b0", "b1"], "digit", "clean", resamples=400)
    mean = {k: seeds[k].mean() for k in seeds}
    assert found.difference == pytest.approx((mean["a0"] + mean["a1"] - mean["b0"] - mean["b1"]) / 2)
    assert found.p_values == (mcnemar(seeds["a0"], seeds["b0"]).p, mcnemar(seeds["a1"], seeds["b1"]).p)
    turned = compare_groups(rows, ["b0", "b1"], ["a0", "a1"], "digit", "clean", resamples=400)
    assert (turned.low, turned.high, turned.b) == (pytest.approx(-found.high), pytest.approx(-found.low), found.c)


@pytest.mark.parametrize("true_difference", [0.0, 0.1])
def test_the_joint_interval_covers(true_difference):
    covered = 0
    for seed in range(60):
        rows = pl.concat(
            [
                rows_of("a", random_hits(150, 0.6 + true_difference, seed)),
                rows_of("b", random_hits(150, 0.6, 999 - seed)),
            ]
        )
        found = compare(rows, "a", "b", "digit", "clean", resamples=200, seed=seed)
        covered += found.low <= true_difference <= found.high
    assert covered >= 51


def test_comparisons_cover_what_both_have():
    groups = [
        {"name": "single", "runs": ["s"], "counterpart": None},
        {"name": "multi", "runs": ["m"], "counterpart": "single"},
    ]
    rows = pl.concat(
        [
            rows_of("s", random_hits(30, 0.5, 0)),
            rows_of("m", random_hits(30, 0.7, 1)),
            rows_of("m", random_hits(30, 0.2, 1), attack="pgd"),
        ]
    )
    found = comparisons(rows, groups, resamples=50)
    assert found.schema == COMPARISONS
    row = found.row(0, named=True)
    assert (len(found), row["group"], row["counterpart"], row["attack"]) == (1, "multi", "single", "clean")
    one = compare(rows, "m", "s", "digit", "clean", resamples=50)
    assert (row["difference"], row["low"], row["high"], tuple(row["p_values"])) == (
        one.difference,
        one.low,
        one.high,
        one.p_values,
    )
    assert comparisons(rows, groups[:1], resamples=5).schema == COMPARISONS


def test_mistakes_are_told_in_one_line():
    rows = pl.concat([rows_of("a", [1, 0]), rows_of("b", [1, 0], start=5)])
    with pytest.raises(TestudoError, match="run 'c' has no rows for task 'digit' under attack 'clean'"):
        compare(rows, "a", "c", "digit", "clean")
    with pytest.raises(TestudoError, match="no labelled example in common"):
        compare(rows, "a", "b", "digit", "clean")
    with pytest.raises(TestudoError, match="seed by seed, got 2 and 1 runs"):
        compare_groups(rows, ["a", "b"], ["b"], "digit", "clean")
    with pytest.raises(TestudoError, match="did you mean 'single'"):
        comparisons(rows, [{"name": "single", "runs": ["a"], "counterpart": "singl"}])
