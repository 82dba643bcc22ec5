"""A data set: splits of labelled examples, and the tasks that the labels make up."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from testudo.data.batch import Batch
from testudo.data.derived import Derived
from testudo.data.images import Images
from testudo.data.made import Made, made
from testudo.data.maps import Maps
from testudo.data.pixel_labels import PixelLabel
from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task

SMALLEST_STD = 1 / 255  # one grey level: a constant channel must not divide by zero
CHUNK, PIXELS = 256, 2**22  # images read at a time where a whole split is gone through, and pixels in them


@dataclass(frozen=True, eq=False)
class Examples:
    """One split, loaded: as many images, targets and ids as it has examples.

    Args:
        images: where the pixels are.
        targets: by task name, each with N as its first dimension; maps may lie here as uint8 or float16, a batch
            has int64 and float32.
        ids: (N,) int64, all different; they stay the same in every load, whatever else is loaded.
        note: what was done to or left out of the published images, for reports; empty where nothing.
        made: labels of further tasks, which are made of the rest.
        maps: targets that are too many for memory and stay in files.

    >>> from testudo.data.images import Stored
    >>> pixels = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    >>> split = Examples(Stored(pixels), {"digit": torch.tensor([5, 6, 7])}, torch.arange(3))
    >>> len(split), split.size, split.batch([2, 0]).targets["digit"].tolist()
    (3, (8, 8), [7, 5])
    """

    images: Images
    targets: Mapping[str, Tensor]
    ids: Tensor
    note: str = ""
    made: tuple[Made, ...] = ()
    maps: Maps | None = None

    def __post_init__(self) -> None:
        for name, values in {"ids": self.ids, **self.targets}.items():
            if len(values) != len(self.images):
                raise TestudoError(f"{name!r} holds {len(values)} labels for {len(self.images)} images")
        if self.maps is not None and len(self.maps) != len(self.images):
            raise TestudoError(f"maps are of {len(self.maps)} examples, images of {len(self.images)}")
        names, counts = self.ids.unique(return_counts=True)
        if (counts > 1).any():
            raise TestudoError(f"id {int(names[counts > 1][0])} stands for more than one example")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """Channels of every image: 1 is grey, 3 is RGB."""
        return self.images.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every image."""
        return self.images.shape[1], self.images.shape[2]

    def batch(self, indices: Tensor | Sequence[int], tasks: Iterable[str] | None = None) -> Batch:
        """The examples at ``indices``, in that order, images as floats in [0, 1].

        With the targets of ``tasks`` alone, where they are named: no other is read or made.
        """
        picked = torch.as_tensor(indices, dtype=torch.int64)
        images = self.images.read(picked)
        given = (*self.targets, *(self.maps.names if self.maps else ()), *(label.how.name for label in self.made))
        names = set(given) if tasks is None else set(tasks)
        labels = [label for label in self.made if label.how.name in names]
        needed = names | {label.how.origin for label in labels}
        targets = {name: values[picked] for name, values in self.targets.items() if name in needed}
        targets |= {} if self.maps is None else self.maps.read(picked, needed)
        targets = {name: _widened(values) for name, values in targets.items()}
        targets |= {label.how.name: label.read(picked, images, targets) for label in labels}
        return Batch(images, {name: values for name, values in targets.items() if name in names}, self.ids[picked])

    def take(self, indices: Tensor | Sequence[int], note: str = "") -> Examples:
        """Only the examples at ``indices``; ``note`` is added to theirs."""
        picked = torch.as_tensor(indices, dtype=torch.int64)
        targets = {name: values[picked] for name, values in self.targets.items()}
        left = tuple(label.take(picked) for label in self.made)
        maps = None if self.maps is None else self.maps.take(picked)
        return Examples(self.images.take(picked), targets, self.ids[picked], joined(self.note, note), left, maps)

    def parts(self) -> tuple[Tensor, ...]:
        """The indices of all examples in parts that fit into memory: at most 256, fewer where images are large."""
        return torch.arange(len(self)).split(min(CHUNK, max(1, PIXELS // (self.size[0] * self.size[1]))))

    def problems(self) -> list[str]:
        """One line for everything that cannot be read; every image and every target is tried."""
        if self.maps is None:
            return self.images.problems()
        return [line for lines in self.faults().values() for line in lines]

    def faults(self) -> dict[int, list[str]]:
        """What is wrong with each example that cannot be read, by its index."""
        found = {}
        with ThreadPoolExecutor() as pool:  # decoders let go of the interpreter's lock
            for part in self.parts():
                told = zip(part.tolist(), pool.map(self._faults, part.tolist()), strict=True)
                found |= {index: lines for index, lines in told if lines}
        return found

    def _faults(self, index: int) -> list[str]:
        found = []
        try:
            self.images.read(torch.tensor([index]))
        except TestudoError as error:
            found.append(str(error))
        found += [] if self.maps is None else self.maps.faults(index)
        return list(dict.fromkeys(found))  # maps may miss the same image

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the content of the images, the targets and the ids.

        Image files count with their raw bytes, pixels in memory with their values.
        """
        sha = hashlib.sha256(repr((len(self), self.images.shape)).encode())
        for digest in self.images.digests():
            sha.update(digest)
        if self.maps is not None:
            sha.update(b"".join([repr(self.maps.names).encode(), *self.maps.digests()]))
        for name, values in sorted({**self.targets, "": self.ids}.items()):
            sha.update(repr((name, str(values.dtype), tuple(values.shape))).encode())
            sha.update(values.contiguous().numpy().tobytes())
        for label in self.made:  # not their values, which may differ in the last bit on another machine
            sha.update(repr(label.how).encode())
        return sha.hexdigest()

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over all pixels, the latter at least 1/255."""
        total = torch.zeros(2, self.channels, dtype=torch.float64)
        for part in self.parts():
            images = self.images.read(part).double()
            total += torch.stack([images.sum((0, 2, 3)), images.square().sum((0, 2, 3))])
        mean, square = total / max(1, len(self) * self.size[0] * self.size[1])
        std = (square - mean.square()).clamp(min=0).sqrt().clamp(min=SMALLEST_STD)
        return tuple(mean.tolist()), tuple(std.tolist())


@dataclass(frozen=True)
class DataSet(ABC):
    """Where examples come from; its fields are all it takes to load the same ones again.

    A subclass writes ``read`` and ``labelled``.

    Args:
        derived: further tasks, made from the images, from this set's own tasks or from earlier ones of this list.
    """

    derived: tuple[Derived, ...] = field(default=(), kw_only=True)

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    builtin: ClassVar[tuple[Derived, ...]] = ()

    @property
    def making(self) -> tuple[Derived, ...]:
        """How the further tasks are made: those of this set, then the derived ones."""
        return (*self.builtin, *self.derived)

    def load(self, split: str) -> Examples:
        """The examples of ``split``; raises TestudoError for an unknown split and for unreadable files."""
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        self.tasks()  # refuses derived tasks that cannot be made, before anything is read
        examples = self.read(split)
        fingerprint = cache(examples.fingerprint)  # goes through every pixel: once for all labels
        targets, labels = dict(examples.targets), []
        for how in self.making:
            if isinstance(how, PixelLabel):
                labels.append(made(how, examples, fingerprint))
            else:
                targets[how.name] = how.targets(targets[how.origin])
        return replace(examples, targets=targets, made=tuple(labels))

    def tasks(self) -> tuple[Task, ...]:
        """Every task that the examples have targets for, derived ones last."""
        tasks = {task.name: task for task in self.labelled()}
        for how in self.making:
            if how.name in tasks:
                raise TestudoError(f"derived task {how.name!r}: there is a task of that name already")
            if how.origin and how.origin not in tasks:
                raise unknown("source task", how.origin, tasks)
            tasks[how.name] = how.task(tasks.get(how.origin))
        return tuple(tasks.values())

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, for the normalisation inside the model; over train."""
        return self.load("train").statistics()

    def check(self) -> list[str]:
        """One line for everything wrong with the files, each of them tried; empty where all is well."""
        problems = []
        for split in self.splits:
            try:
                problems += self.load(split).problems()
            except TestudoError as error:
                problems.append(str(error))
        return list(dict.fromkeys(problems))  # a missing folder is missed by every split

    def doubts(self) -> list[str]:
        """One line for each file that can be read but looks wrong."""
        return []

    def describe(self) -> list[str]:
        """What was taken for what, a line each, where that had to be guessed; to be shown to people."""
        return []

    @abstractmethod
    def read(self, split: str) -> Examples:
        """The examples of one of ``splits``, with the targets of ``labelled``."""

    @abstractmethod
    def labelled(self) -> tuple[Task, ...]:
        """The tasks whose labels come with the images."""


def _widened(values: Tensor) -> Tensor:
    """Targets as tasks want them: integers of 64 bits, floats of at least 32."""
    wide = {torch.uint8: torch.int64, torch.float16: torch.float32}.get(values.dtype)
    return values if wide is None else values.to(wide)


def joined(*notes: str) -> str:
    """Notes in one line, without the empty ones.

    >>> joined("resized to 8x8", "", "half of the images")
    'resized to 8x8; half of the images'
    """
    return "; ".join(note for note in notes if note)
