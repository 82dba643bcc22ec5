"""Random crops, flips and zooms, the same for an image and its dense labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.tensors import uniform

STREAM = 0xA06  # keeps these draws apart from others of the same example and seed
UNLABELLED_PIXEL = 255


@dataclass(frozen=True)
class Augment:
    """Shift, mirror and zoom each image at random, and its dense labels with it.

    What an example undergoes is a function of (its id, seed, epoch) alone. Beyond the border images are 0
    and dense labels unknown (255 for integers, NaN for floats), so nothing there is learned. Images and
    float labels are interpolated bilinearly (a pixel with an unknown neighbour that counts is unknown),
    integer labels take the nearest. A target is dense if it has three or more dimensions, (N, H, W) or
    (N, C, H, W). Label values are moved, never changed, but for the first component of ``vectors``.

    Args:
        crop: shift by up to so many whole pixels each way, that is, pad by so many and crop at random.
        flip: mirror left and right, half of the time.
        scale: zoom by a factor drawn evenly from this range about the centre; above 1 enlarges.
        vectors: names of dense targets, (N, C, H, W), whose first component points to the right: it changes its
            sign where the image is mirrored. By default what the package's data sets call surface normals.

    Raises:
        TestudoError: a negative crop, or a range that is not 0 < low <= high.

    >>> batch = Batch(torch.rand(2, 3, 8, 8), {"digit": torch.tensor([1, 2])})
    >>> Augment(crop=1, flip=True)(batch, seed=0, epoch=3).images.shape
    torch.Size([2, 3, 8, 8])
    """

    crop: int = 0
    flip: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    vectors: tuple[str, ...] = ("normal",)

    def __post_init__(self) -> None:
        if self.crop < 0:
            raise TestudoError(f"augment: crop must be at least 0 pixels, got {self.crop}")
        low, high = self.scale
        if not 0 < low <= high:
            raise TestudoError(f"augment: scale must be two factors, 0 < low <= high, got {low} and {high}")

    def __call__(self, batch: Batch, seed: int, epoch: int) -> Batch:
        """The batch with its images and dense targets changed; the same size, targets and ids."""
        if not len(batch):
            return batch
        height, width = batch.images.shape[2:]
        rows, columns, mirror = self._coordinates(batch.ids, (height, width), seed, epoch)
        targets = {
            name: self._dense(name, values, rows, columns) if values.dim() >= 3 else values
            for name, values in batch.targets.items()
        }
        targets |= {name: _mirrored(targets[name], mirror) for name in self.vectors if name in targets}
        images = _bilinear(batch.images, rows, columns, 0.0).clamp(0, 1)  # weights may add up to 1 + 1e-7
        return Batch(images, targets, batch.ids)

    def _coordinates(self, ids: Tensor, size: tuple[int, int], seed: int, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """The source rows (N, H) and columns (N, W) of each output pixel, as every change acts along the axes.

        With them (N, 1), -1 where the image is mirrored and else 1.
        """
        draws = uniform(ids, (4,), seed, epoch, STREAM)
        shift = (draws[:, :2] * (2 * self.crop + 1)).floor() - self.crop
        low, high = self.scale
        zoom = (low + (high - low) * draws[:, 3])[:, None]
        mirror = torch.where((draws[:, 2] < 0.5) & self.flip, -1.0, 1.0)[:, None]
        middle = [(length - 1) / 2 for length in size]
        out = [torch.arange(length, device=ids.device) - m for length, m in zip(size, middle, strict=True)]
        rows = out[0] / zoom + middle[0] + shift[:, :1]
        columns = mirror * out[1] / zoom + middle[1] + shift[:, 1:]
        return rows, columns, mirror

    def _dense(self, name: str, values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        size = (rows.shape[1], columns.shape[1])
        if tuple(values.shape[-2:]) != size:
            raise TestudoError(f"target {name!r} is {tuple(values.shape[-2:])} pixels, its images are {size}")
        flat = values.reshape(len(values), -1, *size)
        if values.is_floating_point():
            moved = _bilinear(flat, rows, columns, torch.nan)
        else:
            moved = _pick(flat, (rows + 0.5).floor(), (columns + 0.5).floor(), UNLABELLED_PIXEL)
        return moved.reshape(values.shape)


def _mirrored(vectors: Tensor, mirror: Tensor) -> Tensor:
    """(N, C, ...) with the first component times ``mirror`` (N, 1)."""
    first = vectors[:, :1] * mirror.reshape(-1, *([1] * (vectors.dim() - 1))).to(vectors.dtype)
    return torch.cat([first, vectors[:, 1:]], 1)


def _pick(x: Tensor, rows: Tensor, columns: Tensor, outside: float) -> Tensor:
    """Values at whole coordinates: x (N, C, H, W), rows (N, H), columns (N, W) -> (N, C, H, W)."""
    height, width = x.shape[2:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    y, x_ = rows.long().clamp(0, height - 1), columns.long().clamp(0, width - 1)
    index = (y[:, :, None] * width + x_[:, None, :]).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    values = x.flatten(2).gather(2, index).reshape(x.shape)
    return values.masked_fill(~inside[:, None], outside)


def _bilinear(x: Tensor, rows: Tensor, columns: Tensor, outside: float) -> Tensor:
    """As :func:`_pick` for any coordinates; whole ones give the values themselves, exactly."""
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None, :, None].to(x.dtype), (columns - left)[:, None, None, :].to(x.dtype)
    if not down.any() and not right.any():
        return _pick(x, top, left, outside)
    corners = ((0, 0, (1 - down) * (1 - right)), (0, 1, (1 - down) * right),
               (1, 0, down * (1 - right)), (1, 1, down * right))  # fmt: skip
    total = torch.zeros_like(x)
    for dy, dx, weight in corners:
        part = weight * _pick(x, top + dy, left + dx, outside)
        total += torch.where(weight == 0, torch.zeros_like(part), part)  # 0 x NaN would be NaN
    return total
