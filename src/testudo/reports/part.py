"""A study on the page, with all that is shown of it; and its tables."""

from __future__ import annotations

from typing import NamedTuple

from testudo.reports.diagnosis import Diagnosed, diagnosis_table
from testudo.reports.front import Front
from testudo.reports.measures import Measured
from testudo.reports.published import published_table
from testudo.reports.results import Results
from testudo.reports.study import Gallery
from testudo.reports.study_tables import full_table, main_table, objectives_table
from testudo.reports.tables import Table
from testudo.reports.verdicts import claims_table, verdict_table

MAIN, OBJECTIVES, EVERYTHING = "clean-and-robust", "objectives", "every-number"
VERDICTS, CLAIMS, PUBLISHED, DIAGNOSIS = "verdicts", "claims", "published", "diagnosis"


class Part(NamedTuple):
    """A study on the page.

    Args:
        results: its numbers.
        gallery: examples to look at (:func:`testudo.reports.study.read_gallery`).
        front: its variants as points.
        measured: tables of its own (:func:`testudo.reports.measures.read_measures`).
        diagnoses: of its runs (:func:`testudo.reports.diagnosis.read_diagnoses`).
    """

    results: Results
    gallery: Gallery | None = None
    front: Front | None = None
    measured: tuple[Measured, ...] = ()
    diagnoses: tuple[Diagnosed, ...] = ()

    @property
    def tables(self) -> dict[str, Table]:
        """Every table of the study by the name of its files, those it has nothing for left out."""
        made = {
            VERDICTS: verdict_table(self.results),
            CLAIMS: claims_table(self.results),
            PUBLISHED: published_table(self.results),
            MAIN: main_table(self.results),
            OBJECTIVES: objectives_table(self.results),
            **{measure_stem(each): each.table for each in self.measured},
            DIAGNOSIS: diagnosis_table(self.diagnoses),
            EVERYTHING: full_table(self.results),
        }
        return {name: table for name, table in made.items() if table is not None}


def measure_stem(measured: Measured) -> str:
    """What the files of a measure are called."""
    return f"measure-{measured.measure.name}"
