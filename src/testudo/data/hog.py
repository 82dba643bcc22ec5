"""Histograms of oriented gradients, for every cell of an image."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from testudo.data.gradients import ACROSS

BINS = 9  # of 20 degrees, over half a turn
CLIP = 0.2
TINY = 1e-5  # in the length of a block, as in scikit-image


def hog(images: Tensor, cell: int) -> Tensor:
    """Which way the grey levels rise in each cell of ``cell`` x ``cell`` pixels.

    As Dalal and Triggs, *Histograms of Oriented Gradients for Human Detection* (2005): differences by (-1, 0, 1); of
    a pixel, those of the channel with the longest gradient; a vote of that length for the two bins nearest to its
    direction, which counts modulo 180 degrees, in linear shares; the votes of 2 x 2 cells are a block, which is
    brought to length 1, clipped at 0.2 and brought to length 1 again. A cell's histogram is here the mean over the
    blocks that it is in (one to four). Unlike there, pixels vote for their own cell alone.

    Args:
        images: (N, C, H, W) in [0, 1].
        cell: pixels. The last row and column of cells take the pixels left over; a smaller image is one cell.

    Returns:
        (N, 9, rows, columns) float32 in [0, 1], with rows = max(1, H // cell). Bin b is of 20 b to 20 b + 20 degrees
        from the right downwards: 4 is of a gradient straight up or down, and mirroring an image reverses the bins.

    >>> ramp = torch.linspace(0, 1, 8).reshape(1, 1, 8, 1).expand(1, 1, 8, 8)
    >>> hog(ramp, cell=4)[0, :, 0, 0]
    tensor([0.0000, 0.0000, 0.0000, 0.0000, 0.5000, 0.0000, 0.0000, 0.0000, 0.0000])
    """
    levels = images.double().numpy()
    down, right = (ndimage.correlate1d(levels, ACROSS, axis, mode="nearest") for axis in (-2, -1))
    length = np.sqrt(down * down + right * right)
    longest = length.argmax(1)[:, None]
    down, right, length = (np.take_along_axis(x, longest, 1)[:, 0] for x in (down, right, length))
    return torch.from_numpy(_blocks(_votes(down, right, length, cell))).float()


def spread(histograms: Tensor, cell: int, size: tuple[int, int]) -> Tensor:
    """The histogram of its cell for every pixel: (N, 9, rows, columns) -> (N, 9, H, W)."""
    rows, columns = (
        (torch.arange(length) // cell).clamp(max=count - 1)
        for length, count in zip(size, histograms.shape[2:], strict=True)
    )
    return histograms[:, :, rows[:, None], columns]


def _votes(down: np.ndarray, right: np.ndarray, length: np.ndarray, cell: int) -> np.ndarray:
    """(N, H, W) gradients and their lengths -> (N, 9, rows, columns) votes, pixels added in their order."""
    count, *size = length.shape
    place = np.degrees(np.arctan2(down, right)) / (180 / BINS) - 0.5  # bin 0 is centred at 10 degrees
    first = np.floor(place)
    share = place - first
    grid = [max(1, pixels // cell) for pixels in size]
    row, column = (np.minimum(np.arange(pixels) // cell, cells - 1) for pixels, cells in zip(size, grid, strict=True))
    where = (np.arange(count)[:, None, None] * grid[0] + row[:, None]) * grid[1] + column
    total = np.zeros(count * grid[0] * grid[1] * BINS)
    for ahead, weight in ((0, 1 - share), (1, share)):
        index = where * BINS + (first.astype(np.int64) + ahead) % BINS
        total += np.bincount(index.ravel(), (weight * length).ravel(), len(total))
    return np.moveaxis(total.reshape(count, *grid, BINS), -1, 1)


def _blocks(votes: np.ndarray) -> np.ndarray:
    """(N, 9, rows, columns) votes, normalised in blocks and averaged over them."""
    reach = [min(2, cells) for cells in votes.shape[2:]]
    starts = [cells - r + 1 for cells, r in zip(votes.shape[2:], reach, strict=True)]
    inside = [(slice(y, y + starts[0]), slice(x, x + starts[1])) for y in range(reach[0]) for x in range(reach[1])]
    parts = np.stack([votes[:, :, rows, columns] for rows, columns in inside])  # (cells of a block, N, 9, blocks)
    parts = np.minimum(_unit(parts), CLIP)
    total, blocks = np.zeros_like(votes), np.zeros(votes.shape[2:])
    for (rows, columns), part in zip(inside, _unit(parts), strict=True):
        total[:, :, rows, columns] += part
        blocks[rows, columns] += 1
    return total / blocks


def _unit(parts: np.ndarray) -> np.ndarray:
    squares = sum((parts[k, :, b] ** 2 for k in range(len(parts)) for b in range(BINS)), np.zeros(()))
    return parts / np.sqrt(squares + TINY**2)[None, :, None]
