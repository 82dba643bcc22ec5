"""A moving average of a model's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from testudo.models.model import Model
from testudo.training import checkpoint

PREFIX = "ema."


class Average:
    """Weights that follow a model's slowly: after each batch w becomes d w + (1 - d) times the model's.

    Polyak's averaging as Tarvainen & Valpola 2017 have it (https://arxiv.org/abs/1703.01780) and adversarial training
    uses it (Gowal et al. 2020). In the first steps d is less: at most (1 + t) / (10 + t) after step t. Buffers, such
    as the statistics of batch norm, are the model's own.

    Args:
        model: whose weights.
        decay: d, in (0, 1).
        states: of a checkpoint, where the tensors called "ema.*" are where it left off.
    """

    def __init__(self, model: Model, decay: float, states: Mapping[str, Tensor]) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        kept = {"model." + name.removeprefix(PREFIX): v for name, v in states.items() if name.startswith(PREFIX)}
        if kept:
            checkpoint.load_weights(self.model, kept)

    @torch.no_grad()
    def follow(self, model: Model, steps: int) -> None:
        """One batch on, after ``steps`` steps in all."""
        rate = 1 - min(self.decay, (1 + steps) / (10 + steps))
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, rate)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def states(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {PREFIX + name: value for name, value in self.model.state_dict().items()}
