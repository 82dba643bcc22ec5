"""The ball and the box: how far an attacker may go.

Images are (N, C, H, W) in [0, 1]; every epsilon is in that space.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from testudo.errors import TestudoError
from testudo.tensors import normal, norms, per_example, uniform, unit

TINY = 1e-12
FAR = 1e3  # pixel units: beyond it float64 no longer tells where in the box a point projects to


@dataclass(frozen=True)
class Threat(ABC):
    """A norm ball of radius ``eps`` around the clean image, cut with the box [0, 1].

    Args:
        eps: the radius in [0, 1] pixel units: one number, or a tensor (N,) with one per example.
        mask: bool, True where the attacker may change a value; broadcasts to the images (N, C, H, W), so (H, W),
            (C, H, W) and (N, 1, H, W) will do. It is for Python alone: no recipe holds it.

    Raises:
        TestudoError: eps is negative or not finite, the mask is not bool, or either does not fit the images.
    """

    eps: float | Tensor
    mask: Tensor | None = field(default=None, repr=False, kw_only=True)

    p: ClassVar[float]

    def __post_init__(self) -> None:
        radii = torch.as_tensor(self.eps, dtype=torch.float64)
        fine = (radii >= 0) & radii.isfinite()
        if not bool(fine.all()):
            found = float(radii[~fine].flatten()[0])
            raise TestudoError(f"eps must be at least 0 and finite, in [0, 1] pixel units; got {found}")
        if self.mask is not None and (not isinstance(self.mask, Tensor) or self.mask.dtype != torch.bool):
            raise TestudoError(f"mask must be a bool tensor, got {getattr(self.mask, 'dtype', self.mask)}")

    def take(self, index: Tensor) -> Self:
        """The threat for some examples alone: ``index`` is (M,) rows, or (N,) bool."""
        eps, mask = self.eps, self.mask
        if isinstance(eps, Tensor) and eps.dim():
            eps = eps[index.to(eps.device)]
        if mask is not None and mask.dim() == 4 and len(mask) > 1:
            mask = mask[index.to(mask.device)]
        return replace(self, eps=eps, mask=mask)

    def masked(self, values: Tensor, otherwise: Tensor | float) -> Tensor:
        """``values`` (N, C, H, W) where the attacker may change the image, ``otherwise`` elsewhere."""
        return values if self.mask is None else torch.where(_fitted(self.mask, values), values, otherwise)

    def dimensions(self, images: Tensor) -> Tensor:
        """(N,) how many values of each image may change."""
        if self.mask is None:
            return torch.full((len(images),), images[:1].numel(), device=images.device)
        return _fitted(self.mask, images).expand(images.shape).flatten(1).sum(1)

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
    def direction(self, gradient: Tensor, images: Tensor) -> Tensor:
        """The steepest ascent direction of norm 1 at ``images``; zero where the gradient is zero or masked."""


@dataclass(frozen=True)
class Linf(Threat):
    """Every value may move by at most ``eps``.

    >>> clean = torch.full((1, 1, 1, 2), 0.5)
    >>> Linf(0.1).project(clean + torch.tensor([0.3, -0.05]), clean)
    tensor([[[[0.6000, 0.4500]]]])
    >>> Linf(0.1, mask=torch.tensor([[False, True]])).project(clean + torch.tensor([0.3, -0.05]), clean)
    tensor([[[[0.5000, 0.4500]]]])
    """

    p: ClassVar[float] = math.inf

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Clip to the ball, then to the box: exact, since both are boxes."""
        radius = self.radius(clean)
        return torch.clamp(self.masked(images, clean), clean - radius, clean + radius).clamp_(0, 1)

    def random_start(self, clean: Tensor, ids: Tensor, *stream: int) -> Tensor:
        """Each value uniform in [-eps, eps]."""
        draws = uniform(ids, tuple(clean.shape[1:]), *stream).to(clean)
        return self.project(clean + (2 * draws - 1) * self.radius(clean), clean)

    def direction(self, gradient: Tensor, images: Tensor) -> Tensor:
        """The sign."""
        return self.masked(gradient, 0).sign()


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
        example, at which the norm is eps.
        """
        return _nearest(self, self.masked(images, clean), clean, _scaled)

    def random_start(self, clean: Tensor, ids: Tensor, *stream: int) -> Tensor:
        """Uniform in the ball: a normal direction, at radius eps u^(1/D)."""
        way = unit(self.masked(normal(ids, tuple(clean.shape[1:]), *stream, 1).to(clean), 0), 2)
        return self.project(clean + way * _depth(self, clean, ids, *stream, 2), clean)

    def direction(self, gradient: Tensor, images: Tensor) -> Tensor:
        """The gradient over its norm."""
        return unit(self.masked(gradient, 0), 2)


@dataclass(frozen=True)
class L1(Threat):
    """The perturbation's absolute values sum to at most ``eps``.

    >>> clean = torch.full((1, 1, 1, 2), 0.5)
    >>> L1(0.3).project(clean + torch.tensor([0.4, -0.1]), clean)
    tensor([[[[0.8000, 0.5000]]]])
    """

    p: ClassVar[float] = 1
    share: ClassVar[float] = 0.01

    def project(self, images: Tensor, clean: Tensor) -> Tensor:
        """Exact projection onto ball and box at once (Croce & Hein 2021, "Mind the box", sec. 2).

        The nearest point moves each value by ``clip(|delta| - theta, 0, room)`` with one threshold theta per
        example, at which the moves sum to eps. Points more than :data:`FAR` away count as that far.
        """
        return _nearest(self, self.masked(images, clean), clean, _thresholded)

    def random_start(self, clean: Tensor, ids: Tensor, *stream: int) -> Tensor:
        """Uniform in the ball: signed exponential draws over their sum, at radius eps u^(1/D)."""
        draws = 2 * uniform(ids, tuple(clean.shape[1:]), *stream, 1).to(clean) - 1  # never 0
        way = unit(self.masked(draws.sign() * draws.abs().log(), 0), 1)
        return self.project(clean + way * _depth(self, clean, ids, *stream, 2), clean)

    def direction(self, gradient: Tensor, images: Tensor) -> Tensor:
        """The sign on the steepest 1 % of the values that may change and have room left in the box, over their number.

        The steepest direction proper is a single value, and makes for slow searches: hence the sparse step of
        Tramer & Boneh 2019 (SLIDE), with the share that cleverhans and foolbox have. All that tie with the last
        of them join it; where 1 % is less than one value, it is one.
        """
        open_ = torch.where(gradient > 0, images < 1, images > 0)
        slope = (self.masked(gradient, 0).abs() * open_).flatten(1)
        if slope.numel() == 0:
            return gradient
        counts = (self.share * self.dimensions(images)).round().long().clamp(min=1)
        last = slope.topk(int(counts.max()), dim=1).values.gather(1, counts[:, None] - 1)
        steepest = ((slope >= last) & (slope > 0)).reshape(gradient.shape)
        return unit(gradient.sign() * steepest, 1)


def _fitted(mask: Tensor, images: Tensor) -> Tensor:
    """The mask, which broadcasts to ``images``, on their device."""
    shape = tuple(images.shape)
    if mask.dim() > len(shape) or any(a not in (1, b) for a, b in zip(mask.shape[::-1], shape[::-1], strict=False)):
        raise TestudoError(
            f"mask of shape {tuple(mask.shape)} does not fit images of shape {shape}: "
            f"allowed are {shape[2:]}, {shape[1:]} and {shape}, with 1 for a dimension that shares it"
        )
    return mask.to(images.device)


def _depth(threat: Threat, clean: Tensor, ids: Tensor, *stream: int) -> Tensor:
    """The distance from the centre of uniform draws from a ball, (N, 1, 1, 1): eps u^(1/D)."""
    depth = uniform(ids, (), *stream).to(clean) ** (1 / threat.dimensions(clean).clamp(min=1))
    return per_example(depth.to(clean), clean) * threat.radius(clean)


def _nearest(threat: Threat, images: Tensor, clean: Tensor, shrink: Callable[..., Tensor]) -> Tensor:
    """The nearest images in ball and box; ``shrink(far, wall, limit)`` cuts the moves of those outside the ball.

    It works in float64, on the moves' magnitudes (M, D), the room (M, D) that the box leaves them, and eps (M, 1).
    """
    centre = clean.double()
    delta = images.double() - centre
    room = torch.where(delta > 0, 1 - centre, centre)
    moves = torch.minimum(delta.abs(), room)
    limit = threat.radii(clean).expand(len(clean))
    # A point already projected is left as it is, bit for bit, hence the margin of rounding.
    outside = norms(moves, threat.p) > limit * (1 + 1e-12)
    if outside.any():
        far, wall = delta[outside].abs().flatten(1), room[outside].flatten(1)
        moves[outside] = shrink(far, wall, limit[outside, None]).reshape(-1, *clean.shape[1:])
    moved = (centre + moves * delta.sign()).to(clean.dtype)
    # Rounding may lead out again, on an even image by as much as D roundings of one pixel.
    moved = torch.where((moved.double() - centre).abs() > moves, torch.nextafter(moved, clean), moved)
    return torch.where(moves == delta.abs(), images, moved).clamp(0, 1)


def _scaled(far: Tensor, wall: Tensor, limit: Tensor) -> Tensor:
    """min(s far, wall) with the s at which its 2-norm is ``limit``.

    The norm grows with s, and values once clipped stay clipped, so solving for s among the unclipped ones, from
    below, ends after finitely many rounds at the answer.
    """
    factor = limit / norms(far, 2)[:, None].clamp(min=TINY)
    while True:
        clipped = far * factor >= wall
        spent = (wall.square() * clipped).sum(1, keepdim=True)
        free = (far.square() * ~clipped).sum(1, keepdim=True)
        left = (limit.square() - spent).clamp(min=0)
        new = torch.where(free > 0, (left / free.clamp(min=TINY * TINY)).sqrt(), factor)
        grows = new > factor * (1 + 1e-12)
        if not bool(grows.any()):
            return torch.minimum(far * factor, wall)
        factor = torch.where(grows, new, factor)  # one that has arrived stays, however long its neighbours take


def _thresholded(far: Tensor, wall: Tensor, limit: Tensor) -> Tensor:
    """min(max(far - theta, 0), wall) with the theta >= 0 at which its sum is ``limit``.

    The sum is piecewise linear and falls with theta: Newton's steps from 0, which end at the answer once they are
    on its piece. A step that leaves what is known to hold the answer, or is hardly shorter than the last, gives way
    to a halving of the interval: alone, Newton's may take thousands.
    """
    far = far.clamp(max=FAR)
    theta, low, high = torch.zeros_like(limit), torch.zeros_like(limit), far.amax(1, keepdim=True)
    step = torch.full_like(limit, math.inf)
    while True:
        left = (far - theta).clamp_(min=0)
        moves = torch.minimum(left, wall)
        size = moves.sum(1, keepdim=True)
        excess = size - limit
        slope = ((left <= wall) & (left > 0)).sum(1, keepdim=True)
        newton = theta + excess / slope.clamp(min=1)
        there = (excess.abs() <= 1e-14 * limit) | ((newton - theta).abs() <= 1e-15 * theta)
        if bool(there.all()):
            return moves * torch.where(excess > 0, limit / size, 1)
        low, high = torch.where(excess > 0, theta, low), torch.where(excess > 0, high, theta)
        good = (newton > low) & (newton < high) & ((newton - theta).abs() <= 0.75 * step)
        new = torch.where(good, newton, (low + high) / 2)
        step = (new - theta).abs()
        theta = torch.where(there, theta, new)  # one that has arrived stays, however long its neighbours take
