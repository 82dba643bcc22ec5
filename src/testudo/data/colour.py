"""Random changes of an image's colours, example by example."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from testudo.data.gradients import LUMA
from testudo.errors import TestudoError
from testudo.tensors import per_example, uniform

STREAM = 0xC01  # keeps these draws apart from others of the same example and seed


@dataclass(frozen=True)
class Colour:
    """Brightness, contrast, saturation and hue, each drawn evenly around what it is, and applied in this order.

    What torchvision calls ColorJitter, but for the order, which there is random. Values beyond [0, 1] are cut off
    after every change. Grey levels are those of Rec. 601; grey images have no saturation and no hue.

    Args:
        brightness: images are multiplied by a factor of 1 - ``brightness`` to 1 + ``brightness``.
        contrast: so are differences from the image's mean grey level, with another factor.
        saturation: so are differences from the pixel's own grey level.
        hue: turns the circle of hues (of HSV) by up to this part of a full turn either way.

    Raises:
        TestudoError: a strength outside [0, 1], or a hue outside [0, 0.5].

    >>> half = torch.full((2, 3, 4, 4), 0.5)
    >>> Colour(brightness=0.4)(half, torch.arange(2), seed=0, epoch=0)[:, 0, 0, 0]
    tensor([0.6194, 0.4573])
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= strength <= 1 for strength in astuple(self)) or self.hue > 0.5:
            raise TestudoError(f"colour: strengths must be in [0, 1], that of hue in [0, 0.5], got {astuple(self)}")

    def __call__(self, images: Tensor, ids: Tensor, seed: int, epoch: int) -> Tensor:
        """Images (N, C, H, W) in [0, 1] with other colours, each a function of (its id, seed, epoch) alone."""
        draws = (2 * uniform(ids, (4,), seed, epoch, STREAM) - 1).to(images.dtype)
        strengths = zip(astuple(self), draws.T, strict=True)
        brightness, contrast, saturation, hue = (per_example(most * draw, images) for most, draw in strengths)
        if self.brightness:
            images = (images * (1 + brightness)).clamp(0, 1)
        if self.contrast:
            mean = _grey(images).double().mean((1, 2, 3), keepdim=True).to(images.dtype)  # the same in any batch
            images = (mean + (images - mean) * (1 + contrast)).clamp(0, 1)
        if self.saturation and images.shape[1] == 3:
            own = _grey(images)
            images = (own + (images - own) * (1 + saturation)).clamp(0, 1)
        if self.hue and images.shape[1] == 3:
            images = _turned(images, hue[:, 0])
        return images


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) grey levels of RGB images; of others the mean over channels."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return (images * images.new_tensor(LUMA).reshape(3, 1, 1)).sum(1, keepdim=True)


def _turned(images: Tensor, turn: Tensor) -> Tensor:
    """RGB images with other hues: of HSV, value and saturation stay, ``turn`` (N, 1, 1) is added to the hue."""
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    chroma = value - least
    over = torch.where(chroma > 0, chroma, 1)
    # in sixths of a turn from red
    hue = torch.where(value == green, (blue - red) / over + 2, (red - green) / over + 4)
    hue = torch.where(value == red, (green - blue) / over, hue) + 6 * turn
    places = ((hue + offset) % 6 for offset in (5, 3, 1))
    return torch.stack([value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in places], 1).clamp(0, 1)
