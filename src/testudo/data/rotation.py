"""Images turned by quarters of a turn, to be told by how many."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.data.pretext import Pretext
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification

TURNS = 4


@dataclass(frozen=True)
class Rotation(Pretext):
    """By how much an image was turned: class k is k quarters of a turn anticlockwise.

    Source: Gidaris et al. 2018, https://arxiv.org/abs/1803.07728; beside a main task, as an auxiliary of adversarial
    training, Hendrycks et al. 2019, https://arxiv.org/abs/1906.12340. ``torch.rot90`` by -k turns an image back, to
    the last bit.

    Args:
        name: of the task.
        every: all four turns of every image, four views, as Hendrycks et al.; otherwise one turn for each image, and
            of any four neighbours in a batch one is turned by each angle, as in GAT.

    >>> _, labels = Rotation().pose(torch.rand(5, 3, 8, 8), torch.arange(5), torch.arange(5), torch.arange(5))
    >>> labels
    tensor([0, 1, 2, 3, 0])
    """

    name: str = "rotation"
    every: bool = False

    @property
    def task(self) -> Classification:
        """One of four angles."""
        return Classification(self.name, classes=TURNS, labels=tuple(f"{90 * turn} degrees" for turn in range(TURNS)))

    @property
    def views(self) -> int:
        """Four, or one."""
        return TURNS if self.every else 1

    @property
    def spread(self) -> int:
        """Of the images themselves; their views take the labels in turn."""
        return 1 if self.every else TURNS

    def pose(self, images: Tensor, ids: Tensor, places: Tensor, beats: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Pretext`; raises TestudoError for images that are no squares."""
        height, width = images.shape[2:]
        if height != width:
            raise TestudoError(f"pretext {self.name!r}: images of {height}x{width} cannot be turned, only squares can")
        if self.every:
            turned = torch.cat([torch.rot90(images, turn, (2, 3)) for turn in range(TURNS)])
            return turned, torch.arange(TURNS, device=beats.device).repeat_interleave(len(images))
        labels, turned = beats % TURNS, images.clone()
        for turn in range(1, TURNS):
            rows = labels == turn
            turned[rows] = torch.rot90(images[rows], turn, (2, 3))
        return turned, labels
