"""A finished study told: rows, facts and pictures in its folder, the page and the terminal's table from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from testudo.evaluation.columns import read_rows
from testudo.evaluation.seal import sealed
from testudo.evaluation.significance import comparisons
from testudo.evaluation.summarise import summarise
from testudo.files import write_atomic
from testudo.registry import DATA
from testudo.reports.page import Part, build_page
from testudo.reports.results import Results
from testudo.reports.study import read_gallery, read_study
from testudo.reports.study_tables import main_table, objectives_table
from testudo.reports.tables import Table

ROWS, FACTS, GALLERY, TABLE = "rows.parquet", "study.json", "gallery.npz", "table.md"


def collect(study: Any, folder: Path, minutes: float) -> None:
    """Write the rows of all runs, study.json and gallery.npz of a study whose runs are done, and of its parts."""
    from testudo.run import Run  # here, so that a page can be made again from its rows without torch
    from testudo.studies.gallery import write_gallery

    for part, other in study.also.items():
        collect(other, folder / part, minutes)
    rows = [Run(folder / name).rows({"clean": None, **recipe.suite}) for name, (_, recipe) in study.runs().items()]
    write_atomic(folder / ROWS, sealed(pl.concat(rows)))
    write_gallery(study, folder, folder / GALLERY)
    first = Run(folder / next(iter(study.runs())))
    groups = [
        {
            "name": variant.name,
            "runs": [f"{variant.recipe.name}-s{seed}" for seed in study.seeds],
            "counterpart": variant.counterpart,
            "tasks": [task.name for task in Run(folder / f"{variant.recipe.name}-s{study.seeds[0]}").tasks],
            "training": variant.training,
        }
        for variant in study.variants()
    ]
    told = {
        "name": folder.name,
        "title": study.title,
        "intro": list(study.intro),
        "target": first.tasks[0].name,
        "groups": groups,
        "data": {
            "name": DATA.name_of(type(first.recipe.data)),
            "note": first.facts["note"],
            "fingerprint": first.facts["data"]["test"],
            **first.facts["counts"],
        },
        "environment": first.facts["environment"],
        "also": list(study.also),
        "minutes": minutes,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(folder / FACTS, json.dumps(told, indent=1))


def tell(folder: Path) -> tuple[Path, list[Table]]:
    """The page of a study folder, made from its rows, and the main tables for the terminal.

    ``table.md`` holds those and the tables of attacks on several tasks.

    Raises:
        TestudoError: the folder holds no finished study, or its files are damaged.
    """
    parts = _parts(folder)
    page = build_page(folder, parts)
    tables = [main_table(part.results) for part in parts]
    told = []
    for part, table in zip(parts, tables, strict=True):
        joint = objectives_table(part.results)
        shown = [f"{each.caption}\n\n{each.markdown()}\n" for each in (table, joint) if each]
        told.append("\n".join([f"# {part.results.study.title}\n", *shown]))
    write_atomic(folder / TABLE, "\n".join(told))
    return page, tables


def _parts(folder: Path) -> list[Part]:
    """A study as it lies in its folder, and those shown with it."""
    facts = read_study(folder)
    rows = read_rows(folder / ROWS)
    groups: list[Mapping[str, Any]] = [vars(group) for group in facts.groups]
    summary = summarise(rows, {run: group.name for group in facts.groups for run in group.runs})
    compared = comparisons(rows, groups)
    own = Part(Results(facts, summary, compared), read_gallery(folder))
    return [own, *(part for name in facts.also for part in _parts(folder / name))]
