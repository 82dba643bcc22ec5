"""A study's jobs on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from testudo.errors import TestudoError, one_line
from testudo.studies.jobs import Job, complain

RETRIES = 5  # of a job whose worker or machine died; it goes on from its files
WENT = "the Ray cluster went away; what was done is saved, and the same command goes on"


def on_ray(jobs: Mapping[str, Job], workers: int = 0) -> None:
    """Run jobs on the cluster that ``RAY_ADDRESS`` names or this machine belongs to, else on one made here.

    All machines must see the run folders at the same path, and have testudo and the data: what crosses the network is
    a recipe and a path. A job takes one core, and a GPU where the cluster has any. One whose worker dies is begun
    again elsewhere and goes on from its last checkpoint and rows.

    Args:
        jobs: what to run.
        workers: cores of a cluster that is made here; 0 means all. A cluster that is there is used as it is.

    Raises:
        TestudoError: Ray is not installed or cannot be reached, a job failed (after the others have ended), or the
            cluster went away.
    """
    try:
        import ray
        from ray import exceptions
    except ImportError:
        raise TestudoError("running on a cluster needs Ray: pip install 'testudo[ray]'") from None
    mine = not ray.is_initialized()
    try:
        if mine:
            _reach(ray, workers)
        gpu = 1 if ray.cluster_resources().get("GPU") else 0
        remote = ray.remote(num_cpus=1, num_gpus=gpu, max_retries=RETRIES)(_work)
        failed = _wait(ray, {remote.remote(job): job.label for job in jobs.values()})
    except (ConnectionError, exceptions.RayError) as error:
        raise TestudoError(f"{WENT} ({one_line(error)})") from error
    finally:
        if mine:
            ray.shutdown()
    complain(failed, len(jobs))


def _reach(ray: Any, workers: int) -> None:
    """Join the cluster that is there, or make one."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init("auto", **quiet)
    except ConnectionError:
        ray.init("local", num_cpus=workers or None, include_dashboard=False, **quiet)


def _wait(ray: Any, labels: dict[Any, str]) -> list[str]:
    """What went wrong, once every job has ended."""
    from ray import exceptions

    failed: list[str] = []
    waiting = list(labels)
    try:
        while waiting:
            (done, *_), waiting = ray.wait(waiting)
            try:
                ray.get(done)
            except exceptions.RayTaskError as error:
                if not isinstance(error.cause, TestudoError):
                    raise error.cause from error
                failed.append(f"{labels[done]}: {error.cause}")
            except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError):
                failed.append(f"{labels[done]}: its worker died {RETRIES + 1} times; the same command goes on")
    except BaseException:
        for each in waiting:
            ray.cancel(each)
        raise
    return failed


def _work(job: Job) -> str:
    torch.set_num_threads(1)
    return job()
