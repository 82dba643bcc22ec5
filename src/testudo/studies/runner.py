"""A study's runs: several processes, progress, and going on after a stop."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch

from testudo.errors import TestudoError, unknown
from testudo.parts import build
from testudo.recipe import Recipe
from testudo.studies.jobs import STOPPED, Job, complain, jobs_of
from testudo.studies.pool import link, trained, unlabelled
from testudo.studies.study import Study

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Runner:
    """Runs what a study still lacks.

    Args:
        workers: processes; the cores are shared out among them. 0 means one for every core, at most one a run.
        pool: the folder of the run folders, which studies share; None: ``pool`` beside the study's own.
        on: ``"local"``, in processes of this machine, or ``"ray"``, on the cluster that Ray finds (see
            :func:`testudo.studies.on_ray.on_ray`).
    """

    workers: int = 0
    pool: Path | None = None
    on: Literal["local", "ray"] = "local"

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise TestudoError(f"workers must be at least 0 (one for every core), got {self.workers}")
        if self.on not in ("local", "ray"):
            raise unknown("place to run on", self.on, ("local", "ray"))

    def __call__(self, study: Study, folder: Path, report: Report) -> None:
        """Run every job of ``study``, linked from ``folder``; ``report`` is told the share done and what is being done.

        Raises:
            TestudoError: a job failed, after the others have ended.
            KeyboardInterrupt: after the workers have saved.
        """
        pool = (self.pool or folder.parent / "pool").absolute()
        jobs = jobs_of(study, pool)
        for name, (_, recipe) in study.every_run().items():
            link(folder.absolute() / name, pool / trained(recipe).name)
        meter = _Meter(jobs, report)
        with meter.watching():
            if self.on == "ray":
                from testudo.studies.on_ray import on_ray  # an extra, and slow to import

                on_ray(jobs, self.workers)
            else:
                _here(jobs, self.workers)
        meter.tick()


def _here(jobs: Mapping[str, Job], workers: int) -> None:
    """Run jobs in processes of this machine."""
    cores = os.cpu_count() or 1
    workers = min(workers or cores, len(jobs))
    context = get_context("spawn")
    orders, order = context.Pipe(duplex=False)
    entered = (max(1, cores // workers), os.getpid(), orders)
    with order, orders, ProcessPoolExecutor(workers, context, initializer=_enter, initargs=entered) as pool:
        try:
            with _held_back():
                futures = {pool.submit(job): job.label for job in jobs.values()}
            _wait(futures)
        except BaseException:
            order.close()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _wait(futures: dict[Future, str]) -> None:
    failed: list[str] = []
    for future in as_completed(futures):
        try:
            future.result()
        except TestudoError as error:
            failed.append(f"{futures[future]}: {error}")
        except BrokenProcessPool:
            raise TestudoError("a worker process was killed; the same command goes on where it stopped") from None
    complain(failed, len(futures))


@contextmanager
def _held_back() -> Generator[None, None, None]:
    """Hold Ctrl-C back while processes start: they inherit this, and no import of theirs ends in a traceback."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _enter(threads: int, parent: int, orders: Connection) -> None:
    """What each worker does first: its share of the cores, and the promise not to outlive its parent.

    It leaves the terminal's process group, so that Ctrl-C reaches it once, through its parent. Nothing is ever
    sent through ``orders``: the parent closes it, or dies, and either way its end is the order to stop.
    """
    torch.set_num_threads(threads)
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def follow() -> None:
        orders.poll(None)
        STOPPED.set()
        os.kill(os.getpid(), signal.SIGINT)  # wakes the main thread out of a job
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, daemon=True).start()


class _Meter:
    """How far a study is, read from what its runs have written."""

    def __init__(self, jobs: Mapping[str, Job], report: Report) -> None:
        sizes, self._jobs, self._report = {}, jobs, report
        self._costs, self._epochs = {}, {}
        for name, job in jobs.items():
            recipe: Recipe = build(Recipe, job.recipe)
            data = unlabelled(recipe.data)
            key = repr(data)
            if key not in sizes:
                train, test = data.load("train"), data.load("test")
                sizes[key] = (len(train), len(test)), math.prod(test.size)
            counts, pixels = sizes[key]
            self._costs[name] = tuple(pixels * count for count in job.passes(recipe, *counts))
            self._epochs[name] = recipe.trainer.epochs

    def tick(self) -> None:
        """Report once."""
        spent, running = 0.0, []
        for name, job in self._jobs.items():
            shares = job.done(self._epochs[name])
            spent += sum(share * cost for share, cost in zip(shares, self._costs[name], strict=True))
            if 0 < sum(shares) < 2:
                running.append(f"{job.label} {'judging' if shares[0] >= 1 else 'training'}")
        self._report(spent / sum(sum(cost) for cost in self._costs.values()), ", ".join(running))

    @contextmanager
    def watching(self) -> Generator[None, None, None]:
        """Report twice a second within this block."""
        stop = threading.Event()
        ticker = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            stop.set()
            ticker.join()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(0.5):
            self.tick()
