"""What a study whose runs are done leaves in its folder: rows, facts, measures and pictures."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from testudo.evaluation.seal import sealed
from testudo.files import to_json, write_atomic
from testudo.parts import to_toml
from testudo.registry import DATA
from testudo.run import Run
from testudo.studies.gallery import write_gallery
from testudo.studies.publish import FACTS, GALLERY, MEASURES, ROWS
from testudo.studies.study import Study, Variant


def collect(study: Study, folder: Path, minutes: float) -> None:
    """Write rows, study.json, measures and gallery.npz of a study whose runs are done, and those of its parts."""
    for part, other in study.also.items():
        collect(other, folder / part, minutes)
    rows = pl.concat([variant.rows(Run(folder / name)) for name, (variant, _) in study.runs().items()])
    write_atomic(folder / ROWS, sealed(rows))
    write_gallery(study, folder, folder / GALLERY)
    first = Run(folder / next(iter(study.runs())))
    told = {
        "name": folder.name,
        "title": study.title,
        "intro": list(study.intro),
        "target": first.tasks[0].name,
        "groups": [_group(study, variant, folder) for variant in study.variants()],
        "data": {
            "name": DATA.name_of(type(first.recipe.data)),
            "note": first.facts["note"],
            "fingerprint": first.facts["data"]["test"],
            **first.facts["counts"],
        },
        "environment": first.facts["environment"],
        "also": list(study.also),
        "claims": [asdict(claim) for claim in study.claims],
        "beside": [asdict(number) for number in study.beside],
        "measures": _measured(study, folder, rows),
        "minutes": minutes,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(folder / FACTS, to_json(told, indent=1))


def _group(study: Study, variant: Variant, folder: Path) -> dict[str, Any]:
    """What the page is told of a variant."""
    runs = _runs(study, variant, folder)
    return {
        "name": variant.name,
        "runs": [run.name for run in runs],
        "counterpart": variant.counterpart,
        "tasks": [task.name for task in runs[0].tasks],
        "training": variant.training,
        "recipe": to_toml(variant.recipe),
    }


def _runs(study: Study, variant: Variant, folder: Path) -> list[Run]:
    return [Run(folder / f"{variant.recipe.name}-s{seed}") for seed in study.seeds]


def _measured(study: Study, folder: Path, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Write the table of each of a study's measures, and say where."""
    groups = {variant.name: _runs(study, variant, folder) for variant in study.variants()}
    told = []
    for number, measure in enumerate(study.measures):
        file = f"{MEASURES}/{number}.csv"
        write_atomic(folder / file, measure(rows, groups).write_csv())
        said = [asdict(reading) for reading in measure.said]
        told.append(
            {"name": str(number), "title": measure.title, "caption": measure.caption, "file": file, "said": said}
        )
    return told
