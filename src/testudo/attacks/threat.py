"""The ball and the box: how far an attacker may go.

Images are (N, C, H, W) in [0, 1]; every epsilon is in that space.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.errors import TestudoError
from testudo.tensors import normal, norms, per_example, uniform, unit

TINY = 1e-12


@dataclass(frozen=True)
class Threat(ABC):
    """A norm ball of radius ``eps`` around the clean image, cut with the box [0, 1].

    Args:
        eps: the radius in [0, 1] pixel units: one number, or a tensor (N,) with one per example.
    """

    eps: float | Tensor

    p: ClassVar[float]

    def __post_init__(self) -> None:
        radii = torch.as_tensor(self.eps, dtype=torch.float64)
        fine = (radii >= 0) & radii.isfinite()
        if not bool(fine.all()):
            found = float(radii[~fine].flatten()[0])
            raise TestudoError(f"eps must be at least 0 and finite, in [0, 1] pixel units; got {found}")

    def radii(self, images: Tensor) -> Tensor:
        """``eps`` in float64: (N,), or (1,) where it is the same for all."""
        eps = torch.as_tensor(self.eps, dtype=torch.float64, device=images.device)
        if eps.dim() and len(eps) != len(images):
            raise TestudoError(f"{len(eps)} values of eps for {len(images)} images")
        return eps.reshape(-1)

    def radius(self, images: Tensor) -> float | Tensor:
        """``eps`` so that it broadcasts over ``images`` (N, C, H, W), in their precision."""
        if not isinstance(self.eps, Tensor) or self.eps.dim() == 0:
            return float(self.eps)
        return per_example(self.radii(images).to(images), images)

    def size(self, images: Tensor, clean: Tensor) -> Tensor:
        """(N,) the norm of each perturbation."""
        return norms(images - clean, self.p)

    @abstractmethod
    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """The nearest images (Euclidean) inside both the ball and the box."""

    @abstractmethod
    def random_start(self, clean: Tensor, ids: Tensor, *stream: int) -> Tensor:
        """A uniform draw from the ball, cut to the box; a function of id and ``stream`` alone."""

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest ascent direction of norm 1; zero where the gradient is zero."""


@dataclass(frozen=True)
class Linf(Threat):
    """Every value may move by at most ``eps``.

    >>> clean = torch.full((1, 1, 1, 2), 0.5)
    >>> Linf(0.1).project(clean + torch.tensor([0.3, -0.05]), clean)
    tensor([[[[0.6000, 0.4500]]]])
    """

    p: ClassVar[float] = math.inf

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Clip to the ball, then to the box: exact, since both are boxes."""
        radius = self.radius(clean)
        return torch.clamp(images, clean - radius, clean + radius).clamp_(0, 1)

    def random_start(self, clean: Tensor, ids: Tensor, *stream: int) -> Tensor:
        """Each value uniform in [-eps, eps]."""
        draws = uniform(ids, tuple(clean.shape[1:]), *stream).to(clean)
        return self.project(clean + (2 * draws - 1) * self.radius(clean), clean)

    def direction(self, gradient: Tensor) -> Tensor:
        """The sign."""
        return gradient.sign()


@dataclass(frozen=True)
class L2(Threat):
    """The perturbation's Euclidean norm is at most ``eps``.

    >>> clean = torch.full((1, 1, 1, 2), 0.5)
    >>> moved = L2(0.5).project(clean + torch.tensor([3.0, 4.0]) / 10, clean)
    >>> moved, L2(0.5).size(moved, clean)
    (tensor([[[[0.8000, 0.9000]]]]), tensor([0.5000]))
    """

    p: ClassVar[float] = 2

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Exact projection onto ball and box at once.

        The nearest point is ``clean + clip(s delta)`` with the box's clipping and one factor s in [0, 1] per
        example, at which the norm is eps. The norm grows with s, and coordinates once clipped stay clipped, so
        solving for s among the unclipped ones, from below, ends after finitely many rounds at the answer.
        """
        delta = images - clean
        room = torch.where(delta > 0, 1 - clean, clean)
        boxed = torch.minimum(delta.abs(), room)
        limit = self.radii(clean)
        # A point already projected is left as it is, bit for bit, hence the margin of rounding.
        outside = norms(boxed, 2) > limit * (1 + 1e-6)
        if outside.any():
            far, wall = delta[outside].abs().flatten(1).double(), room[outside].flatten(1).double()
            factor = _factor(far, wall, limit.expand(len(clean))[outside])
            boxed[outside] = torch.minimum(far * factor, wall).to(clean.dtype).reshape(boxed[outside].shape)
        moved = clean + boxed * delta.sign()
        # Rounding the sum may lead out again, on an even image by as much as sqrt(D) roundings of one pixel.
        moved = torch.where((moved - clean).abs() > boxed, torch.nextafter(moved, clean), moved)
        return torch.where(boxed == delta.abs(), images, moved).clamp(0, 1)

    def random_start(self, clean: Tensor, ids: Tensor, *stream: int) -> Tensor:
        """Uniform in the ball: a normal direction, at radius eps u^(1/D)."""
        shape = tuple(clean.shape[1:])
        way = self.direction(normal(ids, shape, *stream, 1).to(clean))
        depth = uniform(ids, (1,), *stream, 2).to(clean) ** (1 / max(1, math.prod(shape)))
        return self.project(clean + way * per_example(depth, clean) * self.radius(clean), clean)

    def direction(self, gradient: Tensor) -> Tensor:
        """The gradient over its norm."""
        return unit(gradient, 2)


def _factor(far: Tensor, wall: Tensor, limit: Tensor) -> Tensor:
    """The s at which |min(s far, wall)| = limit: (M, D), (M, D), (M,) -> (M, 1), float64."""
    factor = (limit / far.norm(dim=1).clamp(min=TINY))[:, None]
    while True:
        clipped = far * factor >= wall
        spent = (wall.square() * clipped).sum(1, keepdim=True)
        free = (far.square() * ~clipped).sum(1, keepdim=True)
        left = (limit[:, None].square() - spent).clamp(min=0)
        new = torch.where(free > 0, (left / free.clamp(min=TINY * TINY)).sqrt(), factor)
        grows = new > factor * (1 + 1e-12)
        if not bool(grows.any()):
            return factor
        factor = torch.where(grows, new, factor)  # one that has arrived stays, however long its neighbours take
