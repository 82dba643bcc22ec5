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


def check_width(width: int) -> None:
    """Raise TestudoError for a network without channels."""
    if width < 1:
        raise TestudoError(f"a network's width must be at least 1, got {width}")


@dataclass(frozen=True)
class Encoder(ABC):
    """A network from images (N, C, H, W) to a feature map (N, features, h, w), as a recipe.

    The built module has the attributes ``channels`` (C) and ``features``, the latter being the depth of the last map,
    before any pooling. It may give several maps, a tuple from fine to coarse: classes and numbers are read off the last
    one. For dense tasks it has either ``dense = True``, where they too are read off the last map, by one linear layer
    at every pixel; or a method ``decoders()`` that gives the :class:`~testudo.models.decoders.Decoders` between its
    maps and that layer. Either way the model enlarges what comes out to the images' own height and width.
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
