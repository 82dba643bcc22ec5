"""Labels for every pixel that lie in files, decoded batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from testudo.data.content import digests
from testudo.errors import TestudoError

IGNORE = 255  # of a class map, the value of unknown pixels
BLOCK = 10_000  # examples whose files are named at a time: millions of names fill gigabytes


class Maps(Protocol):
    """Targets of a split that are read when a batch wants them; the same for all examples in kind and shape."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks."""

    def __len__(self) -> int: ...

    def read(self, indices: Tensor, tasks: Container[str]) -> dict[str, Tensor]:
        """The targets of the examples at ``indices`` (n,), by task, of those among ``tasks``: (n, ...) each."""

    def take(self, indices: Tensor) -> Maps:
        """Only those of the examples at ``indices``, in that order."""

    def digests(self) -> list[bytes]:
        """A SHA-256 of the content of each example's targets; raises TestudoError where a file is missing."""

    def faults(self, index: int) -> list[str]:
        """One line for everything wrong with the targets of one example."""


class Source(Protocol):
    """What knows the files of a data set; examples have names, such as ``train/aachen/aachen_000000_000019``."""

    def layout(self) -> Mapping[str, tuple[int, ...]]:
        """For each task the shape of a target: (H, W) are classes, (C, H, W) are numbers."""

    def files(self, name: str) -> list[Path]:
        """All that the targets of an example are read from."""

    def opened(self, name: str) -> Callable[[str], tuple[Path, Tensor]]:
        """For an example, what gives the target of a task: its file, and uint8 classes or float32 numbers."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Targets decoded from files on access.

    A target in which nothing is known is refused: of a label file that is a mistake.

    Args:
        examples: their names.
        source: knows their files.
        where: the words that name the data set in an error.
    """

    examples: tuple[str, ...]
    source: Source
    where: str

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`Maps`."""
        return tuple(self.source.layout())

    def __len__(self) -> int:
        return len(self.examples)

    def read(self, indices: Tensor, tasks: Container[str]) -> dict[str, Tensor]:
        """See :class:`Maps`; raises TestudoError naming the first file that is missing or wrong."""
        made = {
            task: torch.empty(len(indices), *shape, dtype=torch.uint8 if len(shape) == 2 else torch.float32)
            for task, shape in self.source.layout().items()
            if task in tasks
        }
        for row, index in enumerate(indices.tolist()):
            target = self.source.opened(self.examples[index])
            for task, values in made.items():
                values[row] = _known(*target(task), self.where)
        return made

    def take(self, indices: Tensor) -> Decoded:
        """See :class:`Maps`."""
        return replace(self, examples=tuple(self.examples[index] for index in indices.tolist()))

    def digests(self) -> list[bytes]:
        """See :class:`Maps`; over the bytes of the files."""
        made = []
        for start in range(0, len(self), BLOCK):
            files = [self.source.files(name) for name in self.examples[start : start + BLOCK]]
            every = iter(digests([path for paths in files for path in paths], [self.where] * sum(map(len, files))))
            made += [hashlib.sha256(b"".join(next(every) for _ in paths)).digest() for paths in files]
        return made

    def faults(self, index: int) -> list[str]:
        """See :class:`Maps`; every target is tried."""
        target, found = self.source.opened(self.examples[index]), []
        for task in self.names:
            try:
                _known(*target(task), self.where)
            except TestudoError as error:
                found.append(str(error))
        return list(dict.fromkeys(found))  # a file that several tasks need is told once


def _known(path: Path, values: Tensor, where: str) -> Tensor:
    """``values``, refused where no pixel is known."""
    unknown = values.isnan() if values.is_floating_point() else values == IGNORE
    if unknown.all():
        raise TestudoError(f"{where}: {str(path)!r} labels no pixel: all of them are unknown")
    return values
