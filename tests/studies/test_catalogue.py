"""The studies of the papers' tables and figures: each can be made at each scale, and says what the paper says."""

from __future__ import annotations

import json
import math
import runpy
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import tiny
from markupsafe import escape

from testudo.data.place import DATA_ENV
from testudo.data.scenes import TASKS as ROOM_TASKS
from testudo.evaluation.claims import DELTAS
from testudo.evaluation.columns import read_rows
from testudo.evaluation.summarise import summarise
from testudo.run import check_suite
from testudo.studies.auxiliaries import Auxiliaries
from testudo.studies.catalogue.mao_pairs import GROWN, published_weights
from testudo.studies.collect import collect
from testudo.studies.jobs import jobs_of
from testudo.studies.papers import entries
from testudo.studies.publish import tell
from testudo.studies.published import read

ENTRIES = entries()
PAPERS = sorted({name.partition("-")[0] for name in ENTRIES})
WRITERS = Path(__file__).resolve().parents[1] / "data"
POOL = Path("pool")
RUNS = {  # smoke, small, gpu, paper
    "contrastive-table1": (3, 3, 3, 3), "contrastive-table2": (4, 4, 4, 4),
    "mao-table1": (4, 4, 4, 4), "mao-table2": (8, 8, 8, 8), "mao-table3": (10, 10, 10, 10), "mao-figure4": (2, 2, 2, 2),
    "mao-figure5": (12, 12, 12, 12), "mao-figure6": (4, 4, 4, 4), "mao-figure7": (9, 121, 121, 121),
    "minmax-table1": (1, 1, 1, 1), "minmax-table2": (1, 1, 1, 1), "minmax-table3": (1, 1, 1, 1),
    "minmax-table4": (1, 1, 1, 1),
}  # fmt: skip
CELLS = {  # the published numbers that have one of ours at the paper's scale
    "contrastive-table1": 10, "contrastive-table2": 15, "mao-table1": 12, "mao-table2": 60, "mao-table3": 36,
    "gat-table1": 16, "gat-table1-first": 24, "gat-table3": 19, "gat-table4": 16, "gat-table5": 12, "gat-table8": 32,
    "gat-table9": 24, "gat-table10": 46, "gat-table11": 22, "gat-table12": 30, "gat-table13": 60, "gat-table15": 8,
    "gat-table16": 20, "mao-figure7": 242, "minmax-table1": 33, "minmax-table2": 33, "minmax-table3": 63,
    "minmax-table4": 63,
}  # fmt: skip
CONTRADICTED = {  # by the paper's own numbers, and how many pairs these have; see docs/published.md
    "an auxiliary task makes the main one more robust in 90 of 110 pairs": 88,
    "an auxiliary task makes the main one better on clean images in 70 of 110 pairs": 65,
    "keypoints3d is made more robust by every auxiliary task": 6,
    "with whatever weighting, the macro task makes the most robust model of the three helpers": 7,
}


def parts(study):
    """A study and those on its page."""
    return [study, *study.also.values()]


def every(name, scale="paper"):
    """The parts of an entry's study."""
    return parts(ENTRIES[name].at(scale))


CASES = [(name, scale) for name, entry in ENTRIES.items() for scale in entry.settings]


@pytest.fixture(scope="module", autouse=True)
def sets(tmp_path_factory):
    """Small sets of X-rays, whose tasks are told by their files alone."""
    root = tmp_path_factory.mktemp("sets")
    for module, name, folder in (("writers", "nih", "nih_cxr14_64"), ("set_writers", "chexpert", "chexpert")):
        runpy.run_path(str(WRITERS / f"{module}.py"))[name](root / folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_ENV, str(root))
        yield root


@pytest.mark.parametrize(("name", "scale"), CASES, ids="-".join)
def test_what_an_entry_names_is_there(name, scale):
    study = ENTRIES[name].at(scale)
    assert ENTRIES[name].needs(scale)
    for part in parts(study):
        arms = {arm.name: arm for arm in part.variants()}
        assert len(arms) == len(part.variants())
        assert len(part.runs()) == len(arms) * len(part.seeds)
        for arm in arms.values():
            assert arm.counterpart is None or arm.counterpart in arms
            tasks = arm.recipe.learnt()
            assert set(arm.few) <= set(arm.recipe.suite)
            check_suite(
                {"validation": arm.recipe.validation, **arm.recipe.suite}, {t.name: t for t in arm.recipe.chosen()}
            )
            assert tasks
        assert not part.arms or set(part.pictures) <= {attack for arm in arms.values() for attack in arm.recipe.suite}
        sides = [(side, claim.on(side)) for claim in part.claims for pair in claim.pairs for side in pair]
        sides += [(number.side, number.task) for number in part.beside]
        for side, task in sides:
            recipe = arms[side.group].recipe
            assert side.attack == "clean" or side.attack in recipe.suite, side
            learnt = [each.name for each in recipe.chosen()]
            assert task in learnt or (task in DELTAS and len(learnt) > 1 and side.attack != "clean"), (side, task)
        for labels in ([claim.text for claim in part.claims], [number.label for number in part.beside]):
            assert max(Counter(labels).values(), default=1) == 1, labels


def test_the_number_of_runs_is_as_stated():
    ours = {name: entry for name, entry in ENTRIES.items() if not name.startswith("gat")}
    assert {n: tuple(len(e.at(scale).every_run()) for scale in e.settings) for n, e in ours.items()} == RUNS


@pytest.mark.parametrize("name", CELLS)
def test_every_published_number_has_one_of_ours(name):
    assert sum(len(part.beside) for part in every(name)) == CELLS[name]


def test_no_published_number_is_left_out():
    whole = ["contrastive-table1", "contrastive-table2", "mao-table1", "mao-table2", "mao-table3"]
    whole += [f"gat-table{number}" for number in (3, 8, 9, 11, 12, 13, 15, 16)]
    for name in whole:
        assert CELLS[name] == len(read(name))
    assert CELLS["gat-table1"] + CELLS["gat-table1-first"] == len(read("gat-table1")) + 8  # the row None stands in both
    assert CELLS["gat-table4"] == len(read("gat-table4")) - 4  # its row Transfer is Table 17
    assert CELLS["gat-table5"] == len(read("gat-table5")) - 4  # nobody has labels of depth
    assert CELLS["gat-table10"] == len(read("gat-table10")) + len(read("gat-figure4"))
    assert CELLS["mao-figure7"] == len(read("mao-supplement-table1"))
    known = read("minmax").select(pl.col(pl.Float64).is_not_null().sum()).sum_horizontal().item()
    assert sum(count for name, count in CELLS.items() if name.startswith("minmax")) == known - 4 * 2  # Deltas of none


def of_claims():
    """Every claim of a paper whose numbers are printed, with how many of its pairs these bear out."""
    for name in CELLS:
        for part in every(name):
            upward = {task.name: task.higher_is_better for arm in part.variants() for task in arm.recipe.chosen()}
            # Figure 4 of GAT comes last and repeats numbers of its Table 10, some of them wrong
            printed = {(number.side[:2], number.task): float(number.theirs) for number in reversed(part.beside)}
            for claim in part.claims:
                pairs = [tuple(printed.get((side[:2], claim.on(side))) for side in pair) for pair in claim.pairs]
                if None not in {value for pair in pairs for value in pair}:
                    up = [upward.get(claim.on(first), True) for first, _ in claim.pairs]
                    yield claim, sum((a > b) if higher else (a < b) for (a, b), higher in zip(pairs, up, strict=True))


def test_a_claim_is_what_the_papers_own_numbers_say():
    found = list(of_claims())
    assert len(found) == 93
    for claim, count in found:
        if claim.text in CONTRADICTED:
            assert count == CONTRADICTED[claim.text] < claim.needed, claim.text
        else:
            assert count >= claim.needed, claim.text
    assert {claim.text for claim, _ in found} >= set(CONTRADICTED)


def test_the_matrix_is_11_by_10_with_the_published_weights():
    study = ENTRIES["mao-figure7"].at("paper")
    first, second, *_ = study.claims
    assert [(claim.needed, len(claim.pairs)) for claim in (first, second)] == [(90, 110), (70, 110)]
    weights = published_weights()
    assert Counter(weights.values()) == {0.0: 11, 0.01: 56, 0.1: 54}
    used = [weight for arm in study.arms for weight in arm.recipe.method.weights.values()]
    assert Counter(used) == {0.01: 56, 0.1: 54}
    adam = {arm.recipe.tasks[0] for arm in study.arms if arm.recipe.trainer.optimiser.algorithm == "adam"}
    assert adam == {"depth", "edges", "normal", "keypoints2d", "occlusion"}
    rooms = {task.name for task in ENTRIES["mao-figure7"].at("small").arms[0].recipe.data.tasks()}
    assert rooms == {arm.recipe.tasks[0] for arm in study.arms}
    assert set(ROOM_TASKS) - rooms == {"parts", "disparity"}


def test_a_twin_makes_as_many_steps_as_it_is_held_against():
    for part in every("mao-table3"):
        arms = {arm.name: arm.recipe for arm in part.arms}
        for arm in part.arms:
            if arm.counterpart:
                both = (arm.recipe, arms[arm.counterpart])
                assert len({each.method.passes(list(each.learnt().values())) for each in both}) == 1
                assert len({each.trainer.epochs for each in both}) == 1


def test_growing_sets_are_the_papers():
    assert set("".join(GROWN)) == set("sdeknr")
    assert all(len(set(letters)) == len(letters) for letters in GROWN)


@pytest.mark.parametrize(
    ("names", "scale", "count"),
    [
        (("mao-table1", "mao-table2", "mao-figure6"), "small", 10),  # 8, and two with equal weights
        (("mao-figure5", "mao-figure7"), "small", 121 + 8),  # s, d, e and k alone are the matrix's own
        (("minmax-table1", "minmax-table3"), "small", 1),
        (("minmax-table2", "minmax-table4"), "small", 1),
        (("mao-table2", "mao-figure6"), "paper", 8),
        (("mao-table1", "mao-figure4", "mao-figure5"), "small", 4 + 12),
        (("gat-table1", "gat-table12", "gat-table1-first"), "small", 8 + 20 + 8 + 2),
        (("gat-table12", "gat-table8"), "gpu", 20 + 8),
        (("gat-table1", "gat-table4", "gat-table9", "gat-table16"), "small", 8 + 12 + 4),
        (
            ("gat-table1", "gat-table12", "gat-table1-first", "gat-table11"),
            "paper",
            3 * (37 + 4),
        ),  # the teacher is Table 12's
        (("gat-table10", "gat-figure6"), "small", 21),
    ],
)
def test_studies_share_what_they_train(names, scale, count):
    assert len({job for name in names for job in jobs_of(ENTRIES[name].at(scale), POOL)}) == count


def test_a_paper_study_shares_with_the_study_that_suits_itself_to_rooms():
    assert jobs_of(Auxiliaries(), POOL).keys() == jobs_of(ENTRIES["mao-table2"].at("small"), POOL).keys()


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_every_study_of_a_paper_goes_the_whole_way(paper, tmp_path):
    for name in (name for name in ENTRIES if name.startswith(f"{paper}-")):
        study, folder = ENTRIES[name].at("smoke"), tmp_path / name
        tiny.one_by_one(None, study, folder, lambda share, note: None)
        collect(study, folder, 0.0)
        page, _ = tell(folder)
        words = page.read_text().lower()
        for part in parts(study):
            for said in (part.title, *part.asked, *(claim.text for claim in part.claims)):
                assert str(escape(said)).lower() in words, (name, said)
            for number in part.beside:
                assert str(escape(number.label)).lower() in words, (name, number)
    if paper == "mao":
        _is_a_matrix(tmp_path / "mao-figure7")


def _is_a_matrix(folder):
    """The measured matrix against the summary of the study's rows."""
    told = json.loads((folder / "study.json").read_text())
    matrix = pl.read_csv(folder / told["measures"][0]["file"])
    assert matrix.shape == (2 * 3, 3 + 3 + 1)
    groups = {run: group["name"] for group in told["groups"] for run in group["runs"]}
    known = summarise(read_rows(folder / "rows.parquet"), groups, resamples=1).filter("primary")
    value = {(row["group"], row["attack"], row["task"]): row["value"] for row in known.iter_rows(named=True)}
    row = matrix.row(by_predicate=(pl.col("attack") == "pgd") & (pl.col("main") == "depth"), named=True)
    alone, pair = (value[group, "pgd", "depth"] for group in ("depth alone", "depth with segmentation"))
    assert row["segmentation"] == pytest.approx(100 * (alone - pair) / alone)
    assert row["depth"] is None
    assert row["mean"] == pytest.approx(math.fsum([row["segmentation"], row["keypoints3d"]]) / 2)
