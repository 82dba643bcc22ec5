"""The shape of the loss around the images: whether it is rough, and whether the gradient says where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from testudo.data.batch import Batch
from testudo.data.splits import evenly
from testudo.errors import TestudoError
from testudo.evaluation.diagnosis.base import Check, Finding, Verdict
from testudo.evaluation.diagnosis.evidence import Evidence, Values
from testudo.evaluation.diagnosis.intervals import FEWEST, Median, median
from testudo.tensors import dot, normal, norms

STREAM = 7  # of the random directions, which nothing else draws


@dataclass(frozen=True)
class Surface(Check):
    """Along its gradient the surface must be smooth at the scale of the ball, and near the image do what it says.

    The surface is the margin of the logits (best wrong less right) of a classification, else the task's loss.

    * *Roughness* of the values f_0, ..., f_k on the line from the image along the gradient to the edge of the ball:
      the sum of abs(f_(i+1) - 2 f_i + f_(i-1)) over the sum of abs(f_(i+1) - f_i). It is 0 for a straight line, at most
      2 for nothing but separate jumps, about 1.4 for a random walk, and about 1.7 for noise. Where there is no gradient
      the line goes in a random direction.
    * *Agreement* of the changes m that small steps make (one along the gradient, some at random) with those p that the
      gradient promises: sum p m / sqrt(sum p^2 sum m^2), from -1 to 1; 0 where there is no gradient or no change.

    Both are medians over examples.

    Args:
        examples: how many are looked at, of those that there is something to do to.
        points: of a line.
        rough: the roughness above which it fails: half of a random walk's.
        agreed: the agreement below which it fails: at 0.5 the gradient tells a quarter of what happens.
        near: the length of the small steps, over eps.
        directions: how many of them are random.
    """

    examples: int = 64
    points: int = 33
    rough: float = 0.7
    agreed: float = 0.5
    near: float = 0.125
    directions: int = 8

    name: ClassVar[str] = "surface"
    source: ClassVar[str] = "Athalye et al. 2018 (arXiv:1802.00420); Qin et al. 2019 (arXiv:1907.02610), on linearity"

    def __post_init__(self) -> None:
        if self.points < 3 or self.examples < 1 or self.directions < 1:
            raise TestudoError("surface: points must be at least 3, examples and directions at least 1")

    def __call__(self, evidence: Evidence) -> Finding:
        """Walk the lines and the small steps."""
        chosen = evidence.standing[evenly(self.examples, len(evidence.standing))]
        if len(chosen) == 0:
            return self.finding(evidence, "skipped", "no example is told right, so there is nothing to attack", n=0)
        hill = Hill.at(evidence, evidence.batch[chosen])
        walked = [roughness(hill.line(evidence, way, self.points)) for way in (hill.up, hill.across)]
        rough = median(np.where(hill.flat, walked[1], walked[0]))
        agreed = median(hill.agreement(evidence, self.near, self.directions))
        verdict, so = self._judged(rough, agreed, len(chosen))
        numbers = {"roughness": rough.value, "roughness low": rough.low, "roughness high": rough.high}
        numbers |= {"agreement": agreed.value, "agreement low": agreed.low, "agreement high": agreed.high}
        numbers |= {"roughness at random": float(np.median(walked[1])), "n": len(chosen)}
        said = (
            f"the line along the gradient has roughness {rough.value:.2f} (0 straight, 1.4 a random walk), "
            f"and what happens agrees with it by {agreed.value:.2f}{so}"
        )
        return self.finding(evidence, verdict, said, **numbers)

    def _judged(self, rough: Median, agreed: Median, n: int) -> tuple[Verdict, str]:
        """The verdict, and what follows from it."""
        if rough.low > self.rough or agreed.high < self.agreed:
            return "fail", (
                ": the gradient does not say where the loss goes; look for rounding, thresholds, ripples or noise on "
                "the way to it, and attack a smooth stand-in (BPDA)"
            )
        if rough.value > self.rough or agreed.value < self.agreed or n < FEWEST:
            return "warn", f"; not decided: {n} examples are too few"
        return "pass", ""


@dataclass(frozen=True, eq=False)
class Hill:
    """The surface around some images: which way is up, and one random way across, both (M, C, H, W) of norm 1."""

    batch: Batch
    gradient: Tensor
    value: Tensor
    up: Tensor
    across: Tensor

    @classmethod
    def at(cls, evidence: Evidence, batch: Batch) -> Hill:
        """Around the images of ``batch``."""
        batch = Batch.cat(evidence.parts(batch))
        gradient, value = evidence.climb(batch, evidence.sharp)
        ways = [evidence.threat.direction(way, batch.images) for way in (gradient, _random(batch, 0))]
        return cls(batch, gradient, value, *ways)

    @property
    def flat(self) -> np.ndarray:
        """(M,) bool: there is no gradient."""
        return (norms(self.up, 2) == 0).cpu().numpy()

    def move(self, evidence: Evidence, step: Tensor) -> Batch:
        """The images after ``step`` (M, C, H, W), a share of eps long, inside ball and box."""
        images = self.batch.images
        return self.batch.with_images(evidence.threat.project(images + float(evidence.threat.eps) * step, images))

    def line(self, evidence: Evidence, way: Tensor, points: int) -> Values:
        """(M, points) values from the image to the edge of the ball."""
        shares = torch.linspace(0, 1, points).tolist()
        return np.stack([self.value_at(evidence, share * way) for share in shares], 1)

    def value_at(self, evidence: Evidence, step: Tensor) -> Values:
        """(M,) the surface after a step."""
        return evidence.values(self.move(evidence, step), evidence.sharp).double().cpu().numpy()

    def agreement(self, evidence: Evidence, near: float, directions: int) -> Values:
        """(M,) see :class:`Surface`."""
        random = (evidence.threat.direction(_random(self.batch, k), self.batch.images) for k in range(directions))
        start, told, seen = self.value.double().cpu().numpy(), [], []
        for way in (self.up, *random):
            moved = self.move(evidence, near * way)
            told.append(dot(self.gradient, moved.images - self.batch.images).double().cpu().numpy())
            seen.append(evidence.values(moved, evidence.sharp).double().cpu().numpy() - start)
        p, m = np.stack(told), np.stack(seen)
        size = np.sqrt((p**2).sum(0) * (m**2).sum(0))
        return np.where(size > 0, (p * m).sum(0) / np.where(size > 0, size, 1), 0)


def roughness(values: Values) -> Values:
    """(M, k) values on lines -> (M,), see :class:`Surface`; changes that are mere rounding count as none.

    >>> roughness(np.array([[0.0, 1, 2, 3], [0, 1, 1, 1], [0, 1, 0, 1]]))
    array([0.        , 1.        , 1.33333333])
    """
    steps = np.diff(values, axis=1)
    steps = np.where(np.abs(steps) > 16 * np.finfo(np.float32).eps * np.abs(values).max(1, keepdims=True), steps, 0)
    whole = np.abs(steps).sum(1)
    return np.abs(np.diff(steps, axis=1)).sum(1) / np.where(whole > 0, whole, 1)


def _random(batch: Batch, number: int) -> Tensor:
    return normal(batch.ids, tuple(batch.images.shape[1:]), STREAM, number).to(batch.images)
