"""McNemar's exact test of two classifiers, its interval, and the correction of many p values for their number.

Needs no torch.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from testudo.errors import TestudoError, unknown
from testudo.evaluation.summarise import certain

FEW = 25  # differing examples, from which on an approximation is trusted; the common rule for McNemar's test
Correction = Literal["holm", "benjamini-hochberg"]
_METHODS = dict(zip(get_args(Correction), ("holm", "fdr_bh"), strict=True))  # as statsmodels calls them


class McNemar(NamedTuple):
    """The exact test on the examples two classifiers disagree on.

    Args:
        b: right in the first only.
        c: right in the second only.
        statistic: the smaller of both.
        p: two-sided, under Binomial(b + c, 1/2); 1 where they never disagree.
    """

    b: int
    c: int
    statistic: int
    p: float


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> McNemar:
    """McNemar's exact test of two classifiers' hits (n,) on the same examples.

    Raises:
        TestudoError: hits of different length.

    >>> mcnemar([1, 1, 1, 1, 0], [0, 0, 0, 1, 1])
    McNemar(b=3, c=1, statistic=1, p=0.625)
    """
    first, second = np.asarray(a_correct, bool), np.asarray(b_correct, bool)
    if first.shape != second.shape:
        raise TestudoError(f"McNemar's test needs the same examples twice, got {len(first)} and {len(second)}")
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    found = exact_mcnemar([[0, b], [c, 0]], exact=True)
    return McNemar(b, c, min(b, c), float(found.pvalue))


def exact_difference(change: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of a difference in accuracy that few examples decide; NaN where it takes no exact one.

    A bootstrap of 5 examples that differ, all of them to one side, never meets another side, and calls a difference
    certain that McNemar's test does not (p = 0.06). With fewer than :data:`FEW` the exact interval of the share that
    differs to the first side (Clopper and Pearson 1934) stands for it, times what differs: it has 0 in it
    where the sign test, for one pair of runs McNemar's, has p above 0.05. Where none differs, the most that could.

    Args:
        change: (n,) the first's hit less the second's, of several pairs their mean: in [-1, 1].

    >>> low, high = exact_difference([1] * 5 + [0] * 595)
    >>> round(low, 4), round(high, 4)
    (-0.0004, 0.0083)
    """
    values = np.asarray(change, float)
    differing, size = int((values != 0).sum()), float(np.abs(values).mean())
    if differing >= FEW:
        return math.nan, math.nan
    if differing == 0:
        _, most = certain(0.0, len(values))
        return -most, most
    low, high = proportion_confint(int((values > 0).sum()), differing, 0.05, "beta")
    return float(2 * low - 1) * size, float(2 * high - 1) * size


def corrected(p_values: ArrayLike, correction: Correction = "holm") -> NDArray[np.float64]:
    """The p values (n,) of n tests, corrected for their number: those below alpha are then called different.

    Args:
        p_values: in any order; of tests that may depend on each other.
        correction: ``"holm"`` (Holm 1979): the chance of any false alarm among all tests is at most alpha, however
            they depend on each other. ``"benjamini-hochberg"`` (1995): of those called different a share of at most
            alpha is false on average, where tests are independent or depend on each other positively.

    Raises:
        TestudoError: another correction, or p values outside [0, 1].

    >>> corrected([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    >>> corrected([0.01, 0.04, 0.03], "benjamini-hochberg").round(4).tolist()
    [0.03, 0.04, 0.04]
    """
    if correction not in _METHODS:
        raise unknown("correction", correction, _METHODS)
    values = np.asarray(p_values, float)
    wrong = values[~((values >= 0) & (values <= 1))]  # NaN fails both
    if wrong.size:
        raise TestudoError(f"p values must be from 0 to 1, got {wrong[0]:g}")
    if values.size < 2:  # nothing to correct, and statsmodels collects all garbage at each call: a tenth of a second
        return values
    return multipletests(values, method=_METHODS[correction])[1]
