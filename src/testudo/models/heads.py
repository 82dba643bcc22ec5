"""From a feature map to one task's prediction."""

from __future__ import annotations

import zlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.tasks.task import Task


class LinearHead(nn.Module):
    """Global average pool and a linear layer: (N, features, h, w) -> (N, channels).

    Pools and multiplies in float32 or wider whatever the precision of the encoder, autocast included:
    differences of logits are what attacks climb.

    >>> LinearHead(4, 2)(torch.zeros(3, 4, 5, 5, dtype=torch.bfloat16)).dtype
    torch.float32
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, channels)

    def forward(self, features: Tensor) -> Tensor:
        """The task's raw outputs, in the weights' precision, at least float32."""
        weight, bias = self.linear.weight, self.linear.bias
        dtype = torch.promote_types(weight.dtype, torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features.mean((2, 3), dtype=dtype), weight.to(dtype), bias.to(dtype))


def head_for(task: Task, features: int, seed: int) -> nn.Module:
    """The default head of ``task``, initialised by ``seed`` and the task's name alone.

    So the heads of other tasks do not change what this one starts from.

    Raises:
        TestudoError: a dense task.
    """
    if task.dense:
        raise TestudoError(f"task {task.name!r} is dense and has no default head; give one: add_head(task, head)")
    with seeded(seed ^ zlib.crc32(task.name.encode())):
        return LinearHead(features, task.channels)
