"""One picture of a diagnosis: surfaces, attacks, and how the metric falls as the ball grows."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testudo.evaluation.diagnosis.diagnosis import Diagnosis
from testudo.evaluation.diagnosis.views import Views
from testudo.reports.wording import METRICS, radius, scaled

INK, LINE, BAND = "#4a4a46", "#0b6a9c", "#dcdcd6"
WRONG = "#b00020"
SIDE, DPI = 3.2, 110  # inches of a panel; dots per inch
PANELS = 4
NUMBER: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "ha": "center", "color": INK}


def picture(diagnosis: Diagnosis) -> bytes:
    """A PNG with a row for each task: the surface, lines along the gradient, the attacks, the growing ball."""
    rows = max(1, len(diagnosis.views))
    figure = Figure(figsize=(PANELS * SIDE + 1.2, rows * (SIDE + 0.3) + 0.3), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, PANELS, squeeze=False)
    for line, shown in zip(axes, diagnosis.views, strict=False):
        _surface(line[0], shown)
        _lines(line[1], shown)
        _attacks(line[2], shown)
        _radii(line[3], shown)
    figure.suptitle(diagnosis.heading, fontsize=10, color=INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _surface(axes: Axes, shown: Views) -> None:
    """The margin or loss around one example; where a margin is above 0, the answer is wrong."""
    if not shown.surface:
        axes.set_axis_off()
        return
    face = np.array(shown.surface)
    ticks = np.linspace(-1, 1, len(face))
    drawn = axes.pcolormesh(ticks, ticks, face, cmap="viridis", shading="nearest")
    if face.min() < face.max():
        axes.contour(ticks, ticks, face, 8, colors="white", linewidths=0.5)
    if shown.metric == "accuracy" and face.min() < 0 < face.max():
        axes.contour(ticks, ticks, face, [0.0], colors=WRONG, linewidths=1.4)
    axes.plot(0, 0, "+", color="white", markersize=9)
    axes.figure.colorbar(drawn, ax=axes, shrink=0.85, format="%.3g").ax.tick_params(labelsize=7)
    _dress(axes, f"{shown.task}: {_what(shown)} of example {shown.example}", "along the gradient, in ε", "across, in ε")
    axes.set_aspect("equal")
    axes.grid(False)


def _lines(axes: Axes, shown: Views) -> None:
    """The margin or loss of several examples on the way along their gradients."""
    for values in shown.lines:
        axes.plot(np.linspace(0, 1, len(values)), values, color=LINE, linewidth=0.9, alpha=0.8)
    if shown.metric == "accuracy":
        axes.axhline(0, color=WRONG, linewidth=1.2)
    _dress(axes, f"{_what(shown)} of {len(shown.lines)} examples", "along the gradient, in ε", "")


def _what(shown: Views) -> str:
    return "margin (wrong above 0)" if shown.metric == "accuracy" else "loss"


def _attacks(axes: Axes, shown: Views) -> None:
    """The metric under every attack in the ball, with exact 99 % intervals where there are any."""
    names, values, lows, highs = zip(*shown.attacks, strict=True)
    places = np.arange(len(names))[::-1]
    seen = [scaled(shown.metric, value) for value in values]
    axes.plot(seen, places, "o", color=LINE, markersize=4)
    for place, value, low, high in zip(places, seen, lows, highs, strict=True):
        if not math.isnan(low):
            ends = [scaled(shown.metric, end) for end in (low, high)]
            axes.plot(ends, [place, place], color=LINE, linewidth=1.2)
        axes.annotate(f"{value:.3g}", (value, place), (0, 4), **NUMBER)
    axes.set_yticks(places, names)
    _dress(axes, f"attacks at ε {radius(shown.eps)}", METRICS.get(shown.metric, shown.metric), "")
    _whole(axes.set_xlim, shown, seen)


def _radii(axes: Axes, shown: Views) -> None:
    """The metric over eps, which must come to an end."""
    eps, values = zip(*shown.radii, strict=True)
    seen = [scaled(shown.metric, value) for value in values]
    axes.plot(range(len(eps)), seen, "o-", color=LINE, linewidth=1.6, markersize=4)
    axes.set_xticks(range(len(eps)), [radius(each) if each else "0" for each in eps])
    _dress(axes, "PGD as the ball grows to the box", "ε", METRICS.get(shown.metric, shown.metric))
    _whole(axes.set_ylim, shown, seen)


def _whole(limit: Callable[[float, float], object], shown: Views, values: Sequence[float]) -> None:
    """From 0 on, to 100 % for shares."""
    top = 100.0 if scaled(shown.metric, 1.0) == 100 else 1.05 * max(*values, 0.0) or 1.0
    limit(-0.03 * top, 1.05 * top)


def _dress(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=8.5, color=INK)
    axes.set_xlabel(x, fontsize=8, color=INK)
    axes.set_ylabel(y, fontsize=8, color=INK)
    axes.tick_params(labelsize=7.5, colors=INK, length=3)
    axes.grid(True, color=BAND, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
