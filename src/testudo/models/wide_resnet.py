"""Wide residual networks (Zagoruyko & Komodakis, https://arxiv.org/abs/1605.07146), without dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from testudo.models.decoders import Decoder
from testudo.models.encoder import Encoder
from testudo.models.residual import Plan, PreBlock, ResidualNet, Stem


@dataclass(frozen=True)
class _WideResNet(Encoder):
    """Three stages of pre-activation blocks, ``widen`` times as wide as the thin network's 16, 32, 64.

    Args:
        stem: ``"small"`` for 32x32 images (as published), ``"large"`` for 224x224.
        decoder: what each dense task has for itself; see :class:`~testudo.models.resnet.ResNet18`.
    """

    stem: Stem = "small"
    decoder: Decoder = "none"

    layers: ClassVar[int]
    widen: ClassVar[int]

    def network(self, channels: int) -> nn.Module:
        depth = (self.layers - 4) // 6  # two convolutions a block, three stages, four layers outside
        return ResidualNet(Plan(PreBlock, (depth,) * 3, 16 * self.widen, 16, self.stem, self.decoder), channels)


@dataclass(frozen=True)
class WRN28x10(_WideResNet):
    """WRN-28-10: 36.5 M parameters."""

    layers = 28
    widen = 10


@dataclass(frozen=True)
class WRN70x16(_WideResNet):
    """WRN-70-16: 266.8 M parameters."""

    layers = 70
    widen = 16
