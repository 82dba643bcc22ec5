"""Exact intervals for shares, for paired contests and for medians: what decides whether a finding is more than noise.

All are exact (no normal approximation) and two-sided at :data:`LEVEL`. Needs no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, binom

LEVEL = 0.99  # of every interval: some ten checks are made of one model, and together they may err one time in ten
TAIL = (1 - LEVEL) / 2
SLACK = 1e-6  # of a number: a larger one within it is no larger
FEWEST = 8  # tosses of a coin that, all heads, are rarer than the tail


class Share(NamedTuple):
    """``count`` of ``n`` examples, with the Clopper-Pearson interval of the share."""

    count: int
    n: int
    value: float
    low: float
    high: float

    def numbers(self) -> dict[str, float]:
        """For a finding's evidence."""
        return {"share": self.value, "low": self.low, "high": self.high, "count": self.count, "n": self.n}


def share(count: int, n: int) -> Share:
    """``count`` of ``n`` (Clopper and Pearson 1934); of none of none the interval is [0, 1].

    >>> found = share(10, 200)
    >>> round(found.low, 3), found.value, round(found.high, 3)
    (0.019, 0.05, 0.104)
    """
    low = float(beta.ppf(TAIL, count, n - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - TAIL, count + 1, n - count)) if count < n else 1.0
    return Share(count, n, count / n if n else math.nan, low, high)


@dataclass(frozen=True)
class Contest:
    """Two attacks on the same examples: where the first does more harm, and where the second does.

    The exact sign test on the examples that they differ on, which is McNemar's where harm is right or wrong: with
    ``more`` and ``fewer`` of them, the share more / (more + fewer) has a Clopper-Pearson interval, and so has
    ``lead`` = (more - fewer) / n, given how many differ.

    Args:
        n: examples.
        more: on how many the first does more harm.
        fewer: on how many less.
    """

    n: int
    more: int
    fewer: int

    @property
    def lead(self) -> float:
        """(more - fewer) / n."""
        return (self.more - self.fewer) / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Of the lead; where they never differ, of the least and the largest share that would not have shown."""
        differ = self.more + self.fewer
        if differ == 0:
            far = share(0, self.n).high
            return -far, far
        found = share(self.more, differ)
        return ((2 * found.low - 1) * differ / self.n, (2 * found.high - 1) * differ / self.n)

    @property
    def won(self) -> bool:
        """Whether the first does more harm than the second, beyond chance."""
        return self.interval[0] > 0

    def numbers(self) -> dict[str, float]:
        """For a finding's evidence."""
        low, high = self.interval
        return {"lead": self.lead, "low": low, "high": high, "more": self.more, "fewer": self.fewer, "n": self.n}


def contest(first: ArrayLike, second: ArrayLike) -> Contest:
    """Two attacks' harm (n,) on the same examples; harms closer than a millionth of the larger count as equal.

    >>> found = contest([1] * 12 + [0] * 88, [0] * 100)
    >>> found.more, found.lead, found.won
    (12, 0.12, True)
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    slack = SLACK * np.maximum(np.abs(a), np.abs(b))
    return Contest(len(a), int((a > b + slack).sum()), int((b > a + slack).sum()))


class Median(NamedTuple):
    """The median of some values, and its interval."""

    value: float
    low: float
    high: float


def median(values: ArrayLike) -> Median:
    """The median of ``values`` (n,), and its exact interval between two of them; NaN for none.

    The k-th smallest value lies above the true median with the probability that fewer than k of n tosses of a coin
    are heads. With fewer than FEWEST values no two of them hold the median at this level, and the interval is infinite.

    >>> median(range(101))
    Median(value=50.0, low=37.0, high=63.0)
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    if n == 0:
        return Median(math.nan, -math.inf, math.inf)
    below = int(binom.ppf(TAIL, n, 0.5))  # the largest k for which fewer than k heads are as rare as the tail
    if below == 0:
        return Median(float(np.median(ordered)), -math.inf, math.inf)
    return Median(float(np.median(ordered)), float(ordered[below - 1]), float(ordered[n - below]))


def enough_to_exclude(limit: float) -> int:
    """The fewest examples of which none may show a thing so that its share is surely below ``limit``.

    >>> enough_to_exclude(0.05)
    104
    """
    return math.ceil(math.log(TAIL) / math.log(1 - limit))


def enough_to_win(found: Contest) -> int:
    """About how many examples it takes for this lead to be told from chance, should it last.

    >>> enough_to_win(Contest(100, 6, 1))
    300
    """
    for times in range(1, 1000):
        if Contest(found.n * times, found.more * times, found.fewer * times).won:
            return found.n * times
    return found.n * 1000


def enough_to_exceed(found: Share, limit: float) -> int:
    """About how many examples it takes for this share to be surely above ``limit``, should it last.

    >>> enough_to_exceed(share(8, 100), 0.05)
    500
    """
    for times in range(1, 1000):
        if share(found.count * times, found.n * times).low > limit:
            return found.n * times
    return found.n * 1000
