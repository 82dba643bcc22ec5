"""Where the Square attack changes an image, and into what.

Shapes: M examples, C channels, H x W pixels. The windows of all examples have one size, but each its own place.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from testudo.attacks.problem import Problem
from testudo.tensors import norms, per_example, uniform

PLACES = 5  # draws per query that say where: rows and columns of two windows, and how the hills are turned
TILES = 5  # how many hills the first images have along their shorter side
SIGNS, TURNS = 0, 1  # what is drawn for the first images
# Hills of more than the ball holds come back from the L1 projection as few high values, which is what hurts there.
OVERSHOOT = {1: 5}
Size = tuple[int, int]  # a window's rows and columns


class Window(NamedTuple):
    """One window per example.

    Attributes:
        inside: (M, 1, H, W) whether a pixel lies in it.
        rows, columns: (M, H, 1) and (M, 1, W), the pixels' places counted from the window's corner, cut to its size.
    """

    inside: Tensor
    rows: Tensor
    columns: Tensor


def window_size(images: Tensor, share: float, p: float) -> Size:
    """Of the window that covers ``share`` of an image: a square, cut to the image; for finite p odd and at least 3."""
    height, width = images.shape[2:]
    side = max(round(math.sqrt(share * height * width)), 1)
    if p != math.inf:
        side = max(side, 3) | 1
    return min(side, height), min(side, width)


def window(draws: Tensor, images: Tensor, size: Size) -> Window:
    """Windows at the places that ``draws`` (M, 2) in (0, 1) name; each place within the image is as likely."""
    places = []
    for draw, full, part in zip(draws.T, images.shape[2:], size, strict=True):
        start = (draw * (full - part + 1)).long()
        places.append(torch.arange(full, device=images.device) - start[:, None])
    down, across = places[0][:, :, None], places[1][:, None, :]
    inside = (down >= 0) & (down < size[0]) & (across >= 0) & (across < size[1])
    return Window(inside[:, None], down.clamp(0, size[0] - 1), across.clamp(0, size[1] - 1))


@lru_cache(maxsize=64)
def hills(rows: int, columns: int, p: float) -> Tensor:
    """Two pyramids, one up and one down, with a p-norm of 1 together: (2, rows, columns) float64.

    The first has them above each other, the second side by side. A pyramid's height at distance d from its centre
    (in rows or in columns, whichever is more) is the sum of 1 / k^2 over k > d, up to its foot.

    >>> hills(2, 1, 1.0).flatten(1)
    tensor([[ 0.5000, -0.5000],
            [-0.1667, -0.8333]], dtype=torch.float64)
    """
    return torch.stack([_pair(rows, columns, p), _pair(columns, rows, p).mT])


def _pair(rows: int, columns: int, p: float) -> Tensor:
    pair = torch.cat([_hill(rows // 2, columns), -_hill(rows - rows // 2, columns)])
    return pair / torch.linalg.vector_norm(pair, p)


def _hill(rows: int, columns: int) -> Tensor:
    steps = torch.arange(1, max(rows, columns) // 2 + 2, dtype=torch.float64) ** -2
    heights = steps.flip(0).cumsum(0).flip(0)
    down, across = ((torch.arange(count) - count // 2).abs() for count in (rows, columns))
    hill = heights[torch.maximum(down[:, None], across)]
    return hill / torch.linalg.vector_norm(hill)


def striped(problem: Problem) -> Tensor:
    """(M, C, H, W) the clean images plus or minus eps, by column and channel."""
    clean = problem.clean
    draws = uniform(problem.ids, (clean.shape[1], 1, clean.shape[3]), problem.seed, problem.run, SIGNS)
    return problem.project(clean + _sign(draws).to(clean) * problem.threat.radius(clean))


def tiled(problem: Problem) -> Tensor:
    """(M, C, H, W) the clean images covered with :func:`hills` up and down, of norm eps each before projection."""
    clean = problem.clean
    height, width = clean.shape[2:]
    side = max(min(height, width) // TILES, 1)
    down, across = torch.arange(height, device=clean.device)[:, None], torch.arange(width, device=clean.device)
    tiles = (-(-height // side), -(-width // side))
    tile = (..., down // side, across // side)
    sign = _sign(uniform(problem.ids, (clean.shape[1], *tiles), problem.seed, problem.run, SIGNS))[tile]
    turn = (uniform(problem.ids, tiles, problem.seed, problem.run, TURNS) > 0.5).long()[tile]
    shape = hills(side, side, problem.threat.p).to(clean)[turn, down % side, across % side]
    return problem.project(clean + sign.to(clean) * shape[:, None] * problem.threat.radius(clean))


def cornered(problem: Problem, images: Tensor, draws: Tensor, size: Size) -> Tensor:
    """Images with a window at eps or -eps from the clean ones, by channel; where that is how they are, turned round."""
    clean, inside = problem.clean, window(draws[:, :2], images, size).inside
    move = _sign(draws[:, PLACES:, None, None]).to(clean) * problem.threat.radius(clean)
    found, turned = (problem.project(torch.where(inside, clean + way, images)) for way in (move, -move))
    same = (found == images).flatten(1).all(1)
    return torch.where(per_example(same, images), turned, found)


def reshaped(problem: Problem, images: Tensor, draws: Tensor, size: Size) -> Tensor:
    """Images with :func:`hills` added in one window, at the expense of the perturbation in another.

    Within a channel the window takes over what both held, and its share of what the ball leaves unused; in L1
    :data:`OVERSHOOT` times that.
    """
    clean, threat = problem.clean, problem.threat
    p, delta = threat.p, images - clean
    to, other = window(draws[:, :2], images, size), window(draws[:, 2:4], images, size)
    shape = hills(*size, p).to(clean)[(draws[:, 4] > 0.5).long()[:, None, None], to.rows, to.columns]
    sign = _sign(draws[:, PLACES:, None, None]).to(clean)
    new = threat.masked((sign * shape[:, None] + _unit(delta * to.inside, p)) * to.inside, 0)
    unused = (threat.radius(clean) ** p - per_example(norms(delta, p), delta) ** p).clamp(min=0) / images.shape[1]
    held = _norm(delta * (to.inside | other.inside), p) ** p
    new = _unit(new, p) * (unused + held) ** (1 / p) * OVERSHOOT.get(p, 1)
    return problem.project(clean + torch.where(to.inside, new, delta.masked_fill(other.inside, 0)))


def _sign(draws: Tensor) -> Tensor:
    """-1 or 1; a draw is never 1/2 itself."""
    return (draws - 0.5).sign()


def _norm(x: Tensor, p: float) -> Tensor:
    """The p-norm of each channel: (M, C, H, W) -> (M, C, 1, 1)."""
    return torch.linalg.vector_norm(x, p, dim=(2, 3), keepdim=True)


def _unit(x: Tensor, p: float) -> Tensor:
    """Each channel over its p-norm."""
    return x / _norm(x, p).clamp(min=1e-30)
