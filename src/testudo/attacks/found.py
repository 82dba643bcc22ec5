"""What is given and what was found, example by example, so that rows can be taken out and put back."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from testudo.attacks.threat import Threat


def pick(values: Any, rows: Tensor) -> Any:
    """``values`` of the examples at ``rows`` alone: a tensor, or tables of tensors, with N as first dimension.

    >>> pick({"digit": torch.tensor([5, 6, 7])}, torch.tensor([2, 0]))
    {'digit': tensor([7, 5])}
    """
    if isinstance(values, dict):
        return {name: pick(value, rows) for name, value in values.items()}
    return values[rows]


@dataclass(frozen=True, eq=False)
class Given:
    """The examples to attack: clean images (N, C, H, W), ids (N,), labels, which are known (N, K), and how far."""

    clean: Tensor
    ids: Tensor
    targets: dict[str, Tensor]
    labelled: Tensor
    threat: Threat

    def take(self, rows: Tensor) -> Given:
        """Those at ``rows``."""
        return Given(
            self.clean[rows], self.ids[rows], pick(self.targets, rows), self.labelled[rows], self.threat.take(rows)
        )


@dataclass(frozen=True, eq=False)
class Found:
    """The images of each example that count so far (N, C, H, W), and what was measured there.

    Attributes:
        losses: (N, K) what was raised, -inf where nothing was measured yet.
        merit: (N,) the balance's one number.
        decided: (N,) whether every attacked task is beaten there.
        weights: (N, K) the balance's latest weights.
    """

    images: Tensor
    losses: Tensor
    merit: Tensor
    decided: Tensor
    weights: Tensor

    @classmethod
    def nothing(cls, clean: Tensor, tasks: int) -> Found:
        """Before the first measurement."""
        losses = clean.new_full((len(clean), tasks), -torch.inf)
        decided = torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
        return cls(clean, losses, losses.amax(1), decided, torch.full_like(losses, 1 / tasks))

    def take(self, rows: Tensor) -> Found:
        """Those at ``rows``."""
        return Found(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def put(self, rows: Tensor, other: Found) -> Found:
        """These, but ``other`` at ``rows``."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return Found(**{name: mine.index_copy(0, rows, its) for name, (mine, its) in pairs.items()})

    def better(self, where: Tensor, images: Tensor, losses: Tensor, merit: Tensor, decided: Tensor) -> Found:
        """These, but the other values in the rows that ``where`` (N,) names."""
        return replace(
            self,
            images=torch.where(where[:, None, None, None], images, self.images),
            losses=torch.where(where[:, None], losses, self.losses),
            merit=torch.where(where, merit, self.merit),
            decided=torch.where(where, decided, self.decided),
        )
