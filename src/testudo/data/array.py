"""Images and labels in arrays on disk, as generated images are published: ``.npz``, ``.npy``, ``.safetensors``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from testudo.data.arrays import load_array
from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.images import Stored
from testudo.data.splits import share, stratified
from testudo.errors import TestudoError
from testudo.tasks.classification import UNLABELLED, Classification
from testudo.tasks.task import Task


class _Loaded(NamedTuple):
    """The content of the file or files."""

    pixels: Tensor  # (N, C, H, W)
    labels: Tensor  # (N,)
    parts: dict[str, Tensor]  # the rows of each split
    note: str


@dataclass(frozen=True)
class Array(DataSet):
    """Images (N, H, W, C), (N, C, H, W) or (N, H, W) and their classes (N,), one task.

    So are published the images that Rebuffi et al. generated (2021, https://arxiv.org/abs/2103.01946): one ``.npz``
    of ``image`` (uint8) and ``label``. Images are mapped into memory rather than read, unless an ``.npz`` is
    compressed; pickled objects are refused. Ids are places in the array.

    Args:
        file: an ``.npz`` or ``.safetensors`` file of both arrays, or a ``.npy`` file of images.
        labels: a ``.npy`` file of labels, beside a ``.npy`` file of images.
        names: how the two arrays of one file are called.
        task: what the task is called: as in the data set that these images shall extend.
        classes: names of the classes, in the order of their numbers; none: the classes have no names, and there are as
            many as the largest label says.
        val_share, test_share: shares of the images for val and test, the same of every class; 0: none.
        seed: decides which.

    Raises:
        TestudoError: one line naming the file that is missing, cut short, pickled, or of another shape or type, or
            the image whose label is out of range (-1 is unknown), on use.
    """

    file: str
    labels: str = ""
    names: tuple[str, str] = ("image", "label")
    task: str = "label"
    classes: tuple[str, ...] = ()
    val_share: float = 0.1
    test_share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("val_share", self.val_share), ("test_share", self.test_share)):
            share(1, value, f"array: {name}")
        if self.val_share + self.test_share >= 1:
            found = f"{self.val_share} and {self.test_share}"
            raise TestudoError(f"array: val_share and test_share must leave images for train, got {found}")
        if self.file.endswith(".npy") != bool(self.labels):
            raise TestudoError("array: labels names a .npy file where file is one, and nothing else")

    def labelled(self) -> tuple[Task, ...]:
        """The classes."""
        count = len(self.classes) or max(2, int(self._loaded.labels.max()) + 1)
        return (Classification(self.task, classes=count, labels=self.classes),)

    def read(self, split: str) -> Examples:
        """The images of ``split``; where that is all of them, as they lie on disk."""
        loaded = self._loaded
        rows = loaded.parts[split]
        if not len(rows):
            raise TestudoError(f"array: no {split} examples: {split}_share is {getattr(self, f'{split}_share'):g}")
        every = Examples(Stored(loaded.pixels), {self.task: loaded.labels}, torch.arange(len(loaded.pixels)))
        return every if len(rows) == len(every) else every.take(rows, loaded.note)

    @cached_property
    def _loaded(self) -> _Loaded:
        path = Path(self.file)
        pixels = _pixels(load_array(path, self.names[0]), self.file)
        source = Path(self.labels) if self.labels else path
        labels = self._checked(load_array(source, self.names[1]), len(pixels), str(source))
        return _Loaded(pixels, labels, *self._dealt(labels))

    def _checked(self, labels: Tensor, count: int, file: str) -> Tensor:
        """(N,) int64 classes."""
        if labels.is_floating_point() or labels.dtype == torch.bool or tuple(labels.shape) != (count,):
            found = f"{labels.dtype} {tuple(labels.shape)}"
            raise TestudoError(f"{file}: labels must be integers of shape ({count},), one per image, got {found}")
        labels, most = labels.long(), len(self.classes) or None
        wrong = ((labels < UNLABELLED) | (labels >= most if most else False)).nonzero()[:, 0]
        if len(wrong):
            row = int(wrong[0])
            allowed = f"0 to {most - 1}" if most else "0 or more"
            raise TestudoError(
                f"{file}: label {int(labels[row])} of image {row} is out of range (allowed: {allowed}, -1 = unknown)"
            )
        return labels

    def _dealt(self, labels: Tensor) -> tuple[dict[str, Tensor], str]:
        """The rows of each split, and how they were chosen."""
        left, parts, told = torch.arange(len(labels)), {}, []
        for split, fraction in (("test", self.test_share), ("val", self.val_share)):
            count = min(share(len(labels), fraction, split), len(left) - 1)
            chosen = stratified(labels[left], count, self.seed)
            parts[split], left = left[chosen], left[~chosen]
            told += [f"{count:,} {split}"] if count else []
        note = f"{' and '.join(told)} images drawn at random by class (seed {self.seed})" if told else ""
        return {**parts, "train": left}, joined(note)


def _pixels(array: Tensor, file: str) -> Tensor:
    """(N, C, H, W), uint8 or float32."""
    if array.dtype in (torch.float16, torch.float64):
        array = array.float()
    if array.dtype not in (torch.uint8, torch.float32):
        raise TestudoError(f"{file}: images must be uint8, or floats in [0, 1], got {array.dtype}")
    shape = tuple(array.shape)
    if array.dim() == 3:
        array = array.unsqueeze(1)
    elif array.dim() == 4 and shape[3] in (1, 3):
        array = array.permute(0, 3, 1, 2)
    if array.dim() != 4 or array.shape[1] not in (1, 3) or 0 in shape:
        raise TestudoError(
            f"{file}: images must be (N, H, W, C), (N, C, H, W) with 1 or 3 channels, or (N, H, W), got {shape}"
        )
    return array
