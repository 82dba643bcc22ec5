"""Seeded draws, one after another, that are the same on every machine and with every version of a library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from testudo.tensors import uniform

_BLOCK = 256  # numbers drawn at a time

Option = TypeVar("Option")


class Dice:
    """A sequence of draws that is a function of ``stream`` (whole numbers) alone.

    >>> dice = Dice(0, 7)
    >>> dice.chance(0.5) == Dice(0, 7).chance(0.5), 3 <= dice.between(3, 4) <= 4
    (True, True)
    """

    def __init__(self, *stream: int) -> None:
        self._stream = stream
        self._block = 0
        self._left: list[float] = []

    def between(self, low: float, high: float) -> float:
        """A number in (low, high), each as likely."""
        if not self._left:
            first, *rest = self._stream
            self._left = uniform(torch.tensor([first]), (_BLOCK,), *rest, self._block)[0].tolist()
            self._block += 1
        return low + (high - low) * self._left.pop()

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both among them."""
        return int(self.between(low, high + 1))

    def chance(self, share: float) -> bool:
        """True in ``share`` of the draws."""
        return self.between(0, 1) < share

    def pick(self, options: Sequence[Option]) -> Option:
        """One of ``options``."""
        return options[int(self.between(0, len(options)))]

    def shuffled(self, options: Sequence[Option]) -> list[Option]:
        """``options`` in a random order."""
        keys = [self.between(0, 1) for _ in options]
        return [options[index] for index in sorted(range(len(options)), key=keys.__getitem__)]
