"""Chest X-rays from disk: CheXpert."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from testudo.data.columns import as_classes, as_flags, as_numbers, number
from testudo.data.images import Files
from testudo.data.place import place
from testudo.data.radiographs import Radiographs, Rows, patients, plausible_age
from testudo.data.splits import evenly, held_out, share
from testudo.data.table import Table, read
from testudo.errors import TestudoError, unknown

FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
FOLDERS = ("CheXpert-v1.0-small", "CheXpert-v1.0")  # what the published archives unpack to
SEXES = {"Female": "F", "Male": "M", "Unknown": None}
VIEWS = ("Frontal", "Lateral")
SETTLED = {"mask": None, "negative": 0, "positive": 1}
LOOKED_AT = 1000  # images whose mean and deviation stand for those of all


@dataclass(frozen=True)
class CheXpert(Radiographs):
    """CheXpert (Irvin et al. 2019, https://arxiv.org/abs/1901.07031): 224,316 X-rays of 65,240 patients, grey.

    Tasks: ``pathology`` (14 observations, or the ``target`` ones), one for each ``auxiliary`` observation, ``age``
    (years, standardised over the training images), ``gender`` (F, M; "Unknown", which one image has, is unknown here,
    where GAT's paper counts it as a third class). A label 1 is present, 0 absent, -1 uncertain, a blank unknown.

    The published test labels are not public: test is ``valid.csv`` (200 patients, read by three radiologists), and
    val is held out of ``train.csv``, whole patients, drawn by ``seed``. A patient's number is the one in the path; no
    patient is in two splits, and files in which one is are refused. Ids are row numbers of their table, from 0. Images
    are opened when asked for.

    Args:
        root: the folder of ``train.csv``, ``valid.csv``, ``train`` and ``valid``, or the one that holds
            ``CheXpert-v1.0-small`` or ``CheXpert-v1.0``, which are such; empty: ``chexpert`` in the folder named by
            TESTUDO_DATA, or in ``../shared/data``. Paths in the tables begin with the name of that folder, which
            may have been renamed.
        size: height and width in pixels, to which images are resized (bilinear, with antialiasing; a wide image is
            squeezed, not cropped).
        seed: decides which patients are for val.
        target: the observations of ``pathology``, in this order; none means all.
        auxiliary: observations that are tasks of their own, named as they are, with ``_`` for blanks.
        uncertain: what a -1 is taken for: ``"mask"`` (unknown: U-Ignore of the paper), ``"negative"`` (U-Zeroes) or
            ``"positive"`` (U-Ones).
        frontal_only: leave lateral views out.
        val_share: about this share of the training images is for validation.

    Raises:
        TestudoError: one line naming the table, row or image that is missing or wrong, on use.
    """

    uncertain: Literal["mask", "negative", "positive"] = "mask"
    frontal_only: bool = True
    val_share: float = 0.05

    title: ClassVar[str] = "chexpert"
    findings: ClassVar[tuple[str, ...]] = FINDINGS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uncertain not in SETTLED:
            raise unknown("chexpert: uncertain", self.uncertain, SETTLED)
        share(1, self.val_share, "chexpert: val_share")

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of a thousand training images, evenly spaced: all of them would take many minutes to read."""
        train = self.load("train")
        return train.take(evenly(LOOKED_AT, len(train))).statistics()

    def rows(self) -> Rows:
        """What the two tables say, one after the other."""
        root = self._folder()
        kept = [self._kept(read(str(root / name))) for name in ("train.csv", "valid.csv")]
        table = Table("", {name: [cell for part in kept for cell in part.column(name)] for name in _needed()})
        where = [words for part in kept for words in part.column("where")]
        findings = as_flags("pathology", {name: self._settled(table.column(name)) for name in FINDINGS}, where)
        age = as_numbers("age", [plausible_age(cell) for cell in table.column("Age")], where)
        sexes = [SEXES.get(cell, cell) for cell in table.column("Sex")]
        gender = as_classes("gender", sexes, ("F", "M"), where)
        paths = [str(cell or "") for cell in table.column("Path")]
        people, nameless = patients([_patient(path) for path in paths], where)
        train = len(kept[0])
        shared = _shared(people, train, where)
        ids = torch.tensor(table.column("row"), dtype=torch.int64)
        images = Files(tuple(_file(root, path) for path in paths), tuple(where), (1, self.size, self.size), resize=True)
        problems = (*findings.problems, *age.problems, *gender.problems, *nameless, *shared)
        return Rows(findings, age, gender, images, ids, people, self._dealt(people, train), problems)

    def _folder(self) -> Path:
        root = place("chexpert", self.root, "chexpert", "train.csv and valid.csv")
        for folder in (root, *(root / name for name in FOLDERS)):
            if (folder / "train.csv").is_file():
                return folder
        raise TestudoError(f"chexpert: no train.csv in {str(root)!r}, nor in a folder {' or '.join(FOLDERS)} there")

    def _kept(self, table: Table) -> Table:
        """The rows that are used, with their number and the words that name them as further columns."""
        views, where = table.column("Frontal/Lateral"), table.where
        for row, view in enumerate(views):
            if view not in VIEWS:
                raise TestudoError(f"{where[row]}, {unknown('view', str(view), VIEWS)}")
        rows = [row for row, view in enumerate(views) if view == VIEWS[0] or not self.frontal_only]
        cells = {name: [values[row] for row in rows] for name, values in table.cells.items()}
        return replace(table, cells={**cells, "row": rows, "where": [where[row] for row in rows]})

    def _settled(self, cells: Sequence[Any]) -> list[Any]:
        """The cells with what -1 is taken for in its place."""
        known = {cell: SETTLED[self.uncertain] if number(cell) == -1 else cell for cell in set(cells)}
        return [known[cell] for cell in cells]

    def _dealt(self, people: Tensor, train: int) -> dict[str, Tensor]:
        val = held_out(people[:train], self.val_share, self.seed)
        test = torch.arange(train, len(people))
        return {"train": (~val).nonzero()[:, 0], "val": val.nonzero()[:, 0], "test": test}


def _needed() -> tuple[str, ...]:
    """The columns that are read; "AP/PA" is not."""
    return ("Path", "Sex", "Age", *FINDINGS, "row")


def _patient(path: str) -> str | None:
    found = re.search(r"patient(\d+)", path)
    return found[1] if found else None


def _file(root: Path, path: str) -> Path:
    """Where an image lies; its path in the table begins with the name that the folder was published under."""
    return root / (path.partition("/")[2] if path.startswith("CheXpert") else path)


def _shared(people: Tensor, train: int, where: Sequence[str]) -> list[str]:
    """A line for each image of the second table whose patient is in the first one too."""
    twice = torch.isin(people[train:], people[:train]).nonzero()[:, 0].tolist()
    return [f"{where[train + row]}: this patient is in train.csv too" for row in twice]
