"""The page of a study: one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from testudo.files import write_atomic
from testudo.reports import wording
from testudo.reports.figures import Panel, curves, looks, svg, swatch
from testudo.reports.findings import findings
from testudo.reports.gallery import cards
from testudo.reports.results import Results
from testudo.reports.study import Gallery, Study
from testudo.reports.study_tables import aim_of, full_table, main_table, objectives_table

LABELS = {"python": "Python", "torch": "PyTorch", "testudo": "testudo", "git": "git commit", "cpu": "CPU", "gpu": "GPU"}


class Part(NamedTuple):
    """A study on the page, and the examples to show of it (see :func:`testudo.reports.study.read_gallery`)."""

    results: Results
    gallery: Gallery | None = None


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
    first = parts[0].results.study
    page = (
        _environment()
        .from_string(_text("page.html.j2"))
        .render(
            study=first,
            style=Markup(_text("page.css")),
            parts=[_shown(part, f"part-{number}-" if number else "") for number, part in enumerate(parts)],
            environment=[(LABELS.get(k, k.replace("_", " ")), v) for k, v in first.environment.items()],
            duration=_duration(first.minutes),
            created=_date(first.created),
        )
    )
    return re.sub(r"Δ_(MTL|Wor)", r"Δ<sub>\1</sub>", page)


def _shown(part: Part, prefix: str) -> dict[str, Any]:
    """All that the template shows of a study; ``prefix`` keeps its headings' names apart from other parts'."""
    results, study, joint = part.results, part.results.study, objectives_table(part.results)
    return {
        "prefix": prefix,
        "study": study,
        "findings": findings(results),
        "main": Markup(main_table(results).html()),
        "figures": _figures(results),
        "legend": [(name, Markup(swatch(look))) for name, look in looks(study).items()],
        "cards": cards(part.gallery) if part.gallery else [],
        "objectives": Markup(joint.html()) if joint else "",
        "everything": Markup(full_table(results).html()),
        "data": _data(study),
        "seeds": wording.counted(max(len(group.runs) for group in study.groups), "seed"),
        "described": _described(results),
    }


def _environment() -> Environment:
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _text(name: str) -> str:
    return files("testudo.reports").joinpath(name).read_text(encoding="utf-8")


def _figures(results: Results) -> list[dict[str, Any]]:
    """Panels with their captions, task by task."""
    found = []
    for task in results.study.tasks:
        panels = curves(results, task) if results.holding(task) else []
        if panels:
            shown = [(panel.title, Markup(svg(panel))) for panel in panels]
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


def _described(results: Results) -> list[tuple[str, list[str]]]:
    """Every kind of attack with the eps it was run at, by norm."""
    kinds: dict[str, list[str]] = {}
    for attack in results.attacks:
        if not attack.clean:
            name = f"{attack.method}, {wording.NORMS.get(attack.norm, attack.norm)}"
            kinds.setdefault(name, []).append(wording.radius(attack.eps))
    return [(name, list(dict.fromkeys(eps))) for name, eps in kinds.items()]


def _data(study: Study) -> list[tuple[str, str]]:
    """The data's facts that are told, with their names."""
    told = study.data
    splits = ", ".join(f"{told[key]:,} {name}" for key, name in _SPLITS if isinstance(told.get(key), int))
    lines = [("data", told.get("name")), ("examples", splits), ("fingerprint", told.get("fingerprint"))]
    return [(name, str(value)) for name, value in lines if value]


_SPLITS = (("train", "for training"), ("val", "for validation"), ("test", "for testing"))


def _duration(minutes: float) -> str:
    """Minutes in words.

    >>> _duration(4.2), _duration(0.5), _duration(150)
    ('4.2 minutes', '30 seconds', '2.5 hours')
    """
    if minutes < 1:
        return f"{60 * minutes:.0f} seconds"
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _date(created: str) -> str:
    """An ISO time as a day; what is none, as it is."""
    try:
        day = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{day.day} {day:%B %Y}"
