"""Maps of depth that a table names, one file a row."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from testudo.data.content import digests
from testudo.data.images import plane
from testudo.data.resize import nearest
from testudo.errors import TestudoError, one_line
from testudo.tasks.depth import Depth

MAPS = {"depth": Depth}  # kinds of columns


@dataclass(frozen=True, eq=False)
class Listed:
    """Depth in files, decoded on access; see :class:`testudo.data.maps.Maps`.

    An array (``.npy``, (H, W)) holds metres, an image of more than 8 bits whole steps. What is not above 0 and finite
    is unknown; a file in which nothing is known is refused.

    Args:
        files: by task, the file of each row; None where the row has none, all of whose pixels are unknown.
        where: words that name each row in an error.
        size: height and width of what is given out.
        resize: bring maps of another size to it (nearest pixel) rather than refuse them.
        step: of an image, in metres.
    """

    files: Mapping[str, tuple[Path | None, ...]]
    where: tuple[str, ...]
    size: tuple[int, int]
    resize: bool = False
    step: float = 0.001

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks."""
        return tuple(self.files)

    def __len__(self) -> int:
        return len(self.where)

    def read(self, indices: Tensor, tasks: Container[str]) -> dict[str, Tensor]:
        """(n, 1, H, W) float32 for each of ``tasks``, NaN where unknown; raises TestudoError naming a wrong file."""
        made = {name: torch.empty(len(indices), 1, *self.size) for name in self.files if name in tasks}
        for name, values in made.items():
            for row, index in enumerate(indices.tolist()):
                values[row] = self._map(name, index)
        return made

    def take(self, indices: Tensor) -> Listed:
        """Only the rows at ``indices``, in that order."""
        rows = indices.tolist()
        files = {name: tuple(each[row] for row in rows) for name, each in self.files.items()}
        return replace(self, files=files, where=tuple(self.where[row] for row in rows))

    def digests(self) -> list[bytes]:
        """Over the bytes of each row's files, and whether it has them."""
        there = [[each[row] for each in self.files.values()] for row in range(len(self))]
        paths = [(path, words) for row, words in zip(there, self.where, strict=True) for path in row if path]
        found = iter(digests([path for path, _ in paths], [words for _, words in paths]))
        return [hashlib.sha256(b"".join(next(found) if path else b"-" for path in row)).digest() for row in there]

    def faults(self, index: int) -> list[str]:
        """One line for each file of a row that cannot be used."""
        found = []
        for name in self.files:
            try:
                self._map(name, index)
            except TestudoError as error:
                found.append(str(error))
        return found

    def _map(self, name: str, row: int) -> Tensor:
        path, where = self.files[name][row], self.where[row]
        if path is None:
            return torch.full((1, *self.size), torch.nan)
        values = _array(path, where) if path.suffix == ".npy" else plane(path, where, deep=True) * self.step
        if values.shape != self.size and not self.resize:
            found, wanted = ("x".join(map(str, size)) for size in (values.shape, self.size))
            raise TestudoError(f"{where}: {str(path)!r} is {found} (height x width), its image {wanted}")
        values = values[nearest(values.shape, self.size)].astype(np.float32)
        known = np.isfinite(values) & (values > 0)
        if not known.any():
            raise TestudoError(f"{where}: {str(path)!r} labels no pixel: all of them are unknown")
        return torch.from_numpy(np.where(known, values, np.float32(np.nan)))[None]


def _array(path: Path, where: str) -> np.ndarray:
    """The numbers in a file, (H, W)."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TestudoError(f"{where}: cannot read {str(path)!r}: {one_line(error)}") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        raise TestudoError(f"{where}: {str(path)!r} must hold numbers (height, width)")
    return values
