"""Studies on a Ray cluster: a worker killed mid-run costs nothing; mistakes are told in one line."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from testudo.errors import TestudoError
from testudo.run import Run
from testudo.studies.jobs import jobs_of
from testudo.studies.on_ray import on_ray
from testudo.studies.runner import Runner


@pytest.mark.slow
def test_a_worker_killed_mid_run_loses_nothing(tmp_path):
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    script = Path(__file__).with_name("ray_driver.py")
    paths = os.pathsep.join([str(script.parents[1]), os.environ.get("PYTHONPATH", "")])
    beside = {"PYTHONPATH": paths, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    assert tiny.driven(script, tmp_path, timeout=300, **beside)[-1].split()[-1] == "1"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each worker had
    try:
        for name, job in jobs_of(tiny.study(str(tmp_path / "images" / "digits.csv")), tmp_path / "pool").items():
            replace(job, folder=tmp_path / "straight" / name)()
            assert tiny.same_run(Run(tmp_path / "straight" / name), Run(job.folder)) is None
    finally:
        torch.set_num_threads(threads)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TestudoError, match=r"needs Ray: pip install 'testudo\[ray\]'"):
        on_ray({})


LOST = {"LocalRayletDiedError": (), "RaySystemError": ("gone",), "ObjectLostError": ("00", None, "")}


@pytest.mark.parametrize("kind", LOST)
def test_a_cluster_that_goes_away_is_one_line(tmp_path, monkeypatch, kind):
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    made = tiny.study(tiny.images(tmp_path / "images"))

    class Remote:
        def __init__(self, work):
            self.remote = id

    def wait(waiting):
        raise getattr(ray.exceptions, kind)(*LOST[kind])

    cancelled = []
    for name, fake in {
        "is_initialized": lambda: True,
        "cluster_resources": dict,
        "remote": lambda **given: Remote,
        "wait": wait,
        "cancel": cancelled.append,
    }.items():
        monkeypatch.setattr(ray, name, fake)
    with pytest.raises(TestudoError, match="the Ray cluster went away; what was done is saved") as caught:
        Runner(on="ray")(made, tmp_path / "study", lambda share, note: None)
    assert "\n" not in str(caught.value)
    assert len(cancelled) == 2


def test_another_place_is_refused():
    with pytest.raises(TestudoError, match="unknown place to run on 'slurm'"):
        Runner(on="slurm")
