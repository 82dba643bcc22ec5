"""Diagnoses of a study's runs (``testudo diagnose``), as they lie in its folder."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testudo.errors import TestudoError, one_line
from testudo.reports.study import Study
from testudo.reports.tables import Cell, Row, Section, Table
from testudo.reports.wording import short

VERDICTS = {"pass": "better", "warn": "open", "fail": "worse", "skipped": "open"}


@dataclass(frozen=True)
class Diagnosed:
    """A run's diagnosis.

    Args:
        run, threat, examples, verdict: as told.
        findings: check, task, verdict, said, numbers and source of each.
        source: the whole, as JSON.
        picture: a PNG as a data URI; empty where there is none.
    """

    run: str
    threat: str
    examples: int
    verdict: str
    findings: tuple[Mapping[str, Any], ...]
    source: str
    picture: str = ""

    @property
    def kind(self) -> str:
        """The verdict as one word, for its look."""
        return VERDICTS[self.verdict]


def read_diagnoses(folder: Path | str, study: Study) -> tuple[Diagnosed, ...]:
    """diagnosis.json of each of the study's runs, and all of its folder ``diagnosis``.

    Raises:
        TestudoError: a file is damaged, or of another form than this version knows.
    """
    folder = Path(folder)
    runs = [run for group in study.groups for run in group.runs if run == Path(run).name]
    paths = [folder / run / "diagnosis.json" for run in runs]
    paths += sorted((folder / "diagnosis").glob("*.json"))
    return tuple(_read(path) for path in paths if path.exists())


def diagnosis_table(diagnoses: tuple[Diagnosed, ...]) -> Table | None:
    """A line for each finding, run by run; None where there is none."""
    sections = []
    for told in diagnoses:
        rows = tuple(_row(told, finding) for finding in told.findings)
        sections.append(Section(told.run, rows, f"in {told.threat}, {told.examples:,} test examples: {told.verdict}"))
    columns = tuple(map(Cell, ("check", "task", "verdict", "what it means", "evidence")))
    caption = (
        "Is the robustness real? Checks for masked gradients, each with the evidence it rests on (exact 99 % "
        "intervals) and who published the rule."
    )
    return Table("Diagnosis", caption, columns, tuple(sections), frozenset(range(5))) if sections else None


def _row(told: Diagnosed, finding: Mapping[str, Any]) -> Row:
    numbers = {name: short(value) for name, value in finding["numbers"].items()}
    evidence = ", ".join(f"{name} {value}" for name, value in numbers.items())
    record = {"run": told.run, "threat": told.threat, **{name: finding[name] for name in FINDING}}
    record["numbers"] = json.dumps(finding["numbers"])
    cells = [Cell(finding["task"]), Cell(finding["verdict"]), Cell(finding["said"], (finding["source"],))]
    return Row(Cell(finding["check"], record=record), (*cells, Cell(evidence)))


FINDING = ("check", "task", "verdict", "said", "numbers", "source")


def _read(path: Path) -> Diagnosed:
    try:
        source = path.read_text(encoding="utf-8")
        told = json.loads(source)
        findings = tuple({name: each[name] for name in FINDING} for each in told["findings"])
        for each in findings:
            if not isinstance(each["numbers"], dict) or each["verdict"] not in VERDICTS:
                raise ValueError(f"a finding has the verdict {each['verdict']!r}")
            if not all(isinstance(each[name], str) for name in FINDING if name != "numbers"):
                raise TypeError("a finding is told in words")
        parts = (str(told["run"]), str(told["threat"]), int(told["examples"]))
        picture = path.with_suffix(".png")
        drawn = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}" if picture.exists() else ""
        if told["verdict"] not in VERDICTS:
            raise ValueError(f"the verdict is {told['verdict']!r}")
    except (OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as mistake:
        raise TestudoError(f"{path} is not a readable diagnosis: {one_line(mistake)}") from mistake
    return Diagnosed(*parts, told["verdict"], findings, source, drawn)
