"""Maps of the size that is asked for, and of their image's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from testudo.data.images import opened, plane, size_of
from testudo.errors import TestudoError

Pixels = tuple[slice, slice] | tuple[np.ndarray, np.ndarray]


def nearest(old: tuple[int, int], new: tuple[int, int]) -> Pixels:
    """Which pixels make up a resized map: rows and columns, to index its last two dimensions with.

    Of the pixels of a map of size ``old`` each pixel of ``new`` takes the one that its centre lies in.

    >>> grid = np.arange(16).reshape(4, 4)
    >>> grid[nearest((4, 4), (2, 2))].tolist()
    [[5, 7], [13, 15]]
    """
    (height, width), (down, across) = old, (old[0] // new[0], old[1] // new[1])
    if (height, width) == (down * new[0], across * new[1]):  # several times as fast
        return slice(down // 2, None, down), slice(across // 2, None, across)
    rows, columns = (((np.arange(b) + 0.5) * a / b).astype(np.int64) for a, b in zip(old, new, strict=True))
    return rows[:, None], columns


def same_size(path: Path, values: np.ndarray, size: tuple[int, int], where: str) -> np.ndarray:
    """``values`` (H, W, ...) of a map, refused where its image has another ``size``."""
    if values.shape[:2] != size:
        found, wanted = (f"{height}x{width}" for height, width in (values.shape[:2], size))
        raise TestudoError(f"{where}: {str(path)!r} is {found} (height x width), its image {wanted}")
    return values


def matching(path: Path, picture: Path, where: str, deep: bool = False) -> np.ndarray:
    """The whole numbers of a map, (H, W), that belongs to a picture; see :func:`testudo.data.images.plane`.

    Raises:
        TestudoError: one of the two cannot be read, or they differ in size.
    """
    size = size_of(picture, where)
    return same_size(path, plane(path, where, deep), size, where)


def coloured(path: Path, picture: Path, where: str) -> np.ndarray:
    """The colours of a map, (H, W, 3) uint8, that belongs to a picture; raises as :func:`matching` does."""
    size = size_of(picture, where)
    return same_size(path, np.array(opened(path, where).convert("RGB")), size, where)
