"""A table of numbers as coloured squares, each with its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from testudo.reports.figures import SERIES, STYLE, Panel

FAINT, FULL = 0.04, 0.6  # opacity of the least and of the most: the number stays legible on either, light or dark


def heat_map(
    title: str,
    names: tuple[Sequence[str], Sequence[str]],
    values: ArrayLike,
    sides: tuple[str, str] = ("", ""),
    span: tuple[float, float] | None = None,
) -> Panel:
    """A panel of squares, the larger the value the stronger the colour.

    Args:
        title: what it shows.
        names: of the lines and of the columns.
        values: (lines, columns) in the unit they are shown in; NaN: nothing was measured.
        sides: what lines and columns stand for.
        span: the values of the faintest and of the strongest colour; by default the least and the largest.
    """
    table = np.asarray(values, float)
    known = table[np.isfinite(table)]
    low, high = span or ((known.min(), known.max()) if known.size else (0.0, 1.0))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.6 + 0.75 * table.shape[1], 1.0 + 0.5 * table.shape[0]), layout="constrained")
        axes = figure.add_subplot()
        for (line, column), value in np.ndenumerate(table):
            share = np.clip((value - low) / (high - low or 1), 0, 1) if np.isfinite(value) else 0.0
            square = Rectangle((column, line), 0.96, 0.94, linewidth=0, facecolor=SERIES[0])
            square.set_alpha(FAINT + (FULL - FAINT) * float(share))
            axes.add_patch(square)
            told = f"{value:.1f}" if np.isfinite(value) else "–"
            axes.text(column + 0.48, line + 0.47, told, ha="center", va="center")
        axes.set(xlim=(0, table.shape[1]), ylim=(table.shape[0], 0), ylabel=sides[0], xlabel=sides[1])
        axes.set_xticks(np.arange(table.shape[1]) + 0.48, names[1], rotation=30, ha="left")
        axes.set_yticks(np.arange(table.shape[0]) + 0.47, names[0])
        axes.xaxis.set_ticks_position("top")
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
    told = "; ".join(
        f"{line}: " + ", ".join(f"{name} {value:.1f}" for name, value in zip(names[1], row, strict=True))
        for line, row in zip(names[0], table, strict=True)
    )
    return Panel(title, f"{title}. {told}", figure)
