"""Every variant as a point: how good on clean images, how good under attack; and which no other beats in both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testudo.reports import wording
from testudo.reports.figures import GRID, INK, STYLE, Panel, looks
from testudo.reports.results import Results

LEAST = 3  # points that make a picture


@dataclass(frozen=True, eq=False)
class Front:
    """Points and what they cover.

    Args:
        points: group, task, metric, attack, ``clean`` and ``robust`` with ``_low`` and ``_high``, higher_is_better, and
            whether the point is on the ``front``; of :func:`testudo.evaluation.pareto.clean_and_robust`.
        covered: the hypervolume of the front above (0, 0); None where the metric is no share.
    """

    points: pl.DataFrame
    covered: float | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The points, in the order of the study."""
        return self.points.to_dicts()


def front_panel(results: Results, front: Front) -> Panel | None:
    """The points with both intervals, numbered in the order of the study; None where there are too few."""
    rows = [row for row in front.rows if np.isfinite([row["clean"], row["robust"]]).all()]
    if len(rows) < LEAST:
        return None
    metric, task = rows[0]["metric"], rows[0]["task"]
    attack = results.named(rows[0]["attack"])
    shown = looks(results.study)
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.add_subplot()
        _staircase(axes, [row for row in rows if row["front"]])
        for number, row in enumerate(rows, 1):
            _point(axes, number, row, shown[row["group"]].colour)
        words = wording.METRICS.get(metric, metric)
        axes.set(xlabel=f"{task}, clean images: {words}", ylabel=f"{task}, {attack}: {words}")
        axes.grid(True, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=3)
        axes.margins(0.08)
    best = "; ".join(row["group"] for row in rows if row["front"])
    title = f"{task}: clean against {attack}"
    noun = wording.noun(metric)
    alt = f"{noun} of {task} under {attack} over that on clean images, {len(rows)} variants; on the front: {best}"
    return Panel(title, alt, figure, tuple(rows))


def front_caption(front: Front) -> str:
    """How to read the picture, and what the front covers."""
    covered = ""
    if front.covered is not None:
        covered = (
            f" The front covers {front.covered:.3f} of the square from (0, 0) to (1, 1): its hypervolume above the "
            "reference point (0, 0), the larger the better."
        )
    return (
        "Each point is a variant, the mean over its seeds, with 95 % bootstrap intervals over test images. Filled, and "
        "bold in the list, are those that no other is at least as good as in both and better than in one; the line "
        f"borders what they are at least as good as.{covered}"
    )


def _staircase(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """The border of what the front dominates."""
    metric, upward = rows[0]["metric"], rows[0]["higher_is_better"]
    points = sorted((wording.scaled(metric, row["clean"]), wording.scaled(metric, row["robust"])) for row in rows)
    clean, robust = zip(*points, strict=True)
    axes.step(clean, robust, where="pre" if upward else "post", color=INK, linewidth=1, linestyle=(0, (4, 3)))


def _point(axes: Axes, number: int, row: dict[str, Any], colour: str) -> None:
    names = [f"{side}{end}" for side in ("clean", "robust") for end in ("", "_low", "_high")]
    x, x_low, x_high, y, y_low, y_high = (wording.scaled(row["metric"], row[name]) for name in names)
    axes.plot([x_low, x_high], [y, y], color=colour, linewidth=1, alpha=0.6)
    axes.plot([x, x], [y_low, y_high], color=colour, linewidth=1, alpha=0.6)
    axes.plot(x, y, "o", color=colour, markersize=6, markerfacecolor=colour if row["front"] else "none")
    axes.annotate(str(number), (x, y), (5, 4), textcoords="offset points", fontweight="bold", color=INK)
