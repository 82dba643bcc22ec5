"""The plain value that goes through the house: images, targets by task name, ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from testudo.errors import TestudoError


@dataclass(frozen=True, eq=False)
class Batch:
    """Images with their labels.

    Args:
        images: (N, C, H, W) floats in [0, 1].
        targets: by task name, each with N as its first dimension. A missing label is marked, never
            guessed: -1 or 255 for a class index, NaN for a number (see each task).
        ids: (N,) integers that name the examples, 0 to N-1 by default. Random draws depend on them.

    Raises:
        TestudoError: images of another rank, not floating point, not finite or outside [0, 1]; targets or
            ids of another length. The first offending id is named.

    >>> batch = Batch(torch.rand(4, 3, 8, 8), {"digit": torch.tensor([1, 2, 3, 4])})
    >>> len(batch), batch.ids.tolist(), batch[1:3].targets["digit"].tolist()
    (4, [0, 1, 2, 3], [2, 3])
    """

    images: Tensor
    targets: Mapping[str, Tensor]
    ids: Tensor = cast(Tensor, None)  # filled in below where it is not given

    def __post_init__(self) -> None:
        if self.ids is None:
            object.__setattr__(self, "ids", torch.arange(len(self.images), device=self.images.device))
        if self.images.dim() != 4 or not self.images.is_floating_point():
            shape, kind = tuple(self.images.shape), self.images.dtype
            raise TestudoError(f"images must be floats of shape (N, C, H, W), got {kind} {shape}")
        for name, values in {"ids": self.ids, **self.targets}.items():
            if len(values) != len(self.images):
                raise TestudoError(f"{name!r} holds {len(values)} labels for {len(self.images)} images")
        self._check_range()

    def _check_range(self) -> None:
        if self.images.numel() == 0:
            return
        low, high = torch.aminmax(self.images.detach())
        if low >= 0 and high <= 1:  # NaN fails both
            return
        fine = ((self.images >= 0) & (self.images <= 1)).flatten(1).all(1)
        row = int((~fine).nonzero()[0, 0])
        raise TestudoError(
            f"image of id {int(self.ids[row])} must be finite and in [0, 1], found values from "
            f"{float(self.images[row].min()):.4g} to {float(self.images[row].max()):.4g}"
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor | list[int]) -> Batch:
        """The examples at ``index`` (a slice, indices, or a mask)."""
        picked = {name: values[index] for name, values in self.targets.items()}
        return Batch(self.images[index], picked, self.ids[index])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        moved = {name: values.to(device) for name, values in self.targets.items()}
        return Batch(self.images.to(device), moved, self.ids.to(device))

    def with_images(self, images: Tensor) -> Batch:
        """The same labels and ids with other images."""
        return replace(self, images=images)

    def split(self, size: int) -> Iterator[Batch]:
        """Consecutive batches of at most ``size`` examples."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    @staticmethod
    def cat(batches: Iterable[Batch]) -> Batch:
        """One batch of several, in order; all must have the same targets."""
        parts = list(batches)
        targets = {name: torch.cat([b.targets[name] for b in parts]) for name in parts[0].targets}
        return Batch(torch.cat([b.images for b in parts]), targets, torch.cat([b.ids for b in parts]))
