"""The list of studies as a whole: nothing of the papers is left out, and what is missing is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testudo.commands.study import _changed, study
from testudo.data.place import DATA_ENV
from testudo.errors import TestudoError
from testudo.studies.papers import entries, without

ENTRIES = entries()
PAGE = Path(__file__).resolve().parents[2] / "docs/studies.md"


def test_the_page_tells_of_every_study_and_its_runs():
    told = dict(re.findall(r"^\| `([a-z0-9-]+)` \|.*\| ((?:\d+, )+\d+) \|", PAGE.read_text(), re.MULTILINE))
    counts = {name: [len(each.at(scale).every_run()) for scale in each.settings] for name, each in ENTRIES.items()}
    assert told == {name: ", ".join(map(str, each)) for name, each in counts.items()}


def places(source):
    """The tables and figures that a source names.

    >>> places("Mao et al. 2020, Figure 7; supplement, Tables 1 and 2")
    {'Figure 7', 'supplement, Table 1', 'supplement, Table 2'}
    """
    found = set()
    for before, kind, numbers in re.findall(
        r"(supplement, )?\b(Table|Figure)s? ((?:[\dIV]+(?:, (?=[\dIV])| and )?)+)", source
    ):
        found |= {f"{before}{kind} {number}" for number in re.findall(r"[\dIV]+", numbers)}
    return found


def test_every_table_and_figure_of_the_papers_is_somewhere():
    named: dict[str, set[str]] = {}
    for name, each in ENTRIES.items():
        named.setdefault(name.partition("-")[0], set()).update(places(each.source))
    assert named == {
        "contrastive": numbered("Table", 2),
        "gat": numbered("Table", 17) | numbered("Figure", 7) - {"Figure 2"},  # which shows the method
        "mao": numbered("Table", 3) | numbered("Figure", 7) | {f"supplement, Table {number}" for number in (1, 2)},
        "minmax": {f"Table {number}" for number in ("I", "II", "III", "IV")},
    }


def numbered(kind, count):
    """``kind 1`` and so on."""
    return {f"{kind} {number}" for number in range(1, count + 1)}


def test_every_study_has_a_rule_that_decides_it():
    for name, each in ENTRIES.items():
        study = each.at("small")
        parts = (study, *study.also.values())
        said = [reading for part in parts for measure in part.measures for reading in measure.said]
        assert said or any(part.claims for part in parts), name


def test_what_is_read_off_a_table_follows_from_the_papers_own_numbers():
    """Not of Table 14, whose numbers are volumes beyond the worst points."""
    checked = 0
    for name in ("gat-figure1", "gat-table17"):
        for measure in ENTRIES[name].at("small").measures:
            for reading in measure.said:
                for first, second in reading.pairs:
                    theirs = [line if isinstance(line, float) else measure.theirs[line] for line in (first, second)]
                    assert (theirs[0] < theirs[1]) == reading.lower
                    checked += 1
    assert checked == 9


def test_missing_data_are_told_with_what_runs_without_them(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_ENV, str(tmp_path))
    with pytest.raises(TestudoError) as caught:
        study("gat-table10", scale="paper", out=tmp_path / "study")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(
        f"chexpert: no folder '{tmp_path / 'chexpert'}'; set its root, or TESTUDO_DATA to the folder"
    )
    assert said.endswith("; gat-table10 runs without it at scale smoke and small and gpu; at paper all others do")
    assert without("nih", "gat-table10", "small").endswith("; at small all others do but gat-figure6")
    few = without("scenes", "mao-figure4", "smoke")
    assert few.startswith("mao-figure4 runs without it at scale paper; at smoke all others do but mao-table1, ")
    most = without("digits", "gat-table4", "smoke")
    assert most.startswith("gat-table4 runs without it at scale gpu and paper; at smoke run: mao-table1, ")
    for name, each in ENTRIES.items():
        for scale in each.settings:
            assert each.needs(scale), (name, scale)  # what a study needs is told where nothing is


def test_a_change_reaches_every_recipe_of_a_study():
    made = _changed(ENTRIES["gat-table1-first"].at("smoke"), {"trainer.epochs": 7, "seeds": [3]})
    recipes = [recipe for arm in made.arms for recipe in (arm.recipe, *([arm.first.recipe] if arm.first else []))]
    assert len(recipes) == 12 + 8
    assert {recipe.trainer.epochs for recipe in recipes} == {7}
    assert made.seeds == (3,)
    parted = _changed(ENTRIES["mao-table2"].at("smoke"), {"trainer.epochs": 7})
    assert {recipe.trainer.epochs for _, recipe in parted.every_run().values()} == {7}
