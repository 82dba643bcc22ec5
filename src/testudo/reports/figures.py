"""Robustness curves: a metric over eps, one panel per task and kind of attack.

Made with matplotlib's own objects (no pyplot, no global state); nothing is drawn to a screen.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from testudo.reports import wording
from testudo.reports.results import Attack, Results, kinds_of
from testudo.reports.study import Study
from testudo.reports.study_tables import aim_of

SERIES = ("#0b6a9c", "#c2410c", "#2f7d32", "#7c3aed", "#a16207", "#be185d")  # one hue per pair of groups
INK, GRID = "#4a4a46", "#dcdcd6"
_ROLES = {colour: f"series-{i}" for i, colour in enumerate(SERIES)} | {INK: "ink-soft", GRID: "grid"}
_TICKS = 7  # as many eps as have room below a panel
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and takes the page's colours
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.linewidth": 0.8,
    "figure.facecolor": "none",  # the page's paper shows through, light or dark
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Look:
    """How a group is drawn, everywhere the same: hue by pair, dashed for one task, solid for several."""

    colour: str
    dashed: bool

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of :meth:`matplotlib.axes.Axes.plot`."""
        marker = {"marker": "s", "markerfacecolor": "none"} if self.dashed else {"marker": "o"}
        return {"color": self.colour, "linestyle": (0, (4, 2)) if self.dashed else "-", "markersize": 4.5, **marker}


@dataclass(frozen=True, eq=False)
class Panel:
    """One drawing with its title, what it shows in words, and the numbers that are drawn, as lines of a CSV."""

    title: str
    alt: str
    figure: Figure
    records: tuple[Mapping[str, Any], ...] = ()


def looks(study: Study) -> dict[str, Look]:
    """A look for every group; a group has the hue of its counterpart."""
    hues: dict[str, str] = {}
    for group in study.groups:
        partner = group.counterpart or group.name
        if partner not in hues:
            hues[partner] = SERIES[len(hues) % len(SERIES)]
    return {g.name: Look(hues[g.counterpart or g.name], len(g.tasks) == 1) for g in study.groups}


def curves(results: Results, task: str) -> list[Panel]:
    """A panel per kind of attack on ``task``; for tasks other than the target only the strongest kinds.

    None where there is a single eps, which makes no curve.
    """
    attacks = results.on(task)
    if len({(attack.norm, attack.eps) for attack in attacks}) == 1:
        return []
    if task != results.study.target:
        attacks = results.headline(task)
    return [_panel(results, task, kind) for kind in kinds_of(attacks)]


def _panel(results: Results, task: str, attacks: list[Attack]) -> Panel:
    metric = results.metric(task)
    levels = all(wording.in_levels(attack.eps) for attack in attacks)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.2, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for group, look in looks(results.study).items():
            own = [row for row in _rows(results, task, attacks) if row["group"] == group]
            _draw(axes, [_point(row) for row in own], 255 if levels else 1, look)
        _dress(axes, metric, attacks[0].norm, levels)
        ticks = {0.0, *(attack.eps for attack in attacks)}
        if len(ticks) <= _TICKS:
            scale = 255 if levels else 1
            axes.set_xticks([scale * eps for eps in sorted(ticks)], [f"{scale * eps:.3g}" for eps in sorted(ticks)])
    first = attacks[0]
    norm = wording.NORMS.get(first.norm, first.norm)
    eps = wording.listed(wording.radius(attack.eps) for attack in attacks)
    title = f"{task}: {first.method}, {norm}"
    alt = (
        f"{wording.METRICS.get(metric, metric)} of {task} over the size of the perturbation, {first.method} in {norm} "
        f"at ε {eps}, attacking {aim_of(results, task, first)}; the numbers are in the tables"
    )
    return Panel(title, alt, figure, tuple(_rows(results, task, attacks)))


def _rows(results: Results, task: str, attacks: list[Attack]) -> list[dict[str, Any]]:
    """The rows of the summary that are drawn, group by group, the clean images first."""
    clean = results.clean()
    chosen = ([clean] if clean else []) + attacks
    return [row for g in results.study.groups for a in chosen if (row := results.value(g.name, task, a))]


def _point(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """(eps, value, low, high) in the metric's shown unit; clean images have eps 0."""
    value, low, high = (wording.scaled(row["metric"], row[name]) for name in ("value", "low", "high"))
    return row["eps"], value, low, high


def _draw(axes: Axes, points: list[tuple[float, float, float, float]], scale: int, look: Look) -> None:
    if not points:
        return
    eps, value, low, high = zip(*points, strict=True)
    eps = [scale * number for number in eps]
    axes.fill_between(eps, low, high, color=look.colour, alpha=0.13, linewidth=0)
    axes.plot(eps, value, linewidth=1.6, **look.line)


def _dress(axes: Axes, metric: str, norm: str, levels: bool) -> None:
    """Labels with units, a light grid, no box."""
    unit = "in 1/255" if levels else "pixels in [0, 1]"
    axes.set_xlabel(f"size of the perturbation ε ({wording.NORMS.get(norm, norm)}, {unit})")
    axes.set_ylabel(wording.METRICS.get(metric, metric))
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)
    axes.margins(x=0.03)
    top = {"accuracy": 100.0, "miou": 100.0, "auroc": 1.0}.get(metric)
    axes.set_ylim(0 if top is None else -0.02 * top, None if top is None else 1.02 * top)


def svg(panel: Panel) -> str:
    """A panel as an inline ``svg`` element that takes its colours from the page (CSS variables)."""
    held = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": panel.title}):
        FigureCanvasSVG(panel.figure).print_svg(held, metadata={"Date": None, "Creator": None})
    text = held.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, role in _ROLES.items():
        text = text.replace(colour, f"var(--{role}, {colour})")
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
    used = set(re.findall(r"#([\w-]+)[\")]", text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    box = re.search(r'viewBox="[^"]*"', text)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {box[0] if box else ""} role="img" class="panel"'
    text = re.sub(r"<svg [^>]*>", lambda _: f'{opening} aria-label="{escape(panel.alt)}">', text, count=1)
    return text.replace("xlink:href", "href").strip()


def swatch(look: Look) -> str:
    """A short piece of a group's line, for the legend."""
    role = f"var(--{_ROLES[look.colour]}, {look.colour})"
    dash = ' stroke-dasharray="6 3"' if look.dashed else ""
    mark = (
        f'<rect x="17" y="4" width="6" height="6" fill="none" stroke="{role}"/>'
        if look.dashed
        else f'<circle cx="20" cy="7" r="3.4" fill="{role}"/>'
    )
    line = f'<line x1="1" y1="7" x2="39" y2="7" stroke="{role}" stroke-width="2"{dash}/>'
    return f'<svg class="swatch" width="40" height="14" aria-hidden="true">{line}{mark}</svg>'
