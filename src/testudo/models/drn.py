"""Dilated residual networks of type D (Yu, Koltun and Funkhouser 2017, https://arxiv.org/abs/1705.09914).

Nine layers, named ``layer0`` to ``layer8`` as in the authors' weight files (https://github.com/fyu/drn), read by
:func:`~testudo.models.public.load_public`. Layers 3 to 6 are residual stages, the others plain convolutions. Layers 2,
3 and 4 halve height and width; from there on dilation takes the place of strides, so the last map has 1/8 of the
image's height and width, rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from testudo.errors import unknown
from testudo.models.decoders import Decoders, Separate
from testudo.models.dilated import Block, Bottleneck
from testudo.models.encoder import Encoder, check_width
from testudo.models.layers import conv, he_normal, normed

DRNDecoder = Literal["separate", "shared"]
_FACTORS = (1, 1, 2, 4, 8, 16, 32, 32, 32)  # width of each layer, times that of the first
_STRIDES = (1, 1, 2, 2, 2, 1, 1, 1, 1)
_DILATIONS = (1, 1, 1, 1, 1, 2, 4, 2, 1)
_STAGES = range(3, 7)  # the residual layers
_CUT = 6  # the first layer of a decoder


@dataclass(frozen=True)
class _DRND(Encoder):
    """A DRN of type D, for dense tasks.

    With ``decoder="separate"``, what the Cityscapes models of "Multitask Learning Strengthens Adversarial Robustness"
    are in the paper: layers 0 to 5 are shared, and every dense task has its own layers 6 to 8 and last 1x1 convolution.
    (The paper counts 16 shared layers and 6, its supplement 18 and 9 for DRN-D-22, 93 and 13 for DRN-D-105: all of
    them are this cut, with other things counted as layers.) ``"shared"`` is what the released code does: its decoders
    hold the same layers 6 to 8, and only the last convolution is a task's own. Classes and numbers are read off the
    last shared map.

    The scores, at 1/8 of the image's size, are enlarged bilinearly, for which the authors have a fixed transposed
    convolution. Departure: that one fades to zero at the image's border and wants sizes that 8 divides.

    Args:
        width: channels of the first layer; 16 in the paper, and 512 of the last one.
        decoder: see above.
    """

    width: int = 16
    decoder: DRNDecoder = "separate"

    block: ClassVar[type[Block | Bottleneck]]
    depths: ClassVar[tuple[int, ...]]  # blocks, or convolutions, in each layer

    def __post_init__(self) -> None:
        check_width(self.width)
        if self.decoder not in get_args(DRNDecoder):
            raise unknown("decoder", self.decoder, get_args(DRNDecoder))

    def network(self, channels: int) -> nn.Module:
        """The module, initialised from the global generator."""
        return DRNetwork(self, channels)

    def depth(self, layer: int) -> int:
        """Channels that ``layer`` gives."""
        return self.width * _FACTORS[layer] * (self.block.expansion if layer in _STAGES else 1)

    def layer(self, index: int, inputs: int) -> nn.Sequential:
        """The layer of that number, of the published shape."""
        if index == 0:
            return normed(conv(inputs, self.width, 7))
        width, dilation, made = self.width * _FACTORS[index], _DILATIONS[index], []
        for position in range(self.depths[index]):
            stride = _STRIDES[index] if position == 0 else 1
            if index in _STAGES:
                made.append(self.block(inputs, width, stride, dilation))
            else:
                made += normed(conv(inputs, width, 3, stride, dilation))
            inputs = self.depth(index)
        return nn.Sequential(*made)


@dataclass(frozen=True)
class DRND22(_DRND):
    """DRN-D-22: 16.4 M parameters with the classes of ImageNet; of them 2.8 M in layers 0 to 5, 13.1 M in 6 to 8.

    >>> import torch
    >>> DRND22(width=2).build(channels=3)(torch.zeros(1, 3, 40, 57)).shape
    torch.Size([1, 32, 5, 8])
    """

    block = Block
    depths = (1, 1, 1, 2, 2, 2, 2, 1, 1)


@dataclass(frozen=True)
class DRND105(_DRND):
    """DRN-D-105: 54.8 M parameters with the classes of ImageNet; of them 27.5 M in layers 0 to 5, 26.8 M in 6 to 8."""

    block = Bottleneck
    depths = (1, 1, 1, 3, 4, 23, 3, 1, 1)


class Layers(nn.Module):
    """Consecutive layers of a DRN, ``layer<first>`` to ``layer<last>``, on a map of ``inputs`` channels."""

    def __init__(self, plan: _DRND, first: int, last: int, inputs: int) -> None:
        super().__init__()
        for index in range(first, last + 1):
            self.add_module(f"layer{index}", plan.layer(index, inputs))
            inputs = plan.depth(index)

    def forward(self, x: Tensor) -> Tensor:
        """The last layer's map, activated."""
        for layer in self.children():
            x = layer(x)
        return x


class DRNetwork(Layers):
    """Images (N, channels, H, W) -> (N, features, H/8, W/8), activated; made by :class:`DRND22` and its like."""

    def __init__(self, plan: _DRND, channels: int) -> None:
        last = _CUT - 1 if plan.decoder == "separate" else len(_FACTORS) - 1
        super().__init__(plan, 0, last, channels)
        self.plan, self.channels, self.features = plan, channels, plan.depth(last)
        self.dense = plan.decoder == "shared"
        he_normal(self)

    def decoders(self) -> Decoders:
        """Layers 6 to 8 for each dense task, or nothing but its last convolution."""
        if self.dense:
            return Decoders()
        last = len(_FACTORS) - 1
        return Separate(partial(Layers, self.plan, _CUT, last, self.features), self.plan.depth(last))
