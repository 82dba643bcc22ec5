"""A finished study told: rows, facts and pictures in its folder, the page and the terminal's table from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testudo.evaluation.claims import judge
from testudo.evaluation.columns import columns, read_rows
from testudo.evaluation.pareto import clean_and_robust, hypervolume
from testudo.evaluation.significance import comparisons
from testudo.evaluation.summarise import summarise
from testudo.files import write_atomic
from testudo.reports.diagnosis import read_diagnoses
from testudo.reports.exports import write_tables
from testudo.reports.front import Front
from testudo.reports.measures import read_measures
from testudo.reports.page import Part, build_page
from testudo.reports.results import Results
from testudo.reports.study import read_gallery, read_study
from testudo.reports.study_tables import main_table, objectives_table
from testudo.reports.tables import Table
from testudo.reports.verdicts import verdict_table

ROWS, FACTS, GALLERY, TABLE, MEASURES = "rows.parquet", "study.json", "gallery.npz", "table.md", "measures"


def tell(folder: Path) -> tuple[Path, list[Table]]:
    """The page of a study folder, made from its rows, and the main tables for the terminal.

    ``table.md`` holds those and the tables of attacks on several tasks, the folder ``tables`` every table by itself.

    Raises:
        TestudoError: the folder holds no finished study, or its files are damaged.
    """
    parts = _parts(folder)
    page = build_page(folder, parts)
    write_tables(folder, parts)
    told, first = [], []
    for part in parts:
        verdicts, table, joint = verdict_table(part.results), main_table(part.results), objectives_table(part.results)
        first += [each for each in (verdicts, table) if each]
        shown = [f"{each.caption}\n\n{each.markdown()}\n" for each in (verdicts, table, joint) if each]
        told.append("\n".join([f"# {part.results.study.title}\n", *shown]))
    write_atomic(folder / TABLE, "\n".join(told))
    return page, first


def _parts(folder: Path) -> list[Part]:
    """A study as it lies in its folder, and those shown with it."""
    facts = read_study(folder)
    rows = columns(read_rows(folder / ROWS))  # once, for all three
    groups: list[Mapping[str, Any]] = [vars(group) for group in facts.groups]
    summary = summarise(rows, {run: group.name for group in facts.groups for run in group.runs})
    compared = comparisons(rows, groups)
    judged = judge(rows, facts.claims, {group.name: group.runs for group in facts.groups})
    measured, diagnoses = read_measures(folder, facts.measures), read_diagnoses(folder, facts)
    results = Results(facts, summary, compared, tuple(judged), tuple(read for each in measured for read in each.read))
    own = Part(results, read_gallery(folder), _front(results), measured, diagnoses)
    return [own, *(part for name in facts.also for part in _parts(folder / name))]


def _front(results: Results) -> Front | None:
    """The variants as points: on clean images, and under the strongest attack on the target."""
    clean, strongest, target = results.clean(), results.strongest(results.study.target), results.study.target
    if clean is None or strongest is None:
        return None
    points = clean_and_robust(results.summary, target, strongest.name, clean.name)
    best = points.filter("front").select("clean", "robust").to_numpy()
    share = points["higher_is_better"].all() and len(best) and 0 <= best.min() <= best.max() <= 1
    return Front(points, hypervolume(best, (0, 0)) if share else None)
