"""A study stopped by Ctrl-C, by a killed parent, by a killed worker: nothing outlives it, nothing is lost."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from testudo.commands.data import data_set
from testudo.commands.study import _made
from testudo.data.manifest import Manifest
from testudo.errors import TestudoError
from testudo.models.resnet import PreActResNet18
from testudo.overrides import parse_override
from testudo.run import Run
from testudo.studies import quickstart
from testudo.studies.jobs import jobs_of
from testudo.studies.pool import trained
from testudo.studies.quickstart import Quickstart
from testudo.studies.runner import Runner

SMALL = {"seeds": (0,), "epochs": 2, "adversarial_epochs": 1, "linf": (0.1,), "train_steps": 1, "batch_size": 10}


@pytest.fixture
def file(tmp_path):
    return tiny.images(tmp_path / "images")


@pytest.mark.slow
def test_every_kind_of_stop_is_clean_and_the_study_goes_on(file, tmp_path):
    folder = tmp_path / "study"
    changes = [*(f"{name}={list(v) if isinstance(v, tuple) else v}" for name, v in SMALL.items()), "model.width=2"]
    words = [sys.executable, "-c", "from testudo.cli import main; main()", "study", "quickstart", "--workers", "1"]
    words += ["--data", "manifest", "--data-dir", file, "--out", str(folder)]
    words += [word for change in changes for word in ("--set", change)]
    (told,) = tiny.driven(Path(__file__).with_name("study_driver.py"), folder, *words, timeout=600)
    found = json.loads(told)
    assert {told["left"] for told in found.values()} == {0}
    assert {told["team"] for told in found.values()} == {1}
    assert found["ctrl-c"]["code"] == 130
    assert len(found["ctrl-c"]["said"]) == 1
    assert found["ctrl-c"]["said"][0].startswith("testudo: stopped; what was done is saved. Go on with: testudo study")
    assert found["parent"]["code"] == -9
    assert found["worker"]["code"] == 2
    assert found["worker"]["said"] == [
        "testudo: a worker process was killed; the same command goes on where it stopped"
    ]
    name, source = "standard-single-s0", data_set("manifest", file, {})
    made = _made("quickstart", source, dict(parse_override(change) for change in changes))
    job = next(job for job in jobs_of(made, tmp_path / "pool").values() if job.label == name)
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)  # as the one worker had: sums in another order round differently
    try:
        job()
        replace(job, folder=tmp_path / "straight")()
    finally:
        torch.set_num_threads(threads)
    assert tiny.same_run(Run(tmp_path / "straight"), Run(job.folder)) is None
    assert (folder / name).resolve() == job.folder


@pytest.mark.slow
def test_a_study_in_worker_processes_reports_its_share_and_gathers_failures(file, tmp_path, monkeypatch):
    monkeypatch.setattr(quickstart, "STEPS", 1)
    study = Quickstart(data=Manifest(file), model=PreActResNet18(width=2), **SMALL)
    runs = dict(list(study.runs().items())[:2])
    monkeypatch.setattr(Quickstart, "runs", lambda self: runs)
    told = []
    (tmp_path / "pool").mkdir()
    Path(tmp_path / "pool" / trained(runs["standard-multi-s0"][1]).name).write_text("a file in the way")
    with pytest.raises(TestudoError, match=r"^standard-multi-s0: cannot write") as caught:
        Runner(1)(study, tmp_path / "study", lambda share, note: told.append((share, note)))
    assert "\n" not in str(caught.value)
    assert Run(tmp_path / "study" / "standard-single-s0").finished  # one failure does not stop the others
    assert told == sorted(told, key=lambda pair: pair[0])


def test_workers_below_zero_are_refused():
    with pytest.raises(TestudoError, match="workers must be at least 0"):
        Runner(-1)
