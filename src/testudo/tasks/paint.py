"""Dense labels in colours, for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from testudo.tasks.dense import DenseTask
from testudo.tasks.maps import Autoencoder
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation

Picture = NDArray[np.floating]  # (H, W, 3) in [0, 1]
UNKNOWN = (0.5, 0.5, 0.5)


def painted(task: DenseTask, labels: Sequence[Tensor]) -> list[Picture]:
    """Several label maps of one example, on the same scale; grey where unknown.

    Classes have a colour each (twenty in all, then they come again), normals their components as red, green and blue,
    images themselves. Numbers run from dark to light over the range of the first map that knows any (a wild guess
    shall not flatten the others); of several channels the mean is shown.

    Args:
        task: a dense task.
        labels: each as the task wants its targets, without the batch dimension: (H, W) or (C, H, W).

    >>> import torch
    >>> red, green = painted(Segmentation("rooms", classes=2), [torch.tensor([[0]]), torch.tensor([[255]])])
    >>> green.shape, green[0, 0].tolist()
    ((1, 1, 3), [0.5, 0.5, 0.5])
    """
    known = [task.known(label[None])[0].numpy()[..., None] for label in labels]
    maps = [label.float().numpy() for label in labels]
    if isinstance(task, Segmentation):
        colours = colormaps["tab20"](np.arange(task.classes) % 20)[:, :3]
        shown = [colours[np.where(sure[..., 0], each, 0).astype(int)] for each, sure in zip(maps, known, strict=True)]
    elif isinstance(task, Normals):
        shown = [np.moveaxis((each.clip(-1, 1) + 1) / 2, 0, -1) for each in maps]
    elif isinstance(task, Autoencoder):
        shown = [np.moveaxis(np.repeat(each, 3, 0)[:3] if len(each) < 3 else each[:3], 0, -1) for each in maps]
    else:
        shown = _scaled([each.mean(0) for each in maps], known)
    return [np.where(sure, each, UNKNOWN).astype(float) for each, sure in zip(shown, known, strict=True)]


def _scaled(maps: Sequence[Picture], known: Sequence[NDArray[np.bool_]]) -> list[Picture]:
    """Numbers (H, W) in colours, over the range of the first map with any that are known."""
    values = next((m[sure[..., 0]] for m, sure in zip(maps, known, strict=True) if sure.any()), np.zeros(1))
    low, high = float(values.min()), float(values.max())
    paint = colormaps["viridis"]
    return [paint(np.nan_to_num((each - low) / max(high - low, 1e-12)).clip(0, 1))[..., :3] for each in maps]
