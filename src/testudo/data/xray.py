"""Chest X-rays from disk: NIH ChestX-ray14."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from testudo.data.columns import Column, as_classes, as_labels, as_numbers, number
from testudo.data.dataset import DataSet, Examples
from testudo.data.faults import refuse
from testudo.data.images import Files
from testudo.data.place import place
from testudo.data.splits import laid_out
from testudo.data.table import read
from testudo.errors import TestudoError
from testudo.tasks.regression import Regression
from testudo.tasks.task import Task

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
HEALTHY = "No Finding"
TABLES = ("Data_Entry_2017*.csv", "sample_labels.csv")
OLDEST = 120  # years; the table has typing errors of 150 and more
TEST, VAL = 0.2, 0.1


class _Parsed(NamedTuple):
    """What the table says; images are not opened for it."""

    pathology: Column
    age: Column
    gender: Column
    images: Files
    parts: dict[str, Tensor]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class NIH(DataSet):
    """NIH ChestX-ray14 (Wang et al. 2017): 112,120 frontal X-rays, grey, of 30,805 patients, or any part of it.

    Tasks: ``pathology`` (14 findings, each present or absent; all absent for "No Finding"), ``age`` (years,
    standardised over the training images; above 120 an error of the table, hence unknown), ``gender`` (F, M). About
    70, 10 and 20 % of the images are for training, validation and test; no patient is in two of them. Ids are row
    numbers of the table, from 0. Images are opened when asked for.

    Args:
        root: the folder of ``Data_Entry_2017*.csv`` (or ``sample_labels.csv``) and of the PNGs, which lie in
            ``images`` or, as published, in ``images_001/images`` and so on; empty: ``nih_cxr14_64`` in the folder
            named by TESTUDO_DATA, or in ``../shared/data``.
        size: height and width in pixels, to which larger images are resized (bilinear, with antialiasing).
        seed: decides which patients are for what.

    Raises:
        TestudoError: one line naming the table, row or image that is missing or wrong, on use.
    """

    root: str = ""
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 8:
            raise TestudoError(f"nih: size must be at least 8 pixels, got {self.size}")

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of a thousand images at 64 x 64, whatever part of the set is here."""
        return (0.5172,), (0.2479,)

    def labelled(self) -> tuple[Task, ...]:
        """The three tasks."""
        parsed = self._sound()
        train = parsed.parts["train"]
        tasks = (column.task(train) for column in (parsed.pathology, parsed.age, parsed.gender))
        return tuple(replace(task, unit="years") if isinstance(task, Regression) else task for task in tasks)

    def read(self, split: str) -> Examples:
        """The X-rays of ``split``."""
        parsed = self._sound()
        columns = (parsed.pathology, parsed.age, parsed.gender)
        targets = {column.name: column.targets for column in columns}
        note = f"images at {self.size}x{self.size}"
        every = Examples(parsed.images, targets, torch.arange(len(parsed.images)), note)
        if not len(parsed.parts[split]):
            raise TestudoError(f"nih: no patients are left for split {split!r}")
        return every.take(parsed.parts[split])

    def check(self) -> list[str]:
        """One line for each bad cell and each missing or unreadable image."""
        try:
            parsed = self._parsed
        except TestudoError as error:
            return [str(error)]
        return [*parsed.problems, *parsed.images.problems()]

    def _sound(self) -> _Parsed:
        """The table, refused where a cell in it is wrong."""
        refuse(self._parsed.problems)
        return self._parsed

    @cached_property
    def _parsed(self) -> _Parsed:
        root = place("nih", self.root, "nih_cxr14_64", " or ".join(TABLES))
        tables = [file for pattern in TABLES for file in sorted(root.glob(pattern))]
        if not tables:
            raise TestudoError(f"nih: no table in {str(root)!r} (looked for {', '.join(TABLES)})")
        table = read(str(tables[0]))
        named = {path.name: path for path in root.glob("images*/**/*.png")}
        items = tuple(named.get(str(cell), root / "images" / str(cell)) for cell in table.column("Image Index"))
        findings = ["|" if cell == HEALTHY else cell for cell in table.column("Finding Labels")]
        pathology = as_labels("pathology", findings, FINDINGS, table.where)
        age = as_numbers("age", [_plausible(cell) for cell in table.column("Patient Age")], table.where)
        gender = as_classes("gender", table.column("Patient Gender"), ("F", "M"), table.where)
        parts = dict(zip(("test", "val", "train"), self._dealt(table.column("Patient ID")), strict=True))
        problems = (*pathology.problems, *age.problems, *gender.problems)
        images = Files(items, table.where, (1, self.size, self.size), resize=True)
        return _Parsed(pathology, age, gender, images, parts, problems)

    def _dealt(self, patients: list[Any]) -> list[Tensor]:
        """The rows of test, val and train: patients in random order, until each has its share of the images."""
        names: dict[str, int] = {}
        rows = torch.tensor([names.setdefault(str(cell), len(names)) for cell in patients])
        order, middle = laid_out(rows, self.seed)
        part = torch.empty(len(order), dtype=torch.int64)
        part[order] = (middle >= TEST).long() + (middle >= TEST + VAL).long()
        return [(part[rows] == index).nonzero()[:, 0] for index in range(3)]


def _plausible(cell: Any) -> Any:
    """An age, None where nobody is that old."""
    age = number(cell)
    return None if age is not None and age > OLDEST else cell
