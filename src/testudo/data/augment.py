"""Random crops, flips, zooms and colours, the same for an image and its dense labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from testudo.data.batch import Batch
from testudo.data.colour import Colour
from testudo.errors import TestudoError
from testudo.tasks.task import Task
from testudo.tensors import uniform

STREAM = 0xA06  # keeps these draws apart from others of the same example and seed
UNLABELLED_PIXEL = 255


class _Moves(NamedTuple):
    """What happens to each of N images of H x W pixels.

    The source rows (N, H) and columns (N, W) of each output pixel, as every move acts along the axes; mirrored or
    not (N,) bool; enlarged by a factor (N,). Without any zoom all coordinates are whole numbers.
    """

    rows: Tensor
    columns: Tensor
    mirror: Tensor
    zoom: Tensor
    whole: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.rows.shape[1], self.columns.shape[1]

    @property
    def inside(self) -> Tensor:
        """(N, 1, H, W) bool: which coordinates fall into the pixels of the source."""
        rows, columns = (
            (x >= -0.5) & (x < length - 0.5) for x, length in zip((self.rows, self.columns), self.size, strict=True)
        )
        return (rows[:, :, None] & columns[:, None, :])[:, None]


@dataclass(frozen=True)
class Augment:
    """Zoom, mirror, shift and recolour each image at random, and move its dense labels with it.

    What an example undergoes is a function of (its id, seed, epoch) alone. A pixel whose centre falls outside the
    source image is 0, and unknown in dense labels (255 for integers, NaN for floats), so nothing there is learned.
    Images and float labels are interpolated bilinearly (a pixel with an unknown neighbour that counts is unknown),
    integer labels take the nearest. A target is dense if it has three or more dimensions, (N, H, W) or (N, C, H, W).
    Moved labels are then changed as their task says (:meth:`testudo.tasks.task.Task.moved`): mirrored normals face
    the other way, what looks twice as large is half as far. Colours are the image's alone, and with it those of
    labels that are the image itself.

    Args:
        crop: shift by up to so many whole pixels each way, that is, pad by so many and crop at random.
        flip: mirror left and right, half of the time.
        scale: zoom by a factor drawn evenly from this range. Above 1 enlarges: of the enlarged image a window of the
            original size is kept, anywhere in it; below 1 the shrunken image lies anywhere in the window.
        scales: zoom by one of these factors instead, as *Auto-Lambda* does with 1, 1.2 and 1.5.
        colour: how much colours change.

    Raises:
        TestudoError: a negative crop, a range that is not 0 < low <= high, a factor not above 0, or both of them.

    >>> batch = Batch(torch.rand(2, 3, 8, 8), {"digit": torch.tensor([1, 2])})
    >>> Augment(crop=1, flip=True)(batch, seed=0, epoch=3).images.shape
    torch.Size([2, 3, 8, 8])
    """

    crop: int = 0
    flip: bool = False
    scale: tuple[float, float] = (1.0, 1.0)
    scales: tuple[float, ...] = ()
    colour: Colour = Colour()

    def __post_init__(self) -> None:
        if self.crop < 0:
            raise TestudoError(f"augment: crop must be at least 0 pixels, got {self.crop}")
        low, high = self.scale
        if not 0 < low <= high:
            raise TestudoError(f"augment: scale must be two factors, 0 < low <= high, got {low} and {high}")
        if not all(factor > 0 for factor in self.scales) or (self.scales and self.scale != (1, 1)):
            found = f"{self.scales} and {self.scale}"
            raise TestudoError(f"augment: scales must be factors above 0 and take the place of scale, got {found}")

    @property
    def zooms(self) -> bool:
        """Whether anything is enlarged or shrunken."""
        return self.scale != (1, 1) or any(factor != 1 for factor in self.scales)

    @property
    def moves(self) -> bool:
        """Whether pixels change places, or only colours."""
        return self.crop > 0 or self.flip or self.zooms

    def __call__(self, batch: Batch, seed: int, epoch: int, tasks: Iterable[Task] = ()) -> Batch:
        """The batch with its images and dense targets changed; the same size, targets and ids.

        Args:
            batch: on any device.
            seed: with ``epoch``, tells this draw of every example from others.
            epoch: see ``seed``.
            tasks: of the dense targets; needed where pixels are moved.

        Raises:
            TestudoError: a dense target has other pixels than the images, or its task is not given.
        """
        if not len(batch):
            return batch
        images, targets = batch.images, dict(batch.targets)
        known = {task.name: task for task in tasks if task.name in targets}
        if self.moves:
            moves = self._moves(batch.ids, (images.shape[2], images.shape[3]), seed, epoch)
            targets |= {name: _moved(known.get(name), name, x, moves) for name, x in targets.items() if x.dim() >= 3}
            # weights may add up to 1 + 1e-7
            images = _bilinear(images, moves, 0.0).clamp(0, 1)
        images = self.colour(images, batch.ids, seed, epoch)
        for name, task in known.items():
            if task.is_image:
                targets[name] = torch.where(targets[name].isnan(), torch.nan, images)
        return Batch(images, targets, batch.ids)

    def _moves(self, ids: Tensor, size: tuple[int, int], seed: int, epoch: int) -> _Moves:
        draws = uniform(ids, (6,), seed, epoch, STREAM)
        shift = (draws[:, :2] * (2 * self.crop + 1)).floor() - self.crop
        mirror = (draws[:, 2] < 0.5) & self.flip
        low, high = self.scale
        zoom = low + (high - low) * draws[:, 3]
        if self.scales:
            zoom = draws.new_tensor(self.scales)[(draws[:, 3] * len(self.scales)).long()]
        places = []
        for axis, length in enumerate(size):
            out = torch.arange(length, device=ids.device).expand(len(ids), -1)
            if axis == 1:
                out = torch.where(mirror[:, None], length - 1 - out, out)
            # the window is length / zoom source pixels long; pixel i reaches from i - 0.5 to i + 0.5
            start = draws[:, 4 + axis] * (length - length / zoom)
            places.append((out + 0.5) / zoom[:, None] - 0.5 + (start + shift[:, axis])[:, None])
        return _Moves(places[0], places[1], mirror, zoom, not self.zooms)


def _moved(task: Task | None, name: str, values: Tensor, moves: _Moves) -> Tensor:
    """The labels ``values`` of a dense task with their pixels moved, and changed as the task says."""
    if tuple(values.shape[-2:]) != moves.size:
        raise TestudoError(f"target {name!r} is {tuple(values.shape[-2:])} pixels, its images are {moves.size}")
    if task is None:
        raise TestudoError(
            f"augment: how labels {name!r} change when their pixels move is for their task to say; give it the tasks"
        )
    flat = values.reshape(len(values), -1, *moves.size)
    if values.is_floating_point():
        moved = _bilinear(flat, moves, torch.nan)
    else:
        nearest = _pick(flat, (moves.rows + 0.5).floor(), (moves.columns + 0.5).floor())
        moved = torch.where(moves.inside, nearest, UNLABELLED_PIXEL)
    return task.moved(moved.reshape(values.shape), moves.mirror, moves.zoom)


def _pick(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Values at whole coordinates, or the nearest to them: x (N, C, H, W), rows (N, H), columns (N, W)."""
    height, width = x.shape[2:]
    y, x_ = rows.long().clamp(0, height - 1), columns.long().clamp(0, width - 1)
    index = (y[:, :, None] * width + x_[:, None, :]).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index).reshape(x.shape)


def _bilinear(x: Tensor, moves: _Moves, outside: float) -> Tensor:
    """Values between pixels, ``outside`` beyond the image; whole coordinates give the values themselves, exactly."""
    if moves.whole:
        return torch.where(moves.inside, _pick(x, moves.rows, moves.columns), outside)
    height, width = moves.size
    # half a pixel beyond the outermost centres the image goes on
    rows, columns = moves.rows.clamp(0, height - 1), moves.columns.clamp(0, width - 1)
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None, :, None].to(x.dtype), (columns - left)[:, None, None, :].to(x.dtype)
    corners = ((0, 0, (1 - down) * (1 - right)), (0, 1, (1 - down) * right),
               (1, 0, down * (1 - right)), (1, 1, down * right))  # fmt: skip
    total = torch.zeros_like(x)
    for dy, dx, weight in corners:
        part = weight * _pick(x, top + dy, left + dx)
        total += torch.where(weight == 0, torch.zeros_like(part), part)  # 0 x NaN would be NaN
    return torch.where(moves.inside, total, outside)
