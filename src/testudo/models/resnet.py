"""ResNet-18 and -34 (post-activation), ResNet-18 and -50 (pre-activation); see ``residual.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from testudo.models.decoders import Decoder
from testudo.models.encoder import Encoder
from testudo.models.residual import Plan, PostBlock, PreBlock, PreBottleneck, ResidualNet, Stem


@dataclass(frozen=True)
class _ResNet(Encoder):
    """A residual network of four stages.

    Args:
        width: channels of the first stage; 64 in the papers.
        stem: ``"small"`` for 32x32 images, ``"large"`` for 224x224.
        decoder: what each dense task has for itself: a U-Net's way up (``"unet"``), transposed convolutions
            (``"transposed"``: 8 layers with the large stem), or nothing (``"none"``), which leaves classes and numbers.
    """

    width: int = 64
    stem: Stem = "small"
    decoder: Decoder = "none"

    block: ClassVar[type[PostBlock | PreBlock | PreBottleneck]]
    depths: ClassVar[tuple[int, ...]]

    def network(self, channels: int) -> nn.Module:
        return ResidualNet(Plan(self.block, self.depths, self.width, self.width, self.stem, self.decoder), channels)


@dataclass(frozen=True)
class ResNet18(_ResNet):
    """ResNet-18 (He et al. 2015), 11.2 M parameters at width 64.

    >>> ResNet18(width=8).build(channels=3).features
    64
    """

    block = PostBlock
    depths = (2, 2, 2, 2)


@dataclass(frozen=True)
class ResNet34(_ResNet):
    """ResNet-34 (He et al. 2015), 21.3 M parameters at width 64."""

    block = PostBlock
    depths = (3, 4, 6, 3)


@dataclass(frozen=True)
class PreActResNet18(_ResNet):
    """Pre-activation ResNet-18 (He et al. 2016), 11.2 M parameters at width 64."""

    block = PreBlock
    depths = (2, 2, 2, 2)


@dataclass(frozen=True)
class ResNet50v2(_ResNet):
    """ResNet-50 v2: pre-activation bottlenecks (He et al. 2016), 23.5 M parameters at width 64."""

    block = PreBottleneck
    depths = (3, 4, 6, 3)
