"""The optimiser and its learning-rate schedule, as a recipe states them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from testudo.errors import TestudoError


@dataclass(frozen=True)
class Optimiser:
    """A gradient step.

    Args:
        algorithm: ``"sgd"`` (with Nesterov momentum where ``nesterov``), ``"adam"`` or ``"adamw"``.
        lr: learning rate at its peak.
        momentum: of SGD.
        weight_decay: on every parameter.

    >>> Optimiser(lr=0.05).build([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"]
    0.05
    """

    algorithm: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = False

    def __post_init__(self) -> None:
        if not (self.lr > 0 and 0 <= self.momentum < 1 and self.weight_decay >= 0):
            raise TestudoError(
                "an optimiser needs lr > 0, momentum in [0, 1) and weight_decay >= 0; "
                f"got {self.lr}, {self.momentum}, {self.weight_decay}"
            )
        if self.nesterov and self.algorithm == "sgd" and self.momentum == 0:
            raise TestudoError("nesterov needs a momentum above 0, got 0")

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser over ``parameters``."""
        if self.algorithm == "sgd":
            return torch.optim.SGD(
                parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
            )
        made = torch.optim.Adam if self.algorithm == "adam" else torch.optim.AdamW
        return made(parameters, self.lr, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Schedule:
    """The learning rate over a run, as a factor of its peak.

    Args:
        shape: ``"constant"``, ``"cosine"`` (to zero), ``"linear"`` (to zero) or ``"multistep"``.
        warmup: share of the run over which the rate rises linearly from zero first.
        milestones: shares of the run after which ``"multistep"`` multiplies by ``factor``.
        factor: see ``milestones``.

    >>> Schedule("cosine").at(0.0), round(Schedule("cosine").at(0.5), 6), Schedule("multistep").at(0.6)
    (1.0, 0.5, 0.1)
    """

    shape: Literal["constant", "cosine", "linear", "multistep"] = "cosine"
    warmup: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise TestudoError(f"warmup must be a share of the run in [0, 1), got {self.warmup}")
        if not all(0 <= share <= 1 for share in self.milestones) or not 0 < self.factor <= 1:
            found = f"{self.milestones} and {self.factor}"
            raise TestudoError(f"milestones must be shares of the run in [0, 1] and factor in (0, 1], got {found}")

    def at(self, progress: float) -> float:
        """The factor after ``progress`` (0 to 1) of the run."""
        if progress < self.warmup:
            return progress / self.warmup
        rest = (progress - self.warmup) / (1 - self.warmup)
        if self.shape == "cosine":
            return (1 + math.cos(math.pi * rest)) / 2
        if self.shape == "linear":
            return 1 - rest
        if self.shape == "multistep":
            return self.factor ** sum(progress >= m for m in self.milestones)
        return 1.0
