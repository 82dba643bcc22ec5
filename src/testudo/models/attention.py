"""Task attention: every task looks at the stages of a shared network through soft masks of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from testudo.models.decoders import Decoders
from testudo.models.dilated import Bottleneck
from testudo.models.layers import conv, he_normal, normed
from testudo.models.pyramid import Features, maps


class Attention(Decoders):
    """The task attention of MTAN (Liu, Johns and Davison 2019, https://arxiv.org/abs/1803.10704), as in Auto-Lambda.

    Of stage j, b_j is the map before its last block and t_j the one after it; [ , ] joins channels. For task i

        a_ij = sigmoid mask_ij([b_j, f_j-1(a_ij-1)]) * t_j

    without f_0 in the first stage. The masks, two 1x1 convolutions each, are the task's own; the bottleneck blocks f_j
    are the same for all tasks; f_1 is followed by max pooling, which rounds sizes up as the network's stride does. What
    the task decodes is the last a_ij, by ``pooling``. (Auto-Lambda's code: https://github.com/lorenmt/auto-lambda.)

    Args:
        depths: of the stages' maps.
        pooling: makes a task's network from the last stage's map.
        features: the depth of what that gives.
    """

    def __init__(self, depths: tuple[int, ...], pooling: Callable[[], nn.Module], features: int) -> None:
        super().__init__(features)
        self.depths, self.pooling = depths, pooling
        steps = [Bottleneck(one, two // Bottleneck.expansion) for one, two in pairwise(depths)]
        self["steps"] = he_normal(nn.ModuleList(steps))

    def make(self) -> nn.Module:
        """The masks and the pooling of one task."""
        masks = [_mask(depth if j == 0 else 2 * depth, depth) for j, depth in enumerate(self.depths)]
        return he_normal(nn.ModuleDict({"masks": nn.ModuleList(masks), "pooling": self.pooling()}))

    def forward(self, features: Features, key: str) -> Features:
        """The pooled map of the task under ``key``; all maps as they are for a task without masks."""
        if key not in self:
            return features
        own, steps, levels = cast(Any, self[key]), cast(Any, self["steps"]), maps(features)
        seen = levels[0]
        for j, mask in enumerate(own["masks"]):
            before, after = levels[2 * j], levels[2 * j + 1]
            joined = before if j == 0 else torch.cat([before, _following(steps[j - 1](seen), before)], 1)
            seen = mask(joined) * after
        return own["pooling"](seen)


def _mask(inputs: int, depth: int) -> nn.Sequential:
    inner = depth // Bottleneck.expansion
    return nn.Sequential(normed(conv(inputs, inner, 1)), conv(inner, depth, 1), nn.BatchNorm2d(depth), nn.Sigmoid())


def _following(x: Tensor, like: Tensor) -> Tensor:
    """``x``, at half its height and width where ``like`` is smaller."""
    return x if x.shape[-2:] == like.shape[-2:] else F.max_pool2d(x, 2, ceil_mode=True)
