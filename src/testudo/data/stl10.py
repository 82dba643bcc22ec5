"""STL-10 from disk: the published binary files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.derived import Derived, Relabel
from testudo.data.images import Stored
from testudo.data.place import place
from testudo.data.splits import share, stratified
from testudo.errors import TestudoError, one_line
from testudo.tasks.classification import UNLABELLED, Classification
from testudo.tasks.task import Task

SIDE = 96  # pixels
IMAGE = 3 * SIDE * SIDE  # bytes
PUBLISHED = {"train": 5_000, "test": 8_000, "unlabeled": 100_000}
FOLDS = 10
OBJECTS = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
CHUNK = 1000  # images resized at a time


@dataclass(frozen=True)
class STL10(DataSet):
    """STL-10 (Coates et al. 2011, https://cs.stanford.edu/~acoates/stl10/): 96x96 RGB photographs of ten objects.

    5,000 labelled images for training, 8,000 for testing, and 100,000 without labels, of these and of other things.
    Tasks: ``object`` (10 classes) and ``vehicle`` (airplane, car, ship, truck against the animals, as of CIFAR-10).
    Files: ``{train,test}_X.bin`` and ``_y.bin``, ``unlabeled_X.bin``; bytes, an image being all red, then all green,
    then all blue, each column by column; labels 1 to 10. They are mapped into memory, not read. Ids are places in the
    published order of the labelled training or of the test images; unlabelled ones count on from 5,000.

    Args:
        root: the folder of these files, or the one that holds ``stl10_binary``, which is such; empty: ``stl10`` in the
            folder named by TESTUDO_DATA, or in ``../shared/data``.
        size: height and width to which images are brought (bilinear, with antialiasing); 96 leaves them as they are.
        val_share: this share of the labelled training images is for validation, the same share of every class.
        fold: train on the published fold of this number, 1 to 10, alone (``fold_indices.txt``: 1,000 images each); val
            is then drawn from outside of it. 0: on all.
        unlabeled: train is the images without labels, every label unknown: to label them (``testudo data label``), or
            for tasks that need none. Val and test stay as they are.
        seed: decides which images are for val.

    Raises:
        TestudoError: one line naming the file that is missing, cut short or holds what it must not, on use.

    >>> [task.name for task in STL10().tasks()]
    ['object', 'vehicle']
    """

    root: str = ""
    size: int = SIDE
    val_share: float = 0.1
    fold: int = 0
    unlabeled: bool = False
    seed: int = 0

    builtin: ClassVar[tuple[Derived, ...]] = (
        Relabel("vehicle", "object", ((1, 3, 4, 5, 6, 7), (0, 2, 8, 9)), ("animal", "vehicle")),
    )

    def __post_init__(self) -> None:
        share(1, self.val_share, "stl10: val_share")
        if self.size < 8:
            raise TestudoError(f"stl10: size must be at least 8 pixels, got {self.size}")
        if not 0 <= self.fold <= FOLDS:
            raise TestudoError(f"stl10: fold must be 1 to {FOLDS}, or 0 for all images, got {self.fold}")

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of the labelled training images."""
        return replace(self, unlabeled=False).load("train").statistics()

    def labelled(self) -> tuple[Task, ...]:
        """The published labels."""
        return (Classification("object", classes=len(OBJECTS), labels=OBJECTS),)

    def read(self, split: str) -> Examples:
        """The images of ``split``, mapped into memory."""
        if split == "train" and self.unlabeled:
            pixels = self._pixels("unlabeled")
            unknown = torch.full((len(pixels),), UNLABELLED)
            return self._made("unlabeled", pixels, unknown, torch.arange(len(pixels)) + PUBLISHED["train"])
        part = "test" if split == "test" else "train"
        pixels, labels = self._pixels(part), self._labels(part)
        if part == "test":
            return self._made(part, pixels, labels, torch.arange(len(pixels)))
        rows, note = self._chosen(split, labels)
        if not len(rows):
            raise TestudoError(f"stl10: no val examples: val_share is {self.val_share:g}")
        return self._made(part, pixels[rows], labels[rows], rows, note)

    def _chosen(self, split: str, labels: Tensor) -> tuple[Tensor, str]:
        """The rows of train or val among the labelled training images, and how they were chosen."""
        inside = self._fold(len(labels)) if self.fold else torch.arange(len(labels))
        pool = torch.ones(len(labels), dtype=torch.bool)
        if self.fold:
            pool[inside] = False
        pool = pool.nonzero()[:, 0]
        val = pool[stratified(labels[pool], min(share(len(labels), self.val_share, "val_share"), len(pool)), self.seed)]
        if split == "val":
            return val, f"{len(val):,} training images held out as val"
        return inside[~torch.isin(inside, val)], f"fold {self.fold} of {FOLDS}" if self.fold else ""

    def _made(self, part: str, pixels: Tensor, labels: Tensor, ids: Tensor, note: str = "") -> Examples:
        whole = len(self._pixels(part))
        words = {"train": "training", "test": "test", "unlabeled": "unlabelled"}[part]
        some = f"{whole:,} of {PUBLISHED[part]:,} {words} images" if whole < PUBLISHED[part] else ""
        what = "images without labels" if part == "unlabeled" else ""
        resized = "" if self.size == SIDE else f"resized to {self.size}x{self.size}"
        images = Stored(pixels if self.size == SIDE else _resized(pixels, self.size))
        return Examples(images, {"object": labels}, ids, joined(some, what, note, resized))

    @cached_property
    def _folder(self) -> Path:
        root = place("stl10", self.root, "stl10", "train_X.bin, train_y.bin, ...")
        return root / "stl10_binary" if (root / "stl10_binary").is_dir() else root

    def _pixels(self, part: str) -> Tensor:
        """(N, 3, 96, 96) uint8."""
        file = self._folder / f"{part}_X.bin"
        size = _size(file)
        if not size or size % IMAGE:
            raise TestudoError(
                f"{file}: {size:,} bytes are no whole number of {SIDE}x{SIDE} RGB images; is it cut short?"
            )
        mapped = np.memmap(file, np.uint8, "c")  # copy on write: torch wants no read-only memory
        return torch.from_numpy(mapped.reshape(-1, 3, SIDE, SIDE)).transpose(2, 3)

    def _labels(self, part: str) -> Tensor:
        """(N,) classes from 0."""
        file = self._folder / f"{part}_y.bin"
        found, wanted = _size(file), len(self._pixels(part))
        if found != wanted:
            raise TestudoError(f"{file}: {found:,} labels for {wanted:,} images in {part}_X.bin")
        labels = torch.from_numpy(np.fromfile(file, np.uint8).astype(np.int64))
        wrong = ((labels < 1) | (labels > len(OBJECTS))).nonzero()[:, 0]
        if len(wrong):
            row = int(wrong[0])
            raise TestudoError(f"{file}: label {int(labels[row])} of image {row} must be 1 to {len(OBJECTS)}")
        return labels - 1

    def _fold(self, count: int) -> Tensor:
        """The rows of the fold, sorted."""
        file = self._folder / "fold_indices.txt"
        _size(file)
        try:
            lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
            rows = torch.tensor([int(word) for word in lines[self.fold - 1]]).unique()
        except (OSError, ValueError, IndexError) as error:
            raise TestudoError(f"{file}: no line of row numbers for fold {self.fold}: {one_line(error)}") from error
        if rows[0] < 0 or rows[-1] >= count:
            worst = int(rows[0] if rows[0] < 0 else rows[-1])
            raise TestudoError(f"{file}: fold {self.fold} names image {worst}, there are {count:,} (from 0)")
        return rows


def _size(file: Path) -> int:
    """Bytes in a file; raises TestudoError where there is none."""
    if not file.is_file():
        raise TestudoError(f"stl10: missing file {str(file)!r}")
    return file.stat().st_size


def _resized(pixels: Tensor, size: int) -> Tensor:
    """(N, 3, size, size) uint8, in memory."""
    parts = [
        F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True).round().clamp(0, 255).byte()
        for part in pixels.split(CHUNK)
    ]
    return torch.cat(parts)
