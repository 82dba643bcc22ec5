"""What depths may be: a file in another unit than stated can be read, but is told of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor


class Range(NamedTuple):
    """Where the median of a map is expected, in ``unit``."""

    low: float
    high: float
    unit: str

    def doubt(self, path: Path, values: Tensor) -> str:
        """One line where the median of the known ``values`` (not NaN) lies outside; else, or without any, nothing.

        >>> from torch import tensor
        >>> Range(0.3, 20, "m").doubt(Path("depth/1.png"), tensor([2400.0, 2500.0, 2600.0]))
        "'depth/1.png': the median is 2.5e+03 m, outside 0.3 to 20 m; is it in another unit?"
        """
        middle = float(values[~values.isnan()].median()) if not values.isnan().all() else self.low
        if self.low <= middle <= self.high:
            return ""
        allowed = f"{self.low:g} to {self.high:g} {self.unit}"
        return f"{str(path)!r}: the median is {middle:.3g} {self.unit}, outside {allowed}; is it in another unit?"


def warn(name: str, doubts: Sequence[str]) -> None:
    """One warning for all ``doubts`` about data set ``name``: the first, and how many more; none without any."""
    if doubts:
        more = f" (and {len(doubts) - 1:,} more)" if len(doubts) > 1 else ""
        warnings.warn(f"{name}: {doubts[0]}{more}", stacklevel=2)
