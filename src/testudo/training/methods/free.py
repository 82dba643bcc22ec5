"""Adversarial training whose perturbations cost nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.attacks.threat import Linf, Threat
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.processes import gathered, rank
from testudo.tasks.task import Task
from testudo.tensors import working_precision
from testudo.training.methods.base import Method, State

KEY = "method.free"  # (N, V, C, H, W) the perturbation of each view of each place of a batch


@dataclass(frozen=True)
class Free(Method):
    """Each batch is learnt from ``replays`` times; every backward pass moves the weights and the perturbation at once.

    The gradient that leads a perturbation on is that of the trainer's own backward pass, of the network in training
    mode. The perturbation is not begun anew with a batch: the image at a place of the batch (with pretexts, each of
    its views) goes on from what the last image there ended with, cut to its own box, as a Threat's projection does it.

    Source: Shafahi et al. 2019, Algorithm 1 (https://arxiv.org/abs/1904.12843), with steps of eps and 8 replays as for
    CIFAR-10. An epoch costs as much as ``replays`` plain ones: the authors divide their number by it.

    A balance that needs each term's gradient for itself is refused: there is no one backward pass then that would also
    reach the images. Nor can a batch come in parts, which would overwrite each other's perturbations.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        threat: ball and box; one eps for all examples.
        replays: optimiser steps on each batch, the paper's m.
        length: of the perturbation's step, over eps.

    >>> Free(replays=4).passes(())
    4
    """

    threat: Threat = Linf(8 / 255)
    replays: int = 8
    length: float = 1.0

    divisible: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.replays < 1 or not 0 < self.length < math.inf:
            found = f"{self.replays} and {self.length}"
            raise TestudoError(f"replays must be at least 1, length above 0 and finite, in units of eps; got {found}")
        if isinstance(self.threat.eps, Tensor) and self.threat.eps.dim():
            raise TestudoError("free needs one eps for all examples, as the perturbations go from one to another")
        if self.balance is not None and self.balance.needs == "gramian":
            raise TestudoError(
                f"free has one backward pass for weights and images, and {type(self.balance).__name__} needs one for "
                "each term; use a balance of losses, or madry"
            )

    def steps_of(self, tasks: Sequence[Task]) -> int:
        """One for each replay."""
        return self.replays

    def updates(self, tasks: Sequence[Task]) -> int:
        """The replays; attacks there are none."""
        return self.replays

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """``{"task.adv": ...}`` before any step of the perturbation, at the clean images."""
        return self.task_terms(model, batch, "adv")

    def steps(self, model: Model, batch: Batch, state: State) -> Iterator[dict[str, Tensor]]:
        """The replays; where the trainer made no backward pass, the perturbation stays."""
        clean = working_precision(batch.images)
        places = len(clean) // self.images  # view after view, as the pretexts pose them
        first = int(gathered(torch.tensor([places], device=clean.device))[: rank()].sum())
        kept = _kept(state, first + places, clean.unflatten(0, (self.images, -1)).transpose(0, 1))
        begun = kept[first : first + places].transpose(0, 1).flatten(0, 1)
        images = self.threat.project(clean + begun, clean)
        for _ in range(self.replays):
            leaf = images.detach().requires_grad_()
            yield self.task_terms(model, batch.with_images(leaf), "adv")
            if leaf.grad is not None:
                way = self.threat.direction(leaf.grad.nan_to_num(0, 0, 0), images)
                images = self.threat.project(images + self.length * float(self.threat.eps) * way, clean)
        moved = gathered((images - clean).unflatten(0, (self.images, -1)).transpose(0, 1).contiguous())
        state[KEY] = torch.cat([moved, kept[len(moved) :]])


def _kept(state: State, least: int, like: Tensor) -> Tensor:
    """The perturbations kept so far, none for new places or images of another size: at least ``least``."""
    kept = state.get(KEY, like[:0])
    kept = (kept if kept.shape[1:] == like.shape[1:] else like[:0]).to(like)
    return torch.cat([kept, like.new_zeros(max(0, least - len(kept)), *like.shape[1:])])
