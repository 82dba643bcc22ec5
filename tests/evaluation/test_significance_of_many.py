"""Many tests at once: every pair of runs, and p values corrected for their number."""

from __future__ import annotations

import gc
from itertools import combinations

import numpy as np
import polars as pl
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS
from testudo.evaluation.mcnemar import corrected, mcnemar
from testudo.evaluation.significance import PAIRWISE, compare, comparisons, pairwise


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Without the garbage collection that statsmodels makes in each correction, a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)
        yield


chances = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def rows_of(run, right, task="digit", attack="clean", metric="accuracy"):
    """Rows of a run that tells ``right`` (n,) examples right, NaN: without a label."""
    right = np.asarray(right, np.float32)
    told = {"run": run, "example": np.arange(len(right)), "task": task, "metric": metric, "attack": attack}
    record = [[value, 1.0] for value in right.tolist()]
    rest = {"family": attack, "norm": "", "eps": 0.0, "steps": 0, "objective": "", "loss": 0.0, "linf": 0.0, "l2": 0.0}
    return pl.DataFrame({**told, **rest, "further": [[]] * len(right), "score": right, "record": record}).select(
        *[pl.col(name).cast(kind) for name, kind in ROWS.items()]
    )


def hits(share, seed, n=80):
    return (np.random.default_rng(seed).random(n) < share).astype(float)


RUNS = {"a": hits(0.9, 0), "b": hits(0.6, 1), "c": hits(0.55, 2), "d": hits(0.3, 3)}


@given(chances)
def test_holm_is_by_hand(p):
    order, n = np.argsort(p, kind="stable"), len(p)
    wanted, worst = np.empty(n), 0.0
    for rank, at in enumerate(order):
        worst = max(worst, min(1, (n - rank) * p[at]))
        wanted[at] = worst
    found = corrected(p)
    assert found == pytest.approx(wanted)
    assert (found >= np.array(p) - 1e-15).all()
    assert (found <= np.minimum(1, n * np.array(p)) + 1e-15).all()  # never beyond Bonferroni


@given(chances)
def test_benjamini_and_hochberg_are_scipys(p):
    found = corrected(p, "benjamini-hochberg")
    assert found == pytest.approx(scipy.stats.false_discovery_control(p))
    assert (found <= corrected(p) + 1e-12).all()


def test_one_p_needs_no_correction_and_none_none():
    assert corrected([0.03]) == corrected([0.03], "benjamini-hochberg") == 0.03
    assert corrected([]).tolist() == []


def test_false_alarms_among_many_are_kept_down():
    """Twenty tests of nothing, 400 times over: the uncorrected ones cry wolf in 64 % of cases."""
    p = np.random.default_rng(0).random((400, 20))
    alarms = {
        name: np.mean([(corrected(row, name) < 0.05).any() for row in p]) for name in ("holm", "benjamini-hochberg")
    }
    assert (p < 0.05).any(1).mean() > 0.55
    assert max(alarms.values()) < 0.09


def test_every_pair_is_tested_once():
    rows = pl.concat([rows_of(run, right) for run, right in RUNS.items()])
    found = pairwise(rows)
    assert found.schema == PAIRWISE
    assert found.select("first", "second").rows() == list(combinations(RUNS, 2))
    for row in found.iter_rows(named=True):
        test = mcnemar(RUNS[row["first_run"]], RUNS[row["second_run"]])
        assert (row["b"], row["c"], row["statistic"], row["p"]) == test
        assert row["n"] == 80
    assert found["adjusted"].to_list() == pytest.approx(corrected(found["p"].to_numpy()).tolist())
    other = pairwise(rows, correction="benjamini-hochberg")
    assert other["adjusted"].to_list() == pytest.approx(scipy.stats.false_discovery_control(found["p"]).tolist())


def test_pairs_share_task_attack_examples_and_accuracy():
    gaps = RUNS["b"].copy()
    gaps[:20] = np.nan
    rows = pl.concat(
        [
            *(rows_of(run, RUNS[run]) for run in "ac"),
            rows_of("b", gaps),
            *(rows_of(run, RUNS[run], attack="pgd") for run in "ab"),
            *(rows_of(run, RUNS[run], task="parity") for run in "a"),
            *(rows_of(run, RUNS[run], task="angle", metric="error") for run in "ab"),
        ]
    )
    found = pairwise(rows).sort("attack", "first", "second")
    told = found.select("task", "attack", "first", "second", "n").rows()
    assert told == [
        *[("digit", "clean", "a", "b", 60), ("digit", "clean", "a", "c", 80), ("digit", "clean", "c", "b", 60)],
        ("digit", "pgd", "a", "b", 80),
    ]
    assert found.row(0, named=True)["p"] == mcnemar(RUNS["a"][20:], RUNS["b"][20:]).p


def test_seeds_of_a_group_meet_those_of_another():
    rows = pl.concat([rows_of(run, right) for run, right in RUNS.items()])
    found = pairwise(rows, {"a": "good", "b": "good", "d": "bad", "c": "bad"})
    assert found.select("first", "second", "first_run", "second_run").rows() == [
        ("good", "bad", "a", "d"),
        ("good", "bad", "b", "c"),
    ]
    assert len(pairwise(rows, {"a": "one", "b": "two"})) == 1
    assert pairwise(rows, {"a": "alone"}).schema == PAIRWISE
    with pytest.raises(TestudoError, match="unknown run 'z'"):
        pairwise(rows, {"z": "x"})
    with pytest.raises(TestudoError, match="seed by seed, got 2 and 1"):
        pairwise(rows, {"a": "x", "b": "x", "c": "y"})
    with pytest.raises(TestudoError, match="unknown correction 'holms'; did you mean 'holm'"):
        pairwise(rows, correction="holms")


def test_comparisons_are_corrected_over_the_table():
    groups = [
        {"name": "one", "runs": ["a", "b"], "counterpart": None},
        {"name": "two", "runs": ["c", "d"], "counterpart": "one"},
        {"name": "three", "runs": ["d", "c"], "counterpart": "one"},
    ]
    rows = pl.concat([rows_of(run, right) for run, right in RUNS.items()])
    rows = pl.concat([rows, *(rows_of(run, RUNS[run], task="angle", metric="error") for run in RUNS)])
    found = comparisons(rows, groups, resamples=5)
    p = [value for each in found["p_values"].to_list() for value in each]
    assert len(p) == 4
    assert [v for each in found["adjusted"].to_list() for v in each] == pytest.approx(corrected(p).tolist())
    assert [len(each) for each in found["adjusted"]] == [len(each) for each in found["p_values"]]
    other = comparisons(rows, groups, resamples=5, correction="benjamini-hochberg")
    assert other["p_values"].to_list() == found["p_values"].to_list()
    assert other["adjusted"].to_list() != found["adjusted"].to_list()
    one = compare(rows, "a", "b", "digit", "clean", resamples=5)
    assert one.adjusted == one.p_values


def test_p_values_are_chances():
    for wrong in ([1.5], [-0.1], [0.5, float("nan")]):
        with pytest.raises(TestudoError, match="p values must be from 0 to 1, got"):
            corrected(wrong)
    with pytest.raises(TestudoError, match="unknown correction 'bonferroni'"):
        corrected([0.1], "bonferroni")
