"""What every encoder is: a recipe that builds a network from images to a feature map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from testudo.errors import TestudoError


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Draw from a generator started at ``seed``, and put the global one back afterwards.

    Only the CPU's generator: modules are initialised there and moved.

    >>> state = torch.get_rng_state()
    >>> with seeded(0):
    ...     draw = torch.rand(1)
    >>> bool((torch.get_rng_state() == state).all())
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Encoder(ABC):
    """A network from images (N, C, H, W) to a feature map (N, features, h, w), as a recipe.

    The built module has the attributes ``channels`` (C) and ``features``, the latter being the depth of
    the last map, before any pooling. Where that map has the images' own height and width, so that dense tasks can
    be read off it pixel by pixel, the module says so with ``full_size = True``.
    """

    def build(self, channels: int = 3, seed: int = 0) -> nn.Module:
        """A freshly initialised module, a function of ``channels`` and ``seed`` alone.

        Raises:
            TestudoError: ``channels`` below 1.
        """
        if channels < 1:
            raise TestudoError(f"an encoder needs at least 1 input channel, got {channels}")
        with seeded(seed):
            return self.network(channels)

    @abstractmethod
    def network(self, channels: int) -> nn.Module:
        """The module, initialised from the global generator."""
