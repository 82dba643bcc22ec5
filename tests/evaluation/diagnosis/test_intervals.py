"""Exact intervals against definitions, brute force and independent libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import proportion_confint

from testudo.evaluation.diagnosis.gain import gain, ratio
from testudo.evaluation.diagnosis.intervals import (
    FEWEST,
    LEVEL,
    TAIL,
    Contest,
    contest,
    enough_to_exceed,
    enough_to_exclude,
    enough_to_win,
    median,
    share,
)


@settings(deadline=None)  # scipy builds its tables at the first call
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_is_clopper_and_pearson(counts):
    found = share(*counts)
    assert (found.low, found.high) == pytest.approx(proportion_confint(*counts, 1 - LEVEL, "beta"), abs=1e-9)
    assert found.low <= found.value <= found.high


def test_a_share_of_nothing_is_unknown():
    found = share(0, 0)
    assert (found.low, found.high) == (0, 1)
    assert math.isnan(found.value)


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_contest_is_won_where_the_one_sided_sign_test_says_so(more, fewer):
    won = Contest(200, more, fewer).won
    assert won == (more + fewer > 0 and binomtest(more, more + fewer, 0.5, "greater").pvalue < TAIL)


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_contest_turned_round_is_its_mirror(more, fewer):
    there, back = Contest(150, more, fewer), Contest(150, fewer, more)
    assert there.lead == -back.lead
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.interval[0] <= there.lead <= there.interval[1]


def test_a_contest_counts_what_differs_by_more_than_rounding():
    found = contest([1.0, 2.0, 3.0, -5.0, 0.0], [1.0 + 1e-9, 1.0, 4.0, -5.1, 0.0])
    assert (found.n, found.more, found.fewer) == (5, 2, 1)


def test_no_difference_is_known_as_well_as_its_examples_allow():
    assert Contest(1000, 0, 0).interval == pytest.approx((-share(0, 1000).high, share(0, 1000).high))
    assert not Contest(1000, 0, 0).won


@pytest.mark.parametrize("n", [8, 9, 50, 101])
def test_the_interval_of_a_median_holds_it_as_often_as_it_says(n):
    found = median(np.arange(n))
    below = int(found.low)  # it lies above the true median where no more than so many values lie below that
    missed = binom.cdf(below, n, 0.5) + binom.sf(found.high, n, 0.5)
    assert missed <= 1 - LEVEL
    assert binom.cdf(below + 1, n, 0.5) >= TAIL  # the next narrower one would miss too often


def test_few_values_do_not_hold_a_median():
    assert math.isinf(median(range(FEWEST - 1)).high)
    assert math.isfinite(median(range(FEWEST)).high)
    assert math.isnan(median([]).value)


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.1])
def test_enough_to_exclude_is_the_least_that_excludes(limit):
    n = enough_to_exclude(limit)
    assert share(0, n).high <= limit < share(0, n - 1).high


def test_enough_to_win_and_to_exceed_are_enough():
    times = enough_to_win(Contest(50, 4, 1)) // 50
    assert Contest(50 * times, 4 * times, times).won
    assert not Contest(50 * (times - 1), 4 * (times - 1), times - 1).won
    times = enough_to_exceed(share(4, 50), 0.05) // 50
    assert share(4 * times, 50 * times).low > 0.05 >= share(4 * (times - 1), 50 * (times - 1)).low


def test_a_gain_that_is_the_same_everywhere_is_certain():
    clean = np.array([1.0, 1.0, 1.0, 1.0])
    assert gain(clean + 3, clean + 2, clean) == (0.5, 0.5, 0.5)
    assert gain(clean, clean, clean) == (0, 0, 0)
    assert gain(clean + 1, clean, clean) == (math.inf, math.inf, math.inf)


def test_the_interval_of_a_gain_widens_with_noise_and_holds_it():
    draw = np.random.default_rng(0)
    clean, first = np.zeros(200), draw.uniform(0.5, 1.5, 200)
    more = first + draw.uniform(0, 1, 200)
    value, low, high = gain(more, first, clean)
    assert low < value < high
    assert value == pytest.approx((more.mean() - first.mean()) / first.mean())
    assert high - low < 0.4


def test_ratio_of_nothing_done():
    assert ratio([1, -1, 0, 1], [0, 0, 0, -2]).tolist() == [math.inf, -math.inf, 0, math.inf]
