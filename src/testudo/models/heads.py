"""From a feature map to one task's prediction."""

from __future__ import annotations

import zlib
from typing import cast

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


class DenseHead(nn.Module):
    """A linear layer at every pixel: (N, features, H, W) -> (N, channels, H, W), in float32 or wider as the above.

    >>> DenseHead(4, 2)(torch.zeros(3, 4, 5, 5, dtype=torch.bfloat16)).dtype
    torch.float32
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """The task's raw outputs, in the weights' precision, at least float32."""
        weight, bias = self.conv.weight, cast(Tensor, self.conv.bias)
        dtype = torch.promote_types(weight.dtype, torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            return F.conv2d(features.to(dtype), weight.to(dtype), bias.to(dtype))


def head_for(task: Task, encoder: nn.Module, seed: int) -> nn.Module:
    """The default head of ``task`` on ``encoder``, initialised by ``seed`` and the task's name alone.

    So the heads of other tasks do not change what this one starts from.

    Raises:
        TestudoError: a dense task on an encoder whose last map is coarser than the image.
    """
    if task.dense and not getattr(encoder, "full_size", False):
        raise TestudoError(
            f"task {task.name!r} is dense and has no default head on this encoder, whose last map is coarser than the "
            "image; take one with a decoder (unet), or give a head: add_head(task, head)"
        )
    head = DenseHead if task.dense else LinearHead
    with seeded(seed ^ zlib.crc32(task.name.encode())):
        return head(cast(int, encoder.features), task.channels)
