"""Images of several places as one, each as often as asked for, without copying any."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from testudo.data.images import Images
from testudo.errors import TestudoError


@dataclass(frozen=True, eq=False)
class Joined:
    """Some of the images of several :class:`testudo.data.images.Images`, of one shape.

    Args:
        parts: the images.
        rows: (N,) which of them, counted through all parts; one may come more than once.

    Raises:
        TestudoError: the parts differ in shape.

    >>> from testudo.data.images import Stored
    >>> grey = Stored(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    >>> Joined((grey, grey), torch.tensor([3, 0, 3])).read(torch.tensor([0, 1])).flatten()
    tensor([1., 0.])
    """

    parts: tuple[Images, ...]
    rows: Tensor

    def __post_init__(self) -> None:
        shapes = list(dict.fromkeys(part.shape for part in self.parts))
        if len(shapes) > 1:
            told = " and ".join("x".join(map(str, shape)) for shape in shapes)
            raise TestudoError(f"images of {told} (channels x height x width) cannot be joined")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.parts[0].shape

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: Tensor) -> Tensor:
        """See :class:`testudo.data.images.Images`."""
        images = torch.empty(len(indices), *self.shape)
        start, rows = 0, self.rows[indices]
        for part in self.parts:
            here = ((rows >= start) & (rows < start + len(part))).nonzero()[:, 0]
            if len(here):
                images[here] = part.read(rows[here] - start)
            start += len(part)
        return images

    def take(self, indices: Tensor) -> Joined:
        """See :class:`testudo.data.images.Images`."""
        return replace(self, rows=self.rows[indices])

    def digests(self) -> list[bytes]:
        """See :class:`testudo.data.images.Images`."""
        every = [digest for part in self.parts for digest in part.digests()]
        return [every[row] for row in self.rows.tolist()]

    def problems(self) -> list[str]:
        """See :class:`testudo.data.images.Images`; of all images of the parts."""
        return [problem for part in self.parts for problem in part.problems()]
