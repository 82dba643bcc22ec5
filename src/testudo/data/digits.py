"""Embedded data: scikit-learn's handwritten digits, real scans that need no download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from testudo.data.dataset import DataSet, Examples
from testudo.data.derived import Derived, Relabel
from testudo.data.images import Stored
from testudo.data.splits import stratified
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tasks.task import Task

SCAN = 8  # height and width of the scans, in pixels
TEST, VAL = 600, 150  # examples; the other 1,047 are for training


@dataclass(frozen=True)
class Digits(DataSet):
    """1,797 handwritten digits (UCI Optical Recognition of Handwritten Digits, its test part).

    Each is an 8x8 count of ink pixels, 0 to 16, given as grey values in [0, 1], and enlarged (bilinear,
    pixel centres kept) to ``size``. 600 test, 150 validation and 1,047 training examples, each split
    with every digit's share. Ids are scikit-learn's row numbers.

    Tasks: ``digit`` (10 classes); ``parity`` (even, odd); ``loop``, whether the digit as it is usually
    written encloses an area: 0, 6, 8 and 9 do; 1, 2, 3, 4, 5 and 7 do not (the 4 is open at the top in
    most of these scans, and some writers' 2 has a small loop: the label follows the digit, not the scan).

    Args:
        size: height and width in pixels, at least 8; 8 leaves the scans as they are.
        seed: decides the split.

    >>> train = Digits(size=16).load("train")
    >>> len(train), train.size, sorted(train.targets), train.note
    (1047, (16, 16), ['digit', 'loop', 'parity'], '8x8 scans enlarged to 16x16 bilinearly')
    """

    size: int = 8
    seed: int = 0

    builtin: ClassVar[tuple[Derived, ...]] = (
        Relabel("parity", "digit", ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), ("even", "odd")),
        Relabel("loop", "digit", ((1, 2, 3, 4, 5, 7), (0, 6, 8, 9)), ("open", "loop")),
    )

    def __post_init__(self) -> None:
        if self.size < SCAN:
            raise TestudoError(f"digits: size must be at least {SCAN} pixels, got {self.size}")

    def read(self, split: str) -> Examples:
        """The scans of ``split``, enlarged."""
        from sklearn.datasets import load_digits  # a second to import, and most commands need no digits

        scans, labels = load_digits(return_X_y=True)
        digit = torch.from_numpy(labels.astype(np.int64))
        test = stratified(digit, TEST, self.seed)
        rest = (~test).nonzero()[:, 0]
        val = torch.zeros_like(test)
        val[rest[stratified(digit[rest], VAL, self.seed)]] = True
        ids = {"test": test, "val": val, "train": ~(test | val)}[split].nonzero()[:, 0]
        pixels = torch.from_numpy(scans)[ids].reshape(-1, 1, SCAN, SCAN).float() / 16
        if self.size == SCAN:
            return Examples(Stored(pixels), {"digit": digit[ids]}, ids)
        pixels = F.interpolate(pixels, size=self.size, mode="bilinear", align_corners=False).clamp(0, 1)
        note = f"{SCAN}x{SCAN} scans enlarged to {self.size}x{self.size} bilinearly"
        return Examples(Stored(pixels), {"digit": digit[ids]}, ids, note)

    def labelled(self) -> tuple[Task, ...]:
        """The digit itself."""
        return (Classification("digit", classes=10, labels=tuple(str(d) for d in range(10))),)
