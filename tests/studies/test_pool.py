"""Runs are shared between studies: one training for all that ask for the same, whatever they call it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import tiny

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.errors import TestudoError
from testudo.parts import build
from testudo.run import Run
from testudo.studies.collect import collect
from testudo.studies.jobs import jobs_of
from testudo.studies.pool import link, trained
from testudo.studies.study import Arms, Variant


@pytest.fixture
def made(tmp_path):
    return tiny.recipe(tiny.images(tmp_path / "images"))


def test_name_and_suite_do_not_decide_a_training_and_all_else_does(made):
    other = replace(made, name="other", suite={"pgd": PGD(Linf(0.3))})
    workers = replace(made, trainer=replace(made.trainer, workers=2))
    assert trained(made).name == trained(other).name == trained(workers).name
    assert trained(made) == trained(trained(made))
    assert not trained(made).suite
    changed = [
        replace(made, seed=1),
        replace(made, tasks=("digit",)),
        replace(made, validation=None),
        replace(made, trainer=replace(made.trainer, epochs=3)),
    ]
    assert len({trained(each).name for each in [made, *changed]}) == 5


def test_runs_alike_are_one_job_with_all_attacks(made, tmp_path):
    strong = PGD(Linf(0.1), steps=3)
    first = Arms((0,), "one", arms=(Variant("a", made, ""),))
    second = replace(made, name="b", suite={"strong": strong, "fgsm": made.suite["fgsm"]})
    both = Arms((0,), "two", arms=(Variant("a", made, ""), Variant("b", second, "", few={"strong": 7})))
    (alone,), (job,) = jobs_of(first, tmp_path).items(), jobs_of(both, tmp_path).items()
    assert alone[0] == job[0]
    assert list(job[1].attacks.values()) == [*made.suite.values(), strong]
    assert [few for _, few in job[1].suite] == [0, 0, 7]
    assert build(type(made), job[1].recipe) == trained(made)


@pytest.mark.slow
def test_a_second_study_trains_nothing_and_judges_only_what_is_new(made, tmp_path):
    pool = tmp_path / "pool"
    fgsm = {"fgsm": made.suite["fgsm"]}
    first = Arms((0,), "one", arms=(Variant("a", replace(made, name="a", suite=fgsm), ""),))
    second = Arms((0,), "two", arms=(Variant("b", replace(made, name="b"), "", few={"pgd": 7}),))
    for name, study in (("one", first), ("two", second)):
        tiny.one_by_one(None, study, tmp_path / name, lambda share, note: None)
        collect(study, tmp_path / name, 0.0)
    (folder,) = pool.iterdir()
    assert {(tmp_path / "one" / "a-s0").resolve(), (tmp_path / "two" / "b-s0").resolve()} == {folder}
    assert len(list((folder / "rows").glob("*.parquet"))) == 3  # clean, fgsm, pgd: none of them twice
    rows = Run(tmp_path / "two" / "b-s0").rows({"x": made.suite["fgsm"]})
    assert set(rows["run"]) == {"b-s0"}
    counts = second.arms[0].rows(Run(tmp_path / "two" / "b-s0")).group_by("attack", "task").len()
    assert {(row["attack"], row["len"]) for row in counts.iter_rows(named=True)} == {
        ("clean", 10),
        ("fgsm", 10),
        ("pgd", 7),
    }


def test_a_link_moves_and_never_covers_anything(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "pool" / name).mkdir(parents=True)
    link(tmp_path / "study" / "run", tmp_path / "pool" / "a")
    link(tmp_path / "study" / "run", tmp_path / "pool" / "b")
    assert os.readlink(tmp_path / "study" / "run") == "../pool/b"
    assert os.listdir(tmp_path / "study") == ["run"]
    (tmp_path / "study" / "mine").mkdir()
    with pytest.raises(TestudoError, match="mine is in the way of a link to a run"):
        link(tmp_path / "study" / "mine", tmp_path / "pool" / "a")
