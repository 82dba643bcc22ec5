"""Surface patterns, painted once per process, and looked up at the sharpness that a ray can resolve.

A pattern is a square picture of three numbers in [0, 1] per texel that repeats seamlessly (those that are fitted to a
face need not). All patterns with their halved copies (mip maps; Williams, *Pyramidal parametrics*, 1983) lie one after
another in one array of packed texels, so that one gather answers for rays on any mixture of surfaces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from testudo.data.rooms import motifs, pictures
from testudo.tensors import uniform

SIDE = 256  # texels of a pattern, along and across
LEVELS = 8  # the last is 2 x 2

PAINTERS: dict[str, Callable[[motifs.Canvas], np.ndarray]] = {
    "plain": motifs.plain,
    "plaster": motifs.plaster,
    "boards": motifs.boards,
    "grain": motifs.grain,
    "tiles": motifs.tiles,
    "carpet": motifs.carpet,
    "brick": motifs.brick,
    "stripes": motifs.stripes,
    "damask": motifs.damask,
    "cloth": motifs.cloth,
    "plaid": motifs.plaid,
    "quilt": motifs.quilt,
    "marble": motifs.marble,
    "leaves": motifs.leaves,
    "panels": motifs.panels,
    "doors": motifs.doors,
    "drawers": motifs.drawers,
    "rug": motifs.rug,
    "kilim": motifs.rug,
    "medallion": motifs.medallion,
    "books": pictures.books,
    "spines": pictures.spines,
    "landscape": pictures.landscape,
    "seascape": pictures.seascape,
    "blocks": pictures.blocks,
    "circles": pictures.circles,
    "portrait": pictures.portrait,
    "valley": pictures.landscape,
    "composition": pictures.blocks,
    "balloons": pictures.circles,
    "abstract": pictures.abstract,
    "poster": pictures.abstract,
    "garden": pictures.garden,
    "park": pictures.garden,
    "street": pictures.street,
    "news": pictures.news,
    "film": pictures.film,
}
NUMBER = {name: index for index, name in enumerate(PAINTERS)}
PICTURES = (
    "landscape", "valley", "seascape", "blocks", "composition", "circles", "balloons", "portrait", "abstract", "poster"
)  # fmt: skip
VIEWS = ("garden", "park", "street")
RUGS = ("rug", "kilim", "medallion")
SCREENS = ("news", "film")


class Atlas(NamedTuple):
    """Every texel of every level of every pattern, its three bytes in one uint32; where each level starts."""

    texels: np.ndarray
    starts: np.ndarray


@lru_cache(1)
def atlas() -> Atlas:
    """All patterns, painted."""
    level = np.stack([_painted(name) for name in PAINTERS])
    packed, starts = [], [0]
    for _ in range(LEVELS):
        bytes_ = np.zeros((*level.shape[:3], 4), np.uint8)
        bytes_[..., :3] = np.round(level * 255)
        packed.append(bytes_.view(np.uint32).ravel())
        starts.append(starts[-1] + packed[-1].size)
        level = level.reshape(len(level), level.shape[1] // 2, 2, level.shape[2] // 2, 2, 3).mean((2, 4))
    return Atlas(np.concatenate(packed), np.array(starts[:-1], np.int32))


def texels(pattern: np.ndarray, along: np.ndarray, across: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """The patterns at these places.

    Args:
        pattern: (n,) int32, numbers of patterns.
        along: (n,) float32 from left to right, 1 being the whole pattern, after which it repeats.
        across: (n,) likewise from top to bottom.
        footprint: (n,) float32 texels that a ray stands for.

    Returns:
        (n, 4) uint8, as fractions of 255; the fourth is 0.
    """
    book = atlas()
    level = (np.maximum(footprint, 1).view(np.int32) >> 23) - 127  # the exponent of a float is its log2, rounded down
    np.minimum(level, LEVELS - 1, out=level)
    side = np.right_shift(np.int32(SIDE), level)
    u, v = ((at - np.floor(at)) * side for at in (along, across))
    u, v = (np.minimum(at.astype(np.int32), side - 1) for at in (u, v))
    index = np.take(book.starts, level) + (pattern * side + v) * side + u
    return np.take(book.texels, index).view(np.uint8).reshape(-1, 4)


def _painted(name: str) -> np.ndarray:
    """One pattern, (SIDE, SIDE, 3) in [0, 1]."""
    canvas = motifs.Canvas(SIDE, lambda count, use: _draws(NUMBER[name], count, use))
    picture = np.clip(PAINTERS[name](canvas), 0, 1)
    return np.repeat(picture[..., None], 3, 2) if picture.ndim == 2 else picture


def _draws(pattern: int, count: int, use: int) -> np.ndarray:
    """(count,) draws in (0, 1) for one use in one pattern."""
    return uniform(torch.tensor([pattern]), (count,), use)[0].double().numpy()
