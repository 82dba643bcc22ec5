"""Data sets too large for memory: images and labels for every pixel stay in files until a batch wants them."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from testudo.data.cache import cached
from testudo.data.content import stamp
from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.faults import skipped
from testudo.data.images import Files
from testudo.data.maps import Decoded
from testudo.data.plausible import Range, warn
from testudo.errors import TestudoError, unknown

LOOKED_AT = 16  # depth files of a split whose unit is looked at when it is loaded; ``testudo data check`` looks at all


@dataclass(frozen=True)
class Streamed(DataSet):
    """A data set whose images and maps are decoded with each batch, by the loader's workers where it has some.

    A subclass says which examples there are, where their files lie and what they hold. Examples have names; their
    ids are 53 bits of the name's SHA-256, the same whatever else there is. Every map must be as large as its image.
    Images are resized bilinearly with antialiasing, maps to the nearest pixel.

    Args:
        skip_bad: leave out examples with a missing, damaged or wrong file, and count them in the note, rather than
            refuse the whole set when one is met. All files are read once for this, and again when one has changed.
    """

    skip_bad: bool = field(default=False, kw_only=True)

    title: ClassVar[str]  # for errors
    plausible: ClassVar[Range]  # of depths

    @abstractmethod
    def listed(self, split: str) -> tuple[Sequence[str], str]:
        """The names of the examples of a split, sorted, and a note on how they were chosen."""

    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Height and width of what is given out."""

    @abstractmethod
    def layout(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`testudo.data.maps.Source`."""

    @abstractmethod
    def picture(self, name: str) -> Path:
        """The file of an example's image."""

    @abstractmethod
    def files(self, name: str) -> list[Path]:
        """See :class:`testudo.data.maps.Source`."""

    @abstractmethod
    def opened(self, name: str) -> Callable[[str], tuple[Path, Tensor]]:
        """See :class:`testudo.data.maps.Source`."""

    @abstractmethod
    def depths(self, name: str) -> list[tuple[Path, Tensor]]:
        """The depth files of an example and what they hold, in the unit of :attr:`plausible`."""

    def read(self, split: str) -> Examples:
        """The examples of ``split``; nothing is decoded yet but a few depth maps, for a doubt about their unit."""
        names, note = self.listed(split)
        if not names:
            raise TestudoError(f"{self.title}: no {split} images")
        warn(self.title, self._doubts(names[:: -(-len(names) // LOOKED_AT)]))
        examples = self._examples(names, note)
        return self._without_bad(examples, names) if self.skip_bad else examples

    def check(self) -> list[str]:
        """One line for everything that is missing, cannot be read or holds what it must not."""
        found = []
        for split in self.splits:
            try:
                found += self._examples(*self.listed(split)).problems()
            except TestudoError as error:
                found.append(str(error))
        return list(dict.fromkeys(found))

    def doubts(self) -> list[str]:
        """One line for each depth file whose median is implausible."""
        return [line for split in self.splits for line in self._doubts(self.listed(split)[0])]

    def _examples(self, names: Sequence[str], note: str) -> Examples:
        shape = self.shape()
        images = Files(tuple(map(self.picture, names)), (self.title,) * len(names), (3, *shape), resize=True)
        ids = torch.tensor([name_id(name) for name in names], dtype=torch.int64)
        note = joined(f"resized to {shape[0]}x{shape[1]}", note)
        return Examples(images, {}, ids, note, maps=Decoded(tuple(names), self, self.title))

    def _doubts(self, names: Sequence[str]) -> list[str]:
        found = []
        for name in names:
            try:
                found += [line for path, values in self.depths(name) if (line := self.plausible.doubt(path, values))]
            except TestudoError:
                continue  # told where it is met
        return found

    def _without_bad(self, examples: Examples, names: Sequence[str]) -> Examples:
        """Only the examples without a fault; which these are is remembered until a file changes."""

        def make() -> dict[str, Tensor]:
            faults = examples.faults()
            first = next(iter(faults.values()), [""])[0]
            told = torch.tensor(list(first.encode()), dtype=torch.uint8)
            return {"bad": torch.tensor(list(faults), dtype=torch.int64), "first": told}

        files = (path for name in names for path in (self.picture(name), *self.files(name)))
        kept = cached(("faults", 1, repr(self), stamp(files)), make)
        good = torch.ones(len(names), dtype=torch.bool)
        good[kept["bad"]] = False
        note = skipped(len(kept["bad"]), len(names), bytes(kept["first"].tolist()).decode())
        return examples.take(good.nonzero()[:, 0], note) if note else examples


def check_wanted(title: str, wanted: Sequence[str], offered: Iterable[str]) -> None:
    """Raise TestudoError where data set ``title`` has not got a wanted task."""
    offered = list(offered)
    for name in wanted:
        if name not in offered:
            raise unknown(f"{title} task", name, offered)


def name_id(name: str) -> int:
    """An id for an example that has a name: 53 bits of its SHA-256.

    >>> name_id("train/aachen/aachen_000000_000019")
    8377148579175324
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 11
