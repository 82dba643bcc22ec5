"""Residual networks: the blocks, the two stems, and the network that stacks them.

Sources: He et al., Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385
(post-activation); He et al., Identity Mappings in Deep Residual Networks,
https://arxiv.org/abs/1603.05027 (pre-activation). Departure: a bottleneck strides in its 3x3 convolution,
as all current implementations do, not in its first 1x1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn

from testudo.errors import unknown
from testudo.models.decoders import Decoder, Decoders, Separate, TransposedDecoder, UNetDecoder
from testudo.models.encoder import check_width
from testudo.models.layers import conv, he_normal
from testudo.models.pyramid import Features

Stem = Literal["small", "large"]
"""``"small"``: 3x3 stride 1, for 32x32 images; ``"large"``: 7x7 stride 2 and max pooling, for 224x224."""


class PostBlock(nn.Module):
    """Two 3x3 convolutions, each normalised, activated after the sum: (N, inputs, H, W) -> (N, outputs, h, w)."""

    expansion = 1
    preactivated = False

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != width:
            self.shortcut = nn.Sequential(conv(inputs, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, activated."""
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.relu(out.add_(self.shortcut(x)))


class PreBlock(nn.Module):
    """Two 3x3 convolutions, each after normalisation and activation; the sum is left as it is."""

    expansion = 1
    preactivated = True

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, width, 3, stride)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = None
        if stride != 1 or inputs != width:
            self.shortcut = conv(inputs, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, not activated; a projecting shortcut starts from the activated input."""
        active = self.relu(self.norm1(x))
        out = self.conv1(active)
        out = self.conv2(self.relu(self.norm2(out)))
        return out.add_(x if self.shortcut is None else self.shortcut(active))


class PreBottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions, each after normalisation and activation; 4 times ``width`` out."""

    expansion = 4
    preactivated = True

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, width, 1)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.norm3 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, outputs, 1)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, not activated; a projecting shortcut starts from the activated input."""
        active = self.relu(self.norm1(x))
        out = self.conv1(active)
        out = self.conv2(self.relu(self.norm2(out)))
        out = self.conv3(self.relu(self.norm3(out)))
        return out.add_(x if self.shortcut is None else self.shortcut(active))


@dataclass(frozen=True)
class Plan:
    """What a residual network is made of.

    Args:
        block: the class of its blocks.
        depths: blocks per stage; the first stage keeps the stem's resolution, each later one halves it.
        width: the width of the first stage, doubled at each later one.
        entry: the depth of the stem's output.
        stem: see :data:`Stem`.
        decoder: of each dense task; see :data:`~testudo.models.decoders.Decoder`.
    """

    block: type[PostBlock | PreBlock | PreBottleneck]
    depths: tuple[int, ...]
    width: int
    entry: int
    stem: Stem
    decoder: Decoder = "none"

    def __post_init__(self) -> None:
        check_width(self.width)
        if self.stem not in ("small", "large"):
            raise unknown("stem", self.stem, ("small", "large"))
        if self.decoder not in get_args(Decoder):
            raise unknown("decoder", self.decoder, get_args(Decoder))


def _stem(plan: Plan, channels: int) -> nn.Sequential:
    small = plan.stem == "small"
    layers: list[nn.Module] = [conv(channels, plan.entry, 3) if small else conv(channels, plan.entry, 7, 2)]
    if not plan.block.preactivated:
        layers += [nn.BatchNorm2d(plan.entry), nn.ReLU(inplace=True)]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, padding=1))
    return nn.Sequential(*layers)


class ResidualNet(nn.Module):
    """Stem, stages, closing activation: (N, channels, H, W) -> (N, features, h, w).

    With a decoder, the output is a pyramid: the large stem's map before its pooling, and the map of every stage, all
    activated that are read; each has half the height and width of the one before it, rounded up.

    Convolutions start from He's normal distribution (fan out), normalisations from the identity.
    """

    def __init__(self, plan: Plan, channels: int) -> None:
        super().__init__()
        self.plan = plan
        self.channels = channels
        self.stem = _stem(plan, channels)
        self.stages = nn.ModuleList()
        inputs = plan.entry
        depths = [plan.entry] * (plan.stem == "large")
        for index, depth in enumerate(plan.depths):
            width = plan.width * 2**index
            blocks = []
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(plan.block(inputs, width, stride))
                inputs = width * plan.block.expansion
            self.stages.append(nn.Sequential(*blocks))
            depths.append(inputs)
        self.features, self.depths = inputs, tuple(depths)
        self.closing = _closing(plan, inputs)
        if plan.decoder != "none":
            read = plan.decoder == "unet"  # of the finer maps, a transposed decoder only asks the size
            self.taps = nn.ModuleList(_closing(plan, depth) if read else nn.Identity() for depth in depths[:-1])
        he_normal(self)

    def forward(self, images: Tensor) -> Features:
        """The last feature map, activated, before pooling; or all of them, fine to coarse."""
        if self.plan.decoder != "none":
            return self._pyramid(images)
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return self.closing(x)

    def decoders(self) -> Decoders:
        """What lies between this pyramid and the last layers of dense tasks."""
        if self.plan.decoder == "none":
            return Decoders()
        pooled = len(self.depths) - len(self.stages)
        widths = [self.plan.width * 2 ** max(level - pooled, 0) for level in range(len(self.depths) - 1)]
        if self.plan.decoder == "unet":
            return Separate(partial(UNetDecoder, self.depths, widths), widths[0])
        widths = [max(self.plan.width // 2, 1) * 2**level for level in range(len(widths))]
        return Separate(partial(TransposedDecoder, self.features, widths), widths[0], size=3)

    def _pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        x, found = images, []
        for layer in self.stem:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
            x = layer(x)
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return (*(tap(one) for tap, one in zip(self.taps, found[:-1], strict=True)), self.closing(x))


def _closing(plan: Plan, depth: int) -> nn.Module:
    """Activates a map of pre-activation blocks, which leave their sums as they are."""
    if not plan.block.preactivated:
        return nn.Identity()
    return nn.Sequential(nn.BatchNorm2d(depth), nn.ReLU(inplace=True))
