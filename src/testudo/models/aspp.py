"""ResNet-50 dilated to 1/8 of the image, atrous pooling for every task, with task attention (MTAN) or without.

The multi-task networks of "Auto-Lambda" (Liu et al. 2022, https://arxiv.org/abs/2202.03091), which the min-max paper
attacks: DeepLabv3 (Chen et al. 2017, https://arxiv.org/abs/1706.05587) on a ResNet-50 whose last two stages keep their
size and are dilated by 2 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from testudo.errors import unknown
from testudo.models.attention import Attention
from testudo.models.decoders import Decoders, Separate
from testudo.models.dilated import Bottleneck
from testudo.models.encoder import Encoder, check_width
from testudo.models.layers import conv, he_normal, normed
from testudo.models.pyramid import Features

Sharing = Literal["attention", "hard"]
RATES = (12, 24, 36)  # dilations of the pooling's convolutions
_STAGES = ((3, 1, 1), (4, 2, 1), (6, 1, 2), (3, 1, 4))  # blocks, stride, dilation


@dataclass(frozen=True)
class ResNet50ASPP(Encoder):
    """A dilated ResNet-50 with atrous pooling for every dense task; 23.5 M shared parameters at width 64.

    ``sharing="attention"``: each dense task sees the network through masks of its own
    (:class:`~testudo.models.attention.Attention`). ``"hard"``, its plain twin: each reads the last map as it is.
    Classes and numbers are read off the last map in both.

    Departures from Auto-Lambda's code: scores are enlarged as areas, where it lays the corner pixels' centres on each
    other; images may have any size; normals are not divided by their length; a layer before a norm has no bias, which
    the norm would take away.

    Args:
        width: channels of the first stage inside its bottlenecks; 64 in the paper. The pooling is 4 times as wide.
        sharing: see above.

    >>> net = ResNet50ASPP(width=2, sharing="hard").build(channels=3)
    >>> net(torch.zeros(1, 3, 40, 57)).shape
    torch.Size([1, 64, 5, 8])
    """

    width: int = 64
    sharing: Sharing = "attention"

    def __post_init__(self) -> None:
        check_width(self.width)
        if self.sharing not in get_args(Sharing):
            raise unknown("sharing", self.sharing, get_args(Sharing))

    def network(self, channels: int) -> nn.Module:
        """The module, initialised from the global generator."""
        return DilatedResNet50(channels, self.width, self.sharing)


class DilatedResNet50(nn.Module):
    """Images (N, channels, H, W) -> (N, features, H/8, W/8), sizes rounded up; made by :class:`ResNet50ASPP`.

    With attention it gives two maps of each stage, before and after its last block: at 1/4, and from the second stage
    on at 1/8 of the image's size. Its parts have the names of torchvision's ResNet-50.
    """

    def __init__(self, channels: int, width: int, sharing: Sharing) -> None:
        super().__init__()
        self.channels, self.width, self.sharing = channels, width, sharing
        self.conv1 = conv(channels, width, 7, 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs, depths = width, []
        for index, (blocks, stride, dilation) in enumerate(_STAGES):
            inner, made = width * 2**index, []
            for position in range(blocks):
                if position == 0:  # enters a dilated stage at the dilation of the one before
                    made.append(Bottleneck(inputs, inner, stride, max(dilation // 2, 1)))
                else:
                    made.append(Bottleneck(inputs, inner, 1, dilation))
                inputs = inner * Bottleneck.expansion
            self.add_module(f"layer{index + 1}", nn.Sequential(*made))
            depths.append(inputs)
        self.features, self.depths = inputs, tuple(depths)
        he_normal(self)

    def forward(self, images: Tensor) -> Features:
        """The last map, or the maps before and after the last block of every stage; all activated."""
        x, found = self.maxpool(self.relu(self.bn1(self.conv1(images)))), []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            *blocks, last = cast(nn.Sequential, stage)
            for block in blocks:
                x = block(x)
            before, x = x, last(x)
            found += before, x
        return tuple(found) if self.sharing == "attention" else x

    def decoders(self) -> Decoders:
        """Atrous pooling for each dense task, behind masks of its own or not."""
        pooling = partial(DeepLab, self.features, 4 * self.width)
        if self.sharing == "attention":
            return Attention(self.depths, pooling, 4 * self.width)
        return Separate(pooling, 4 * self.width)


class DeepLab(nn.Module):
    """Atrous spatial pyramid pooling and a convolution: (N, inputs, h, w) -> (N, width, h, w), activated.

    A 1x1 convolution, three 3x3 ones dilated by 12, 24 and 36, and the mean over all pixels, side by side; then
    1x1 and 3x3.

    >>> DeepLab(6, 4)(torch.rand(2, 6, 5, 3)).shape
    torch.Size([2, 4, 5, 3])
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        branches = [conv(inputs, width, 1), *(conv(inputs, width, 3, 1, rate) for rate in RATES)]
        self.branches = nn.ModuleList(normed(branch) for branch in branches)
        self.everywhere = normed(conv(inputs, width, 1))
        self.project = normed(conv(width * (len(branches) + 1), width, 1))
        self.refine = normed(conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        """The pooled map."""
        found = [branch(x) for branch in self.branches]
        mean = self.everywhere(x.mean((2, 3), keepdim=True))
        return self.refine(self.project(torch.cat([*found, mean.expand_as(found[0])], 1)))
