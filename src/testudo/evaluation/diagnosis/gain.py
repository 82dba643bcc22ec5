"""Further harm beside the harm done, for tasks whose answers are not right or wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from testudo.evaluation.columns import Array
from testudo.evaluation.diagnosis.intervals import TAIL
from testudo.evaluation.summarise import resamples_of

REPLICATES = 2000


def gain(more: ArrayLike, first: ArrayLike, clean: ArrayLike) -> tuple[float, float, float]:
    """(mean more - mean first) / (mean first - mean clean), each (n,), with its 99 % percentile bootstrap interval.

    0 where nothing is gained; infinite where something is and the first did no harm.

    >>> gain([3.0, 3.0, 3.0], [2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    (1.0, 1.0, 1.0)
    """
    values = np.stack([np.asarray(each, float) for each in (more, first, clean)])
    n = values.shape[1]
    means = np.concatenate([np.ones((1, n)), *resamples_of(n, REPLICATES, 0)]) @ values.T / n
    ratios = ratio(means[:, 0] - means[:, 1], means[:, 1] - means[:, 2])
    low, high = (np.quantile(ratios[1:], q, method="nearest") for q in (TAIL, 1 - TAIL))
    return float(ratios[0]), float(low), float(high)


def ratio(added: ArrayLike, done: ArrayLike) -> Array:
    """``added`` over ``done``, elementwise; infinite with the sign of ``added`` where nothing was done, 0 for 0.

    >>> ratio([1.0, 2.0, 0.0], [4.0, 0.0, -1.0])
    array([0.25,  inf, 0.  ])
    """
    a, d = np.asarray(added, float), np.asarray(done, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a == 0, 0.0, np.where(d > 0, a / d, np.sign(a) * np.inf))
