from __future__ import annotations

from itertools import combinations
from math import comb, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from testudo.errors import TestudoError
from testudo.evaluation.theory.gradients import Gradients
from testudo.evaluation.theory.theorem import (
    MANY_TASKS,
    TWO_TASKS,
    corollary,
    many_tasks,
    pooled,
    predicted,
    subsets,
    two_tasks,
)

NAMES = tuple("abcdef")
EQUAL = np.array([[4.0, 1.0, -2.0], [1.0, 4.0, 0.5], [-2.0, 0.5, 4.0]])
UNEQUAL = np.array([[9.0, 1.0, -2.0], [1.0, 1.0, 0.5], [-2.0, 0.5, 4.0]])


def exact(covariance, dims=3, mean=None):
    """Gradients whose covariances over the examples are ``covariance`` to rounding, and whose mean is ``mean``.

    Columns of a Hadamard matrix have mean 0, variance 1 and no covariance with each other.
    """
    tasks = len(covariance)
    size = 1 << (tasks * dims).bit_length()
    free = hadamard(size)[:, 1 : 1 + tasks * dims].reshape(size, tasks, dims)
    values = np.linalg.cholesky(covariance / dims + 1e-300 * np.eye(tasks)) @ free
    return Gradients(NAMES[:tasks], torch.from_numpy(values + (0 if mean is None else mean)))


def noise(n=40, tasks=4, dims=5, seed=0, mean=0.0):
    """Any gradients."""
    drawn = np.random.default_rng(seed).normal(mean, 1, (n, tasks, dims)) * np.arange(1, tasks + 1)[:, None]
    return Gradients(NAMES[:tasks], torch.from_numpy(drawn))


def by_hand(gradients, names):
    """|R| of every example: (n,)."""
    at = [gradients.names.index(name) for name in names]
    return np.linalg.norm(gradients.values.numpy()[:, at].mean(1).reshape(len(gradients), -1), axis=1)


def test_the_theorem_is_exact_where_its_assumptions_hold():
    found = many_tasks(exact(EQUAL), resamples=20)
    for row in found.iter_rows(named=True):
        at, size = [NAMES.index(name) for name in row["tasks"]], row["size"]
        part = EQUAL[np.ix_(at, at)]
        ratios = sum(part[i, j] / part[i, i] for i in range(size) for j in range(i))
        square = 4 / size * (1 + 2 / size * ratios)
        assert row["predicted"] ** 2 == pytest.approx(square, abs=1e-10)
        assert row["rms"] ** 2 == pytest.approx(square, abs=1e-10)
        assert row["pooled"] ** 2 == pytest.approx(square, abs=1e-10)
        assert row["corollary"] == pytest.approx(2 / sqrt(size), abs=1e-12)
        assert row["centre"] == pytest.approx(0, abs=1e-12)


def test_independent_tasks_fall_as_the_root_of_their_number():
    found = many_tasks(exact(4 * np.eye(5)), resamples=20)
    assert np.abs(found["rms"] * found["size"].sqrt() - 2).max() < 1e-12
    assert np.abs(found["rms"] - found["corollary"]).max() < 1e-12
    assert np.abs(found["rms"] - found["predicted"]).max() < 1e-12


def test_equal_tasks_gain_nothing_and_opposed_ones_everything():
    one = exact(np.array([[4.0]])).values
    same = many_tasks(Gradients(NAMES[:4], one.expand(-1, 4, -1)), resamples=20)
    assert np.abs(same["predicted"] - 2).max() < 1e-12
    assert np.abs(same["measured"] - 2).max() < 1e-12
    both = many_tasks(Gradients(("a", "b"), torch.cat([one, -one], 1)), resamples=20).row(2, named=True)
    assert (both["measured"], both["rms"], both["predicted"]) == (0, 0, 0)
    assert both["corollary"] == pytest.approx(sqrt(2))  # what "upper-bounds the robustness" it does not


def test_unequal_variances_break_the_printed_form_and_not_the_pooled_one():
    gradients = exact(UNEQUAL)
    whole = many_tasks(gradients, sets=[NAMES[:3]], resamples=20).row(0, named=True)
    square = UNEQUAL.sum() / 9
    assert whole["rms"] ** 2 == pytest.approx(square, abs=1e-10)
    assert whole["pooled"] ** 2 == pytest.approx(square, abs=1e-10)
    ratios = 1 / 1 - 2 / 4 + 0.5 / 4
    assert whole["predicted"] ** 2 == pytest.approx(14 / 9 * (1 + 2 / 3 * ratios), abs=1e-10)
    assert abs(whole["predicted"] - whole["rms"]) > 0.05
    turned = many_tasks(gradients, sets=[("c", "b", "a")], resamples=20).row(0, named=True)
    assert turned["rms"] == pytest.approx(whole["rms"], abs=1e-12)
    assert abs(turned["predicted"] - whole["predicted"]) > 0.05


def test_the_printed_form_may_be_no_number():
    far = np.array([[100.0, -10.0], [-10.0, 1.0]])
    assert np.isnan(predicted(far))
    assert predicted(far[::-1, ::-1]) == pytest.approx(sqrt(101 / 4 * (1 - 10 / 100)))
    assert pooled(far) == 4.5
    assert predicted(np.diag([0.0, 1.0])) == pooled(np.diag([0.0, 1.0])) == 0.5


def test_means_that_are_not_zero_are_what_is_missing():
    mean = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [-1.0, 1.0, 1.0]])
    for row in many_tasks(exact(EQUAL, mean=mean), resamples=20).iter_rows(named=True):
        at = [NAMES.index(name) for name in row["tasks"]]
        centre = np.linalg.norm(mean[at].mean(0))
        assert row["centre"] == pytest.approx(centre, abs=1e-12)
        assert row["rms"] ** 2 - row["predicted"] ** 2 == pytest.approx(centre**2, abs=1e-10)


def test_the_norm_is_below_the_root_mean_square_by_its_variance():
    gradients = noise()
    for row in many_tasks(gradients, resamples=20).iter_rows(named=True):
        sizes = by_hand(gradients, row["tasks"])
        assert row["measured"] == pytest.approx(sizes.mean(), abs=1e-12)
        assert row["measured"] ** 2 == pytest.approx(row["rms"] ** 2 - sizes.var(), abs=1e-10)
        assert row["measured"] < row["rms"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 6), st.floats(-5, 5), st.integers(0, 999))
def test_the_identity_holds_for_any_gradients(n, tasks, dims, mean, seed):
    found = many_tasks(noise(n, tasks, dims, seed, mean), resamples=2)
    gap = found["rms"] ** 2 - found["pooled"] ** 2 - found["centre"] ** 2
    assert np.abs(gap).max() <= 1e-10 * (1 + (found["rms"] ** 2).max())
    assert len(found) == 2**tasks - 1
    assert (found["measured"] <= found["rms"] + 1e-12).all()


def test_half_labels_leave_each_set_its_own_examples():
    full, labelled = noise(30, 3), torch.ones(30, 3, dtype=torch.bool)
    labelled[:10, 0], labelled[20:, 1] = False, False
    found = many_tasks(Gradients(full.names, full.values * labelled[..., None], labelled), resamples=20)
    for row in found.iter_rows(named=True):
        at = [NAMES.index(name) for name in row["tasks"]]
        rows = labelled[:, at].all(1)
        alone = many_tasks(Gradients(full.names, full.values[rows]), sets=[row["tasks"]], resamples=20)
        assert alone.row(0, named=True) == row
    labelled[:, 2] = False
    few = many_tasks(Gradients(full.names, full.values, labelled), resamples=5)
    assert sorted(few["tasks"].to_list()) == [["a"], ["a", "b"], ["b"]]


@pytest.mark.parametrize("mean", [0.0, 1.5])
def test_intervals_cover(mean):
    """Of normal gradients with variances 1, 4, 9: the truth of the pooled form and of E|R|^2 is known."""
    hits = dict.fromkeys(("pooled", "rms"), 0)
    dims = 5
    truth = {"pooled": sqrt(dims * 14 / 9), "rms": sqrt(dims * 14 / 9 + dims * (2 * mean) ** 2)}
    for seed in range(150):
        made = noise(120, 3, dims, seed, mean)
        row = many_tasks(made, sets=[NAMES[:3]], resamples=400, seed=10_000 + seed).row(0, named=True)
        for name, value in truth.items():
            hits[name] += row[f"{name}_low"] <= value <= row[f"{name}_high"]
    assert min(hits.values()) >= 132  # 95 % of 150 are 142


def test_the_order_of_examples_and_the_block_do_not_matter(monkeypatch):
    gradients = noise(31)
    turned = Gradients(gradients.names, gradients.values.flip(0))
    exact_columns = ["measured", "rms", "predicted", "pooled", "corollary", "centre"]
    first, second = (many_tasks(each, resamples=5).select(exact_columns).to_numpy() for each in (gradients, turned))
    assert first == pytest.approx(second, rel=1e-12)
    monkeypatch.setattr("testudo.evaluation.theory.theorem._BLOCK", 1)
    assert many_tasks(gradients, resamples=5).select(exact_columns).to_numpy() == pytest.approx(first, rel=1e-12)
    half = Gradients(gradients.names, gradients.values.float())
    assert many_tasks(half, resamples=5).select(exact_columns).to_numpy() == pytest.approx(first, rel=1e-5)


def test_subsets_are_all_or_a_seeded_few():
    assert list(subsets("abcd", 6)) == [each for size in range(1, 5) for each in combinations("abcd", size)]
    few = list(subsets(NAMES, 7, seed=1))
    sizes = [len(each) for each in few]
    assert [sizes.count(size) for size in range(1, 7)] == [min(7, comb(6, size)) for size in range(1, 7)]
    assert len(set(few)) == len(few)
    assert few == list(subsets(NAMES, 7, seed=1)) != list(subsets(NAMES, 7, seed=2))
    assert few[20] == tuple(sorted(few[20]))


def test_two_weighted_tasks_to_the_last_digit():
    gradients = exact(np.array([[4.0, -3.0], [-3.0, 9.0]]))
    found = two_tasks(gradients, "a", "b", resamples=20)
    assert found.schema == TWO_TASKS
    assert len(found) == 21
    for row in found.iter_rows(named=True):
        a, b = row["first_weight"], row["second_weight"]
        k = 4 * a**2 + 9 * b**2
        square = k - 6 * a * b
        assert row["predicted"] ** 2 == pytest.approx(square, abs=1e-10)
        assert row["rms"] ** 2 == pytest.approx(square, abs=1e-10)
        assert row["root_k"] ** 2 == pytest.approx(k, abs=1e-10)
        assert row["factor"] ** 2 == pytest.approx(1 - 6 * a * b / k, abs=1e-10)


def test_the_factor_alone_misjudges_the_weights():
    """Between the tasks alone the factor sees no difference, and it is least elsewhere than the vulnerability."""
    sweep = tuple((a / 1000, 1 - a / 1000) for a in range(1001))
    found = two_tasks(exact(np.array([[4.0, -3.0], [-3.0, 9.0]])), "a", "b", sweep, resamples=2)
    ends = found[[0, -1]]
    assert ends["factor"].to_list() == pytest.approx([1, 1])
    assert ends["rms"].to_list() == pytest.approx([3, 2])
    least = {name: found["first_weight"][int(found[name].arg_min())] for name in ("rms", "factor")}
    assert least["rms"] == pytest.approx((9 + 3) / (4 + 9 + 6), abs=1e-3)  # the minimum-norm point, MGDA's
    assert least["factor"] == pytest.approx(3 / 5, abs=1e-3)  # where both weighted tasks are equally large
    nothing = two_tasks(exact(EQUAL), "a", "b", [(0, 0)], resamples=2).row(0, named=True)
    assert (nothing["rms"], nothing["factor"]) == (0, None)


def test_two_equal_weights_are_the_other_theorem():
    gradients = noise(mean=1.0)
    pair = two_tasks(gradients, "b", "d", [(0.5, 0.5)], resamples=50).row(0, named=True)
    many = many_tasks(gradients, sets=[("b", "d")], resamples=50).row(0, named=True)
    for name in ("measured", "rms", "measured_low", "measured_high"):
        assert pair[name] == pytest.approx(many[name], abs=1e-12)
    for end in ("", "_low", "_high"):
        assert pair[f"predicted{end}"] == pytest.approx(many[f"pooled{end}"], abs=1e-12)
    assert pair["rms"] ** 2 == pytest.approx(pair["predicted"] ** 2 + pair["centre"] ** 2, abs=1e-10)


def test_the_pure_forms_take_batches_of_matrices():
    stacked = np.stack([EQUAL, UNEQUAL])
    for form in (predicted, pooled, corollary):
        assert form(stacked) == pytest.approx([form(EQUAL), form(UNEQUAL)])


def test_mistakes_are_told_in_one_line():
    gradients = noise()
    with pytest.raises(TestudoError, match=r"unknown task 'e'.*allowed: a, b, c, d"):
        many_tasks(gradients, sets=[("a", "e")])
    for wrong in ((), ("a", "a")):
        with pytest.raises(TestudoError, match="one task or more, each once"):
            many_tasks(gradients, sets=[wrong])
    with pytest.raises(TestudoError, match="most must be at least 1, got 0"):
        many_tasks(gradients, most=0)
    with pytest.raises(TestudoError, match="two different tasks"):
        two_tasks(gradients, "a", "a")
    with pytest.raises(TestudoError, match=r"shape \(n, 2, ...\), got \(3, 4, 5\)"):
        Gradients(("a", "b"), torch.zeros(3, 4, 5))
    assert many_tasks(Gradients(("a",), torch.zeros(0, 1, 2))).schema == MANY_TASKS
