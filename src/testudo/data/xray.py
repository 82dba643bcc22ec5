"""Chest X-rays from disk: NIH ChestX-ray14."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.data.columns import as_classes, as_labels, as_numbers
from testudo.data.images import Files
from testudo.data.place import place
from testudo.data.radiographs import Radiographs, Rows, patients, plausible_age
from testudo.data.splits import laid_out
from testudo.data.table import read
from testudo.errors import TestudoError

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
HEALTHY = "No Finding"
TABLES = ("Data_Entry_2017*.csv", "sample_labels.csv")
TEST, VAL = 0.2, 0.1


@dataclass(frozen=True)
class NIH(Radiographs):
    """NIH ChestX-ray14 (Wang et al. 2017): 112,120 frontal X-rays, grey, of 30,805 patients, or any part of it.

    Tasks: ``pathology`` (14 findings, or the ``target`` ones, each present or absent; all absent for "No Finding"),
    one for each ``auxiliary`` finding, ``age`` (years, standardised over the training images; above 120 an error of
    the table, hence unknown), ``gender`` (F, M). About 70, 10 and 20 % of the images are for training, validation
    and test; no patient is in two of them. Ids are row numbers of the table, from 0. Images are opened when asked
    for.

    Args:
        root: the folder of ``Data_Entry_2017*.csv`` (or ``sample_labels.csv``) and of the PNGs, which lie in
            ``images`` or, as published, in ``images_001/images`` and so on; empty: ``nih_cxr14_64`` in the folder
            named by TESTUDO_DATA, or in ``../shared/data``.
        size: height and width in pixels, to which larger images are resized (bilinear, with antialiasing).
        seed: decides which patients are for what.
        target: the findings of ``pathology``, in this order; none means all.
        auxiliary: findings that are tasks of their own, named as they are.

    Raises:
        TestudoError: one line naming the table, row or image that is missing or wrong, on use.
    """

    title: ClassVar[str] = "nih"
    findings: ClassVar[tuple[str, ...]] = FINDINGS

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of a thousand images at 64 x 64, whatever part of the set is here."""
        return (0.5172,), (0.2479,)

    def rows(self) -> Rows:
        """What the table says."""
        root = place("nih", self.root, "nih_cxr14_64", " or ".join(TABLES))
        tables = [file for pattern in TABLES for file in sorted(root.glob(pattern))]
        if not tables:
            raise TestudoError(f"nih: no table in {str(root)!r} (looked for {', '.join(TABLES)})")
        table = read(str(tables[0]))
        named = {path.name: path for path in root.glob("images*/**/*.png")}
        items = tuple(named.get(str(cell), root / "images" / str(cell)) for cell in table.column("Image Index"))
        where = table.where
        cells = ["|" if cell == HEALTHY else cell for cell in table.column("Finding Labels")]
        findings = as_labels("pathology", cells, FINDINGS, where)
        age = as_numbers("age", [plausible_age(cell) for cell in table.column("Patient Age")], where)
        gender = as_classes("gender", table.column("Patient Gender"), ("F", "M"), where)
        people, nameless = patients(table.column("Patient ID"), where)
        parts = dict(zip(("test", "val", "train"), self._dealt(people), strict=True))
        problems = (*findings.problems, *age.problems, *gender.problems, *nameless)
        images = Files(items, where, (1, self.size, self.size), resize=True)
        return Rows(findings, age, gender, images, torch.arange(len(items)), people, parts, problems)

    def _dealt(self, people: Tensor) -> list[Tensor]:
        """The rows of test, val and train: patients in random order, until each has its share of the images."""
        order, middle = laid_out(people, self.seed)
        part = torch.empty(len(order), dtype=torch.int64)
        part[order] = (middle >= TEST).long() + (middle >= TEST + VAL).long()
        return [(part[people] == index).nonzero()[:, 0] for index in range(3)]
