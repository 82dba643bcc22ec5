"""Images cut into tiles that changed places, to be told in which of a few ways."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from testudo.data.pretext import Pretext
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tensors import uniform

CANDIDATES = 10_000  # among which each further permutation is chosen
MOST = 1000  # permutations of many tiles: as many as Noroozi and Favaro ever use
STREAM = 0x716  # keeps these draws apart from others of the same seed
FEW = 4  # tiles whose orders are all tried: there are 24


@dataclass(frozen=True)
class Jigsaw(Pretext):
    """In which of P known ways the tiles of an image were permuted; class 0 leaves them where they were.

    Sources: Noroozi and Favaro 2016, https://arxiv.org/abs/1603.09246; as an auxiliary of adversarial training, *Guided
    Adversarial Training with Pareto-optimal Auxiliary Tasks* (GAT, ICML 2023), whose P is 10 and whose tiles are 4 x 4.
    Unlike there, the permutations are a function of the seed alone, at test time too, and no gaps are left between
    tiles. Of any P neighbours in a batch, one is permuted in each way.

    Args:
        name: of the task.
        tiles: along each side; height and width of the images must be divisible by it.
        permutations: P.
        seed: of the permutations; see :func:`orders`.

    >>> image = torch.arange(4.0).reshape(1, 1, 2, 2) / 4
    >>> jigsaw, three = Jigsaw(tiles=2, permutations=4), torch.tensor([3])
    >>> changed, labels = jigsaw.pose(image, three, three, three)
    >>> changed.flatten().tolist(), labels.tolist(), jigsaw.put_back(changed, labels).flatten().tolist()
    ([0.75, 0.5, 0.25, 0.0], [3], [0.0, 0.25, 0.5, 0.75])
    """

    name: str = "jigsaw"
    tiles: int = 4
    permutations: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tiles < 2:
            raise TestudoError(f"pretext {self.name!r}: tiles must be at least 2 along each side, got {self.tiles}")
        most = min(math.factorial(self.tiles**2), MOST)
        if not 2 <= self.permutations <= most:
            allowed = f"2 to {most} for {self.tiles}x{self.tiles} tiles"
            raise TestudoError(f"pretext {self.name!r}: permutations must be {allowed}, got {self.permutations}")

    @property
    def task(self) -> Classification:
        """One of P permutations."""
        return Classification(self.name, classes=self.permutations)

    @property
    def spread(self) -> int:
        """P."""
        return self.permutations

    def facts(self) -> dict[str, Any]:
        """``{"permutations": ...}``: for each class, which tile of the image lies in each place, row by row from 0."""
        return {"permutations": [list(order) for order in self._orders()]}

    def pose(self, images: Tensor, ids: Tensor, places: Tensor, beats: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Pretext`; raises TestudoError for images that cannot be cut into tiles of one size."""
        labels = beats % self.permutations
        return self._laid(images, self._table(images)[labels]), labels

    def put_back(self, images: Tensor, labels: Tensor) -> Tensor:
        """The images (N, C, H, W) that became ``images`` by the permutations ``labels`` (N,), to the last bit."""
        return self._laid(images, self._table(images).argsort(1)[labels])

    def _orders(self) -> tuple[tuple[int, ...], ...]:
        return orders(self.tiles**2, self.permutations, self.seed)

    def _table(self, images: Tensor) -> Tensor:
        return torch.tensor(self._orders(), device=images.device)

    def _laid(self, images: Tensor, orders: Tensor) -> Tensor:
        """Images with tile ``orders[n, place]`` in each place."""
        count, channels, height, width = images.shape
        side = self.tiles
        if height % side or width % side:
            raise TestudoError(
                f"pretext {self.name!r}: images of {height}x{width} cannot be cut into {side}x{side} tiles of one "
                f"size; both sides must be divisible by {side}"
            )
        cut = images.reshape(count, channels, side, height // side, side, width // side)
        pieces = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        laid = pieces[torch.arange(count, device=images.device)[:, None], orders]
        return laid.unflatten(1, (side, side)).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


@cache
def orders(length: int, count: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """``count`` orders of 0 to ``length`` - 1 that differ in many places; the first is the identity.

    Greedy, as Noroozi and Favaro choose theirs: each further one is that of 10,000 random candidates (of all, where
    there are 24 or fewer) whose least Hamming distance to those before is largest; the first drawn of several. So all
    are different, any two differ in two places at least, and a shorter list is the start of a longer one. That the
    least distance is the largest possible is not guaranteed: 10 orders of 16 could all differ in 16 places, those of
    the first hundred seeds do in 15 at least. A function of the arguments alone, whatever the random state of torch.

    >>> orders(4, 3, seed=0)
    ((0, 1, 2, 3), (2, 3, 0, 1), (1, 0, 3, 2))
    """
    candidates = _candidates(length, seed)
    found = [torch.arange(length)]
    least = torch.full((len(candidates),), length)
    while len(found) < count:
        least = torch.minimum(least, (candidates != found[-1]).sum(1))
        found.append(candidates[least.argmax()])
    return tuple(tuple(order.tolist()) for order in found)


def _candidates(length: int, seed: int) -> Tensor:
    """(M, length) orders, all or 10,000 of them, in random order."""
    if length <= FEW:
        every = torch.tensor(list(permutations(range(length))))
        return every[uniform(torch.arange(len(every)), (), seed, STREAM).argsort(stable=True)]
    return uniform(torch.arange(CANDIDATES), (length,), seed, STREAM).argsort(dim=1, stable=True)
