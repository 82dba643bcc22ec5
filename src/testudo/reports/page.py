"""The page of a study: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from testudo.files import write_atomic
from testudo.reports import exports, setting, wording
from testudo.reports import part as names
from testudo.reports.figures import Panel, curves, looks, svg, swatch
from testudo.reports.findings import findings
from testudo.reports.front import front_caption, front_panel
from testudo.reports.gallery import cards
from testudo.reports.part import Part, measure_stem
from testudo.reports.results import Results
from testudo.reports.study_tables import aim_of
from testudo.reports.verdicts import RULE, caveat, tally, verdicts


def build_page(folder: Path | str, parts: Sequence[Part]) -> Path:
    """Write ``report.html`` into a study folder, whole or not at all.

    Args:
        folder: where the page goes.
        parts: the study, and those shown with it.

    Returns:
        The path of the page.

    Raises:
        TestudoError: it cannot be written.
    """
    path = Path(folder) / "report.html"
    write_atomic(path, render(parts))
    return path


def render(parts: Sequence[Part]) -> str:
    """The page as HTML."""
    first, script = parts[0].results.study, _text("page.js")
    shown = zip(parts, exports.prefixes(parts), strict=True)
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            study=first,
            style=Markup(_text("page.css")),
            script=Markup(script),
            hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            parts=[
                _shown(part, f"part-{number}-" if number else "", f"{exports.slug(first.name)}-{stem}")
                for number, (part, stem) in enumerate(shown)
            ],
            rule=RULE,
            environment=setting.environment(first),
            duration=setting.duration(first.minutes),
            created=setting.date(first.created),
        )
    )
    return re.sub(r"Δ_(MTL|Wor)", r"Δ<sub>\1</sub>", page)


def _shown(part: Part, prefix: str, stem: str) -> dict[str, Any]:
    """All that the templates show of a study.

    Args:
        part: the study.
        prefix: keeps its headings' names apart from other parts'.
        stem: what the names of its files begin with.
    """
    results, study = part.results, part.results.study
    tables = {name: Markup(each.html(exports.table_links(stem + name, each))) for name, each in part.tables.items()}
    front = front_panel(results, part.front) if part.front else None
    return {
        "prefix": prefix,
        "study": study,
        "verdicts": [(told, Markup(told.pairs.html())) for told in verdicts(results)],
        "tally": tally(results),
        "caveat": caveat(results),
        "findings": findings(results),
        "tables": tables,
        "names": names,
        "measured": [(each, tables.get(measure_stem(each))) for each in part.measured],
        "front": _drawn(front, stem) if front else None,
        "front_caption": front_caption(part.front) if front and part.front else "",
        "figures": _figures(results, stem),
        "legend": [(name, Markup(swatch(look))) for name, look in looks(study).items()],
        "cards": cards(part.gallery) if part.gallery else [],
        "diagnoses": [(each, _link(f"{stem}{each.run}.json", each.source, each.run)) for each in part.diagnoses],
        "recipes": [(group, _link(f"{stem}{group.name}.toml", group.recipe, group.name)) for group in study.groups],
        "data": setting.data(study),
        "note": study.data.get("note", ""),
        "seeds": wording.counted(max(len(group.runs) for group in study.groups), "seed"),
        "variants": wording.counted(len(study.groups), "variant"),
        "described": setting.attacks(results),
    }


def _link(name: str, content: str, of: str) -> Markup:
    stem, _, ending = name.rpartition(".")
    return Markup(exports.link(f"{exports.slug(stem)}.{ending}", content, ending.upper(), of))


def _environment() -> Environment:
    return Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_text),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> str:
    return files("testudo.reports").joinpath(name).read_text(encoding="utf-8")


def _drawn(panel: Panel, stem: str) -> dict[str, Any]:
    """A panel with a link to its data."""
    data = exports.data_link(stem + exports.slug(panel.title), panel.records, panel.title)
    return {"title": panel.title, "drawing": Markup(svg(panel)), "data": Markup(data), "records": panel.records}


def _figures(results: Results, stem: str) -> list[dict[str, Any]]:
    """Panels with their captions, task by task."""
    found = []
    for task in results.study.tasks:
        panels = curves(results, task) if results.holding(task) else []
        if panels:
            shown = [_drawn(panel, stem) for panel in panels]
            found.append({"task": task, "panels": shown, "caption": _caption(results, task, panels)})
    return found


def _caption(results: Results, task: str, panels: Sequence[Panel]) -> str:
    """What the curves of a task show: attacks, eps, norm, objective, n."""
    metric = results.metric(task)
    attacks = results.on(task)
    aims = wording.listed(dict.fromkeys(aim_of(results, task, attack) for attack in attacks))
    rows = [row for g in results.holding(task) for a in attacks if (row := results.value(g, task, a))]
    n = max(row["n"] for row in rows)
    name = wording.METRICS.get(metric, metric)
    name = name if name[1].isupper() else name.capitalize()
    return (
        f"{name} of {task} over the size of the perturbation, ε = 0 being the clean images; "
        f"{wording.counted(len(panels), 'kind')} of attack aimed at {aims}; n = {n:,} test examples per point, "
        "bands are 95 % bootstrap intervals."
    )
