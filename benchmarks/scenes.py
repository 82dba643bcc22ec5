"""How many rooms are rendered in a second, with their labels; run by itself, the picture of them in the docs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image, ImageDraw

from testudo.data.scenes import TASKS, Scenes
from testudo.tasks.paint import painted

ROOMS, VIEWS = 24, 5
FLOOR = 60  # images a second at 96 x 128 on two cores
ARMS = {
    "segmentation, depth, normals (default)": Scenes(rooms=(ROOMS, 1, 1), views=VIEWS),
    "the same, one ray a pixel": Scenes(rooms=(ROOMS, 1, 1), views=VIEWS, supersample=1),
    "every task": Scenes(rooms=(ROOMS, 1, 1), views=VIEWS, wanted=TASKS),
}
SHEET = Path(__file__).parents[1] / "docs" / "images" / "scenes.png"
SHOWN = Scenes(size=(90, 120), rooms=(4, 1, 1), views=2, wanted=TASKS, seed=6)
GAP, TITLE, COLUMNS = 4, 14, 7  # pixels; panels in a line
STEEPEST = 10.0  # 1/m: curvatures above are shown alike


def run(turns: int = 5) -> list[str]:
    """Markdown lines with the result."""
    lines = [
        f"## Rooms rendered ({ROOMS} rooms of {VIEWS} views, 96x128, {torch.get_num_threads()} threads)",
        "",
        "| arm | images a second (best turn) | median | to reach |",
        "| --- | --- | --- | --- |",
    ]
    rates = {name: [] for name in ARMS}
    _rate(replace(SHOWN, rooms=(1, 1, 1)))  # paints the patterns
    for _ in range(turns):
        for name, data in ARMS.items():
            rates[name].append(_rate(data))
    for index, (name, found) in enumerate(rates.items()):
        goal = f">= {FLOOR}" if index == 0 else ""
        lines.append(f"| {name} | {max(found):.0f} | {median(found):.0f} | {goal} |")
    return lines


def _rate(data: Scenes) -> float:
    """Images a second of the training split, nothing of it from the cache."""
    with patch("testudo.data.scenes.cached", _anew), patch("testudo.data.made.cached", _anew):
        began = time.perf_counter()
        count = len(data.load("train"))
        return count / (time.perf_counter() - began)


def _anew(_: tuple, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """A cache that keeps nothing."""
    return make()


def sheet(out: Path = SHEET) -> None:
    """Write one view of each of a few rooms with all its labels, each in two lines."""
    examples = SHOWN.load("train")
    tasks = [task for task in SHOWN.tasks() if task.name != "image"]
    names = ["image", *(task.name for task in tasks)]
    wide, high = SHOWN.size[1] + GAP, SHOWN.size[0] + GAP + TITLE
    rows = range(0, len(examples), SHOWN.views)
    page = Image.new("RGB", (COLUMNS * wide, len(rows) * -(-len(names) // COLUMNS) * high), "white")
    draw = ImageDraw.Draw(page)
    for scene, row in enumerate(rows):
        batch = examples.batch([row])
        batch.targets["curvature"].clamp_(max=STEEPEST)
        pictures = [batch.images[0].permute(1, 2, 0).numpy()]
        pictures += [painted(task, [batch.targets[task.name][0]])[0] for task in tasks]
        for place, (name, picture) in enumerate(zip(names, pictures, strict=True)):
            line = scene * -(-len(names) // COLUMNS) + place // COLUMNS
            corner = place % COLUMNS * wide, line * high
            draw.text((corner[0] + 2, corner[1] + 1), name, fill="black")
            page.paste(Image.fromarray(np.round(picture * 255).astype(np.uint8)), (corner[0], corner[1] + TITLE))
    page.save(out, optimize=True)


if __name__ == "__main__":
    sheet()
