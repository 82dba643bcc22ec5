"""Normalisation as the model's first layer, so that attacks live in pixel space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from testudo.errors import TestudoError


class Normalise(nn.Module):
    """(images - mean) / std per channel, in the precision of the model (its own two buffers).

    Args:
        mean, std: one number per channel, in units of the images ([0, 1]).

    Raises:
        TestudoError: mean and std of different lengths or none, std not above 0; in use, images of
            another rank or number of channels.

    >>> Normalise([0.5], [0.25])(torch.full((1, 1, 1, 1), 1.0)).item()
    2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not len(mean):
            raise TestudoError(f"mean and std need one number per channel, got {len(mean)} and {len(std)}")
        if not all(s > 0 for s in std):
            raise TestudoError(f"std must be above 0, got {tuple(std)}")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(1, -1, 1, 1))

    @property
    def channels(self) -> int:
        """How many channels images must have."""
        return self.mean.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if images.dim() != 4 or images.shape[1] != self.channels:
            raise TestudoError(f"the model takes images of shape (N, {self.channels}, H, W), got {tuple(images.shape)}")
        return ((images - self.mean) / self.std).to(self.mean.dtype)
