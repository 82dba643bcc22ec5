"""From an encoder's maps to the map that a dense task's last layer reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from testudo.models.layers import conv, he_normal, normed
from testudo.models.pyramid import Features

Decoder = Literal["none", "unet", "transposed"]
"""``"unet"``: merges every map of the encoder; ``"transposed"``: enlarges the last one; ``"none"``: no dense tasks."""


class Decoders(nn.ModuleDict):
    """By task, what lies between the encoder's maps and the task's last layer: nothing, unless a subclass says so.

    A built encoder whose dense tasks need more than its last map has a method ``decoders()`` that gives one of these.

    Attributes:
        features: the depth of what a decoder gives.
        size: height and width of the last layer's kernel.
    """

    def __init__(self, features: int = 0, size: int = 1) -> None:
        super().__init__()
        self.features, self.size = features, size

    def make(self) -> nn.Module | None:
        """A new decoder for one dense task, initialised from the global generator; None where there is none."""
        return None

    def forward(self, features: Features, key: str) -> Features:
        """What the task under ``key`` reads: its decoder's map, or what the encoder gave."""
        return self[key](features) if key in self else features


class Separate(Decoders):
    """One decoder for each dense task, which share nothing.

    Args:
        build: makes a network from the encoder's features to a map.
        features, size: see :class:`Decoders`.
    """

    def __init__(self, build: Callable[[], nn.Module], features: int, size: int = 1) -> None:
        super().__init__(features, size)
        self.build = build

    def make(self) -> nn.Module:
        """A new decoder, its convolutions initialised as the encoders' are."""
        return he_normal(self.build())


class Merge(nn.Module):
    """A coarse map (N, inputs, h, w) and a finer one (N, skip, H, W) -> (N, width, H, W)."""

    def __init__(self, inputs: int, skip: int, width: int) -> None:
        super().__init__()
        self.conv = conv(inputs + skip, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """One convolution over both, activated."""
        return self.relu(self.norm(self.conv(torch.cat([enlarged(coarse, fine.shape[-2:]), fine], 1))))


def enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    """``x`` at another height and width, bilinearly."""
    return F.interpolate(x, size=cast("list[int]", size), mode="bilinear", align_corners=False)


class UNetDecoder(nn.Module):
    """A U-Net's way up (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597): a pyramid -> its finest size.

    Departures: one convolution a level, not two, and bilinear enlargement in place of transposed convolutions.

    Args:
        depths: of the maps, fine to coarse.
        widths: of the merged maps, fine to coarse; one fewer.

    >>> fine, coarse = torch.zeros(1, 4, 5, 7), torch.zeros(1, 8, 3, 4)
    >>> UNetDecoder([4, 8], [6])((fine, coarse)).shape
    torch.Size([1, 6, 5, 7])
    """

    def __init__(self, depths: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.up = nn.ModuleList()
        inputs = depths[-1]
        for skip, width in zip(depths[-2::-1], widths[::-1], strict=True):
            self.up.append(Merge(inputs, skip, width))
            inputs = width

    def forward(self, pyramid: tuple[Tensor, ...]) -> Tensor:
        """The merged map of the finest size, activated."""
        x = pyramid[-1]
        for level, merge in enumerate(self.up, start=2):
            x = merge(x, pyramid[-level])
        return x


class TransposedDecoder(nn.Module):
    """Transposed convolutions that double the size, each followed by a plain one; only the last map is read.

    With a ResNet-18 of the large stem, and the task's last layer, the 8-layer decoder of Taskonomy's models (Standley
    et al. 2020, https://arxiv.org/abs/1905.07553; Mao et al. 2020): 256, 128, 64 and 32 wide, from 1/32 of the image to
    a half. Mao's released code has a ninth and a tenth layer, 48 wide, and ends at the image's size.

    Departure, so that images may have any size: each doubled map is cut to that of the encoder's map of its level.

    Args:
        inputs: depth of the last map.
        widths: of the doubled maps, fine to coarse.

    >>> fine, coarse = torch.zeros(1, 4, 5, 7), torch.zeros(1, 8, 3, 4)
    >>> TransposedDecoder(8, [6])((fine, coarse)).shape
    torch.Size([1, 6, 5, 7])
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.up, self.refine = nn.ModuleList(), nn.ModuleList()
        for width in widths[::-1]:
            self.up.append(normed(nn.ConvTranspose2d(inputs, width, 2, 2, bias=False)))
            self.refine.append(normed(conv(width, width, 3)))
            inputs = width
        self.refine[-1] = nn.Identity()  # the last plain convolution is the task's last layer

    def forward(self, pyramid: tuple[Tensor, ...]) -> Tensor:
        """The map of the finest size, activated."""
        x = pyramid[-1]
        for level, (up, refine) in enumerate(zip(self.up, self.refine, strict=True), start=2):
            size = pyramid[-level].shape
            x = refine(up(x)[..., : size[-2], : size[-1]])
        return x
