"""A small U-Net: an encoder that halves four times, and a decoder back to the size of the image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from testudo.models.decoders import Merge, enlarged
from testudo.models.encoder import Encoder, check_width
from testudo.models.layers import conv, he_normal, normed
from testudo.models.residual import PostBlock

_WIDTHS = (1, 2, 4, 4)  # of the maps at 1/2, 1/4, 1/8 and 1/16 of the image, times the width


@dataclass(frozen=True)
class UNet(Encoder):
    """A U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597) of residual blocks, for dense tasks.

    Departures, for speed and accuracy at a small size: residual blocks with batch norm, half the image's resolution
    from the first convolution on, bilinear enlargement in place of transposed convolutions. The last map, all tasks'
    features, is enlarged to the image's own size, which may be any.

    Args:
        width: channels of the finest map; 1.0 M parameters at 32.

    >>> import torch
    >>> net = UNet(width=4).build(channels=3)
    >>> net(torch.zeros(1, 3, 30, 41)).shape
    torch.Size([1, 4, 30, 41])
    """

    width: int = 32

    def __post_init__(self) -> None:
        check_width(self.width)

    def network(self, channels: int) -> nn.Module:
        """The module, initialised from the global generator."""
        return UNetwork(channels, self.width)


class UNetwork(nn.Module):
    """Images (N, channels, H, W) -> features (N, width, H, W); made by :class:`UNet`."""

    dense = True

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.channels, self.features = channels, width
        self.stem = normed(conv(channels, width, 3, 2))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = width
        for level, factor in enumerate(_WIDTHS):
            self.down.append(PostBlock(inputs, width * factor, stride=1 if level == 0 else 2))
            inputs = width * factor
        for factor in _WIDTHS[-2::-1]:
            self.up.append(Merge(inputs, width * factor, width * factor))
            inputs = width * factor
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """The features of every pixel, activated."""
        x, maps = self.stem(images), []
        for block in self.down:
            x = block(x)
            maps.append(x)
        maps.pop()
        for merge in self.up:
            x = merge(x, maps.pop())
        return enlarged(x, images.shape[-2:])
