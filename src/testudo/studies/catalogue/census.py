"""Who is in a set of chest X-rays, beside what a paper says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from testudo.data.radiographs import Radiographs, Rows
from testudo.data.wrapped import innermost
from testudo.errors import TestudoError
from testudo.studies.measures import Groups, Measure
from testudo.studies.published import read

NAMES = {"Enlarged Cardio": "Enlarged Cardiomediastinum", "Pleural Thickening": "Pleural_Thickening"}
FURTHER = {"Effusion": ("Effusion", "Pleural Effusion")}


@dataclass(frozen=True)
class Census(Measure):
    """Radiographs, patients, age and sex of the study's data: GAT's Table 6.

    Args:
        title, caption: see :class:`~testudo.studies.measures.Measure`.
        published: the paper's name of the data set.
    """

    published: str

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """``what``, ``here``, and what the paper prints."""
        found = _rows(groups)
        age, gender = found.age.targets.flatten(), found.gender.targets
        known = age[~age.isnan()].double()
        here: dict[str, float] = {
            "Number of patient radiographs": len(found.ids),
            "Number of patients": len(found.people.unique()),
            "Age in years": float(known.mean()),
            "Age in years, standard deviation": float(known.std(correction=0)),
            "Percentage of females (%)": 100 * float((gender == 0).sum() / (gender >= 0).sum()),
            "Number of pathology labels": len(found.findings.labels),
        }
        printed = {row["row"]: row for row in read("gat-table6").filter(dataset=self.published).to_dicts()}
        theirs = {name: row["value"] for name, row in printed.items()}
        theirs["Age in years, standard deviation"] = printed["Age in years"]["spread"]
        lines = [{"what": name, "here": float(value), "the paper": theirs[name]} for name, value in here.items()]
        return pl.DataFrame(lines)


@dataclass(frozen=True)
class Findings(Measure):
    """How many patients have each finding: GAT's Table 7, which counts a patient's first radiograph alone.

    Args:
        title, caption: see :class:`~testudo.studies.measures.Measure`.
        published: the paper's name of the data set.
    """

    published: str

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """A row for each finding: patients with it, without it, of whom it is unknown; and the paper's two numbers."""
        found = _rows(groups)
        firsts = found.findings.targets[_first(found.people)]
        printed = _printed(self.published)
        lines = []
        for place, label in enumerate(found.findings.labels):
            column = firsts[:, place]
            told = {f"{sign}, the paper": printed.get((label, sign)) for sign in ("positive", "negative")}
            counts = {"positive": (column == 1).sum(), "negative": (column == 0).sum(), "unknown": column.isnan().sum()}
            lines.append({"finding": label, **{name: int(count) for name, count in counts.items()}, **told})
        return pl.DataFrame(lines, infer_schema_length=None)


def _rows(groups: Groups) -> Rows:
    data = innermost(next(iter(groups.values()))[0].recipe.data)
    if not isinstance(data, Radiographs):
        raise TestudoError(f"{type(data).__name__} has no radiographs to count")
    return data.rows()


def _first(people: Tensor) -> Tensor:
    """The first row of each patient.

    >>> _first(torch.tensor([0, 0, 1, 2, 1]))
    tensor([0, 2, 3])
    """
    rows = torch.full((int(people.max()) + 1,), len(people))
    return rows.scatter_reduce(0, people, torch.arange(len(people)), "amin")


def _printed(dataset: str) -> Mapping[tuple[str, str], float]:
    """The numbers of Table 7 by our name of the finding, and sign."""
    found = {}
    for row in read("gat-table7").filter(dataset=dataset).iter_rows(named=True):
        for label in FURTHER.get(row["row"], (NAMES.get(row["row"], row["row"]),)):
            found[label, row["label"]] = row["value"]
    return found
