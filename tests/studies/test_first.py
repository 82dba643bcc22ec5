"""A run that needs another one first: starts from its weights, or learns what it says of unlabelled images."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import tiny
import torch

from testudo.data.extended import Extended
from testudo.data.manifest import Manifest
from testudo.errors import TestudoError
from testudo.parts import build
from testudo.recipe import Recipe
from testudo.run import START, Run, train
from testudo.studies.collect import collect
from testudo.studies.jobs import jobs_of
from testudo.studies.pool import FIRST, after, trained
from testudo.studies.runner import Runner
from testudo.studies.study import Arms, Variant
from testudo.studies.teacher import taught
from testudo.tensor_file import load


def arms(folder):
    """A teacher that is in no table; a variant that starts from it, and one that learns its labels."""
    file, others = tiny.images(folder / "images"), tiny.images(folder / "others", count=36)
    first = Variant("teacher", tiny.recipe(file, name="teacher", suite=False), "")
    started = replace(tiny.recipe(file, "madry", name="started"), start=FIRST)
    data = Extended(Manifest(file), Manifest(others), labels=FIRST)
    taught = replace(tiny.recipe(file, name="taught"), data=data)
    made = (Variant("started", started, "", first=first), Variant("taught", taught, "", first=first))
    return Arms((0,), "first", arms=made)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study run, one job after the other."""
    home = tmp_path_factory.mktemp("first")
    study = arms(home)
    tiny.one_by_one(None, study, home / "study", lambda share, note: None)
    collect(study, home / "study", 0.0)
    return home, study


def run_of(home, study, label):
    return Run((home / "study" / label).resolve())


def test_the_name_in_the_pool_tells_what_comes_first(tmp_path):
    study = arms(tmp_path)
    first, seeds = study.arms[0].first, (0, 1)
    made = {seed: study.arms[0].seeded(seed) for seed in seeds}
    assert [made[seed].start for seed in seeds] == [trained(first.seeded(seed)).name for seed in seeds]
    other = replace(study.arms[0], first=replace(first, recipe=replace(first.recipe, tasks=("digit",))))
    assert len({trained(each).name for each in (*made.values(), other.seeded(0))}) == 3
    with pytest.raises(TestudoError, match="the recipe of plain makes no use of the run that comes first"):
        after(replace(first.recipe, name="plain"), first.recipe)


def test_what_is_needed_comes_first_and_once(tmp_path):
    pool = tmp_path / "pool"
    study = arms(tmp_path)
    assert [job.label for job in jobs_of(study, pool).values()] == ["teacher-s0", "started-s0", "taught-s0"]
    first = study.arms[0].first
    own = Variant("own", replace(first.recipe, name="own", suite=study.arms[0].recipe.suite), "")
    jobs = list(jobs_of(replace(study, arms=(*study.arms, own)), pool).values())
    assert [job.label for job in jobs] == ["own-s0", "started-s0", "taught-s0"]
    assert len(jobs[0].suite) == 2
    assert jobs[1].first is not None
    assert jobs[1].first.folder == jobs[0].folder
    chain = Variant("last", replace(first.recipe, name="last", start=FIRST), "", first=study.arms[0])
    assert [job.label for job in jobs_of(Arms((0,), "chain", arms=(chain,)), pool).values()] == [
        "teacher-s0",
        "started-s0",
        "last-s0",
    ]


def test_a_run_starts_from_the_weights_of_the_first(done):
    home, study = done
    run = run_of(home, study, "started-s0")
    job = next(job for job in jobs_of(study, home / "pool").values() if job.label == "started-s0")
    assert run.recipe.start == str(job.first.folder)
    assert (run.folder / START).read_text().startswith(f"encoder: taken from {job.first.folder}")


def test_unlabelled_images_have_the_labels_that_the_first_tells(done):
    home, study = done
    run = run_of(home, study, "taught-s0")
    (file,) = (home / "pool").glob("*/labels-*.csv")
    assert run.recipe.data.labels == str(file)
    with file.open() as table:
        told = {int(row["id"]): row for row in csv.DictReader(table)}
    extended = study.arms[1].recipe.data
    model, every = Run(file.parent).model(), extended.extra.load("train")
    with torch.no_grad():
        said = model(every.images.read(torch.arange(len(every))))
    tasks = {task.name: task for task in Run(file.parent).tasks}
    for name, logits in said.items():
        classes = [tasks[name].labels[number] for number in logits.argmax(1).tolist()]
        assert classes == [told[number][name] for number in every.ids.tolist()]
    learnt = run.recipe.data.load("train")
    own = len(extended.data.load("train"))
    further = learnt.targets["digit"][own : own + len(every)].tolist()
    assert further != every.targets["digit"].tolist()  # the teacher is often wrong
    assert [tasks["digit"].labels[number] for number in further] == [row["digit"] for row in told.values()]


def test_a_second_time_trains_nothing(done):
    home, study = done
    kept = ("*.safetensors", "*.csv", "*.parquet", "*.toml")
    stamps = {path: path.stat().st_mtime_ns for kind in kept for path in (home / "pool").rglob(kind)}
    assert len(stamps) == 3 * 3 + 1 + 7
    tiny.one_by_one(None, study, home / "study", lambda share, note: None)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.parametrize("stopped", ["teacher-s0", "taught-s0"])
def test_a_stop_in_either_is_made_up_for(done, tmp_path, stopped):
    """Stopped in mid-epoch, then asked for again by the last job alone: the same, bit by bit."""
    home, study = done
    jobs = {job.label: job for job in jobs_of(study, tmp_path / "pool").values()}
    job = jobs[stopped]
    if job.first is not None:
        job.first.train()
    recipe = _placed(job)
    with pytest.raises(tiny.Stop):
        train(recipe, job.folder, watchers=(tiny.Stopper(6),))
    assert not Run(job.folder).finished
    jobs["taught-s0"]()
    there = home / "pool"
    for name in {jobs["taught-s0"].folder.name, jobs["taught-s0"].first.folder.name}:
        pair = (tmp_path / "pool" / name, there / name)
        assert tiny.same_tensors(*(each / "last.safetensors" for each in pair))
    assert tiny.timeless(Run(pair[0]).log[-1]) == tiny.timeless(Run(pair[1]).log[-1])
    assert load(pair[0] / "best.safetensors")[0].keys() == load(pair[1] / "best.safetensors")[0].keys()


def _placed(job):
    """The recipe of a job whose first is done."""
    recipe = build(Recipe, job.recipe)
    return recipe if job.first is None else taught(recipe, Run(job.first.folder))


@pytest.mark.slow
def test_two_workers_train_the_first_once(done, tmp_path):
    home, study = done
    told = []
    Runner(2, tmp_path / "pool")(study, tmp_path / "study", lambda share, note: told.append(share))
    assert told[-1] == pytest.approx(1.0)
    for job in jobs_of(study, tmp_path / "pool").values():
        assert len(Run(job.folder).log) == 2
    assert {path.name for path in (tmp_path / "pool").iterdir()} == {path.name for path in (home / "pool").iterdir()}
