"""One picture of an attack: the image before, the perturbation, the image after, and what the model says of both."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from testudo.tasks.dense import DenseTask
from testudo.tasks.paint import painted
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task

SIDE, DPI, LINE = 2.8, 110, 0.2  # inches of a panel; dots per inch; inches of a line of text
WIDTH = 44  # letters below a panel
CHANGED = "#b00020"

Map = NDArray[np.floating]


def picture(
    images: tuple[Tensor, Tensor, Tensor],
    tasks: Mapping[str, Task],
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    told: Mapping[str, Any],
) -> bytes:
    """A PNG: the three images in a row, the predictions in words below, and a row of maps for each dense task.

    Args:
        images: clean, amplified perturbation, adversarial, each (1, C, H, W) in [0, 1].
        tasks: the model's.
        before: bare predictions for the clean image.
        after: those for the adversarial image.
        told: ``tasks`` (what each says before and after), ``within`` (the ball), ``perturbation_amplified_by``.
    """
    dense = {name: task for name, task in tasks.items() if isinstance(task, DenseTask)}
    said = [_lines(told["tasks"], side) for side in ("before", "after")]
    words = LINE * max(map(len, said)) + 0.15
    height, width = images[0].shape[-2:]
    row = SIDE * min(max(height / width, 0.4), 2) + 0.3  # with its title
    figure = Figure(figsize=(3 * SIDE + 0.4, row * (1 + len(dense)) + words), dpi=DPI, layout="constrained")
    heights = [row, words, *[row] * len(dense)]
    axes = figure.subplots(2 + len(dense), 3, squeeze=False, height_ratios=heights)
    titles = ("clean", f"perturbation × {told['perturbation_amplified_by']:.3g}", f"adversarial ({told['within']})")
    for column, (title, image) in enumerate(zip(titles, images, strict=True)):
        _show(axes[0, column], title, _pixels(image))
        _write(axes[1, column], [] if column == 1 else said[column // 2])
    for line, (name, task) in enumerate(dense.items(), start=2):
        maps = _maps(task, before[name], after[name])
        for column, (title, shown) in enumerate(zip(("before", "change", "after"), maps, strict=True)):
            _show(axes[line, column], f"{name}: {title}", shown)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def _lines(tasks: list[dict[str, str]], side: str) -> list[tuple[str, bool]]:
    """What each task says on one side, wrapped, and whether it says something else on the other."""
    found = []
    for task in tasks:
        changed = side == "after" and _answer(task["before"]) != _answer(task["after"])
        found += [(line, changed) for line in textwrap.wrap(f"{task['task']}: {task[side]}", WIDTH)]
    return found


def _answer(words: str) -> str:
    """What is said, without how sure it is: ``3 (97%)`` is 3."""
    return words.rpartition(" (")[0] if words.endswith("%)") else words


def _write(axes: Axes, lines: list[tuple[str, bool]]) -> None:
    axes.set_axis_off()
    for number, (line, changed) in enumerate(lines):
        place = 1 - (number + 0.5) / max(len(lines), 1)
        colour = CHANGED if changed else "black"
        axes.text(0.5, place, line, ha="center", va="center", fontsize=8, color=colour, transform=axes.transAxes)


def _show(axes: Axes, title: str, pixels: Map) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def _pixels(image: Tensor) -> Map:
    """(1, C, H, W) -> (H, W, 3); one channel is grey, of more the first three are shown."""
    values = image[0].permute(1, 2, 0).numpy()
    return np.repeat(values[..., :1], 3, -1) if values.shape[2] < 3 else values[..., :3]


def _maps(task: DenseTask, before: Tensor, after: Tensor) -> tuple[Map, Map, Map]:
    """Two dense predictions and where they differ, as colours (H, W, 3)."""
    labels = [task.as_label(each)[0] for each in (before, after)]
    first, second = painted(task, labels)
    # what cannot be a label is NaN
    gap = (labels[0].float().nan_to_num() - labels[1].float().nan_to_num()).abs().reshape(-1, *first.shape[:2])
    gap = (gap > 0).float() if isinstance(task, Segmentation) else gap / gap.max().clamp(min=1e-12)
    return first, np.repeat(gap.amax(0)[..., None].numpy(), 3, -1), second
