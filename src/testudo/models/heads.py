"""From an encoder's maps to one task's prediction."""

from __future__ import annotations

import zlib
from contextlib import AbstractContextManager
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from testudo.errors import TestudoError
from testudo.models.decoders import Decoders
from testudo.models.encoder import seeded
from testudo.models.pyramid import Features, maps
from testudo.tasks.task import Task


class LinearHead(nn.Module):
    """Global average pool and a linear layer: (N, features, h, w), of several maps the last -> (N, channels).

    Pools and multiplies in float32 or wider whatever the precision of the encoder, autocast included:
    differences of logits are what attacks climb.

    >>> LinearHead(4, 2)(torch.zeros(3, 4, 5, 5, dtype=torch.bfloat16)).dtype
    torch.float32
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, channels)

    def forward(self, features: Features) -> Tensor:
        """The task's raw outputs, in the weights' precision, at least float32."""
        pooled = _pooled(features, self.linear)
        with torch.autocast(pooled.device.type, enabled=False):
            return _linear(pooled, self.linear)


class ProjectionHead(nn.Module):
    """Global average pool, a linear layer as wide as the features, ReLU, a linear layer; in float32, as the above.

    What a contrastive task compares: the projection of SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709),
    z = W2 relu(W1 h), here with biases; the batch norm in its released code is left out.

    >>> ProjectionHead(4, 2)(torch.zeros(3, 4, 5, 5, dtype=torch.bfloat16)).shape
    torch.Size([3, 2])
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.linear = nn.Linear(features, channels)

    def forward(self, features: Features) -> Tensor:
        """The projections, in the weights' precision, at least float32."""
        pooled = _pooled(features, self.linear)
        with torch.autocast(pooled.device.type, enabled=False):
            return _linear(_linear(pooled, self.hidden).relu(), self.linear)


class DenseHead(nn.Module):
    """A convolution, by default a linear layer at every pixel: (N, features, H, W) -> (N, channels, H, W).

    Of several maps it reads the last; in float32 or wider, as the above.

    >>> DenseHead(4, 2)(torch.zeros(3, 4, 5, 5, dtype=torch.bfloat16)).dtype
    torch.float32
    """

    def __init__(self, features: int, channels: int, size: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(features, channels, size, padding=size // 2)

    def forward(self, features: Features) -> Tensor:
        """The task's raw outputs, in the weights' precision, at least float32."""
        weight, bias, last = self.conv.weight, cast(Tensor, self.conv.bias), maps(features)[-1]
        dtype = torch.promote_types(weight.dtype, torch.float32)
        with torch.autocast(last.device.type, enabled=False):
            return F.conv2d(last.to(dtype), weight.to(dtype), bias.to(dtype), padding=weight.shape[-1] // 2)


def decoders_of(encoder: nn.Module, seed: int) -> Decoders:
    """What the dense tasks of ``encoder`` need more than its last map, still for no task; a function of the seed."""
    build = getattr(encoder, "decoders", Decoders)
    with _drawn(seed, "decoders"):
        return build()


def head_for(task: Task, encoder: nn.Module, decoders: Decoders, seed: int) -> tuple[nn.Module | None, nn.Module]:
    """The decoder of ``task``, if it needs one, and its last layer, initialised by ``seed`` and the task's name alone.

    So the heads of other tasks do not change what this one starts from.

    Raises:
        TestudoError: a dense task on an encoder that is not made for any.
    """
    features = cast(int, encoder.features)
    with _drawn(seed, task.name):
        if not task.dense:
            return None, (ProjectionHead if task.projected else LinearHead)(features, task.channels)
        decoder = decoders.make()
        if decoder is not None:
            return decoder, DenseHead(decoders.features, task.channels, decoders.size)
        if getattr(encoder, "dense", False) is True:
            return None, DenseHead(features, task.channels)
    raise TestudoError(
        f"task {task.name!r} is dense and has no default head on this encoder, whose last map is coarser than the "
        "image; take one with a decoder (unet, drn_d_22, resnet50_aspp, a residual network with decoder = 'unet'), or "
        "give a head: add_head(task, head)"
    )


def _pooled(features: Features, like: nn.Linear) -> Tensor:
    """The last map's mean over its pixels, (N, features), in the precision of ``like``, at least float32."""
    return maps(features)[-1].mean((2, 3), dtype=torch.promote_types(like.weight.dtype, torch.float32))


def _linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """The layer in the precision of ``x``."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _drawn(seed: int, name: str) -> AbstractContextManager[None]:
    return seeded(seed ^ zlib.crc32(name.encode()))
