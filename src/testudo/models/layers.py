"""Small pieces that the networks are made of."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def conv(inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps height and width but for its stride, which rounds up."""
    padding = dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, padding=padding, dilation=dilation, bias=False)


def normed(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """``layer``, batch norm, activation."""
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=True))


def he_normal(network: Network) -> Network:
    """``network`` with all convolutions drawn anew from He's normal distribution (fan out), in order."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
