"""A study's runs on this machine: several processes, progress, and going on after a stop."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from testudo.errors import TestudoError
from testudo.evaluation.evaluate import Evaluation
from testudo.parts import build, dump
from testudo.recipe import Recipe
from testudo.run import ROWS, Run, train
from testudo.studies.study import Study

Report = Callable[[float, str], None]
_STOPPED = threading.Event()  # in a worker: the parent wants everything saved and no job begun


@dataclass(frozen=True)
class Job:
    """One run of a study: a recipe, trained and judged in a folder.

    Args:
        recipe: the recipe, as plain values that cross to another process.
        folder: the run folder.
    """

    recipe: dict[str, Any]
    folder: Path

    def __call__(self) -> str:
        """Train what is not trained, judge what is not judged; returns the run's name."""
        with _stoppable():
            recipe: Recipe = build(Recipe, self.recipe)
            run = train(recipe, self.folder)
            run.rows({"clean": None, **recipe.suite}, Evaluation(device="auto"))
            return recipe.name

    def passes(self, recipe: Recipe, examples: int, tests: int) -> tuple[float, float]:
        """Image passes (forward and backward) of training and of judging, for the estimate of time."""
        training = (
            recipe.trainer.epochs
            * examples
            * recipe.method.images
            * recipe.method.passes(list(recipe.learnt().values()))
        )
        judging = tests * (1 + sum((attack.iterations + 1) * attack.runs for attack in recipe.suite.values()))
        return training, judging

    def done(self, recipe: Recipe) -> tuple[float, float]:
        """The shares of training and of judging that are on disk."""
        run = Run(self.folder)
        judged = len(list((self.folder / ROWS).glob("*.parquet"))) if (self.folder / ROWS).is_dir() else 0
        return len(run.log) / recipe.trainer.epochs, min(1.0, judged / (1 + len(recipe.suite)))


@dataclass(frozen=True)
class Runner:
    """Runs what a study still lacks.

    Args:
        workers: processes; the cores are shared out among them. 0 means one for every core, at most one a run.
    """

    workers: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise TestudoError(f"workers must be at least 0 (one for every core), got {self.workers}")

    def __call__(self, study: Study, folder: Path, report: Report) -> None:
        """Run every job of ``study`` in ``folder``; ``report`` is told the share done and what is being done.

        Raises:
            TestudoError: a job failed, after the others have ended.
            KeyboardInterrupt: after the workers have saved.
        """
        recipes = study.every_run()
        jobs = {name: Job(dump(recipe), folder / name) for name, recipe in recipes.items()}
        cores = os.cpu_count() or 1
        workers = min(self.workers or cores, len(jobs))
        meter = _Meter(study, jobs, recipes, report)
        context = get_context("spawn")
        orders, order = context.Pipe(duplex=False)
        entered = (max(1, cores // workers), os.getpid(), orders)
        with order, orders, ProcessPoolExecutor(workers, context, initializer=_enter, initargs=entered) as pool:
            stop = threading.Event()
            ticker = threading.Thread(target=meter.watch, args=(stop,), daemon=True)
            ticker.start()
            try:
                with _held_back():
                    futures = {pool.submit(job): name for name, job in jobs.items()}
                _wait(futures)
            except BaseException:
                order.close()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            finally:
                stop.set()
                ticker.join()
        meter.tick()


def _wait(futures: dict[Future, str]) -> None:
    failed: list[str] = []
    for future in as_completed(futures):
        try:
            future.result()
        except TestudoError as error:
            failed.append(f"{futures[future]}: {error}")
        except BrokenProcessPool:
            raise TestudoError("a worker process was killed; the same command goes on where it stopped") from None
    if failed:
        more = f" (and {len(failed) - 1} more of {len(futures)} runs failed)" if len(failed) > 1 else ""
        raise TestudoError(failed[0] + more)


@contextmanager
def _held_back() -> Generator[None, None, None]:
    """Hold Ctrl-C back while processes start: they inherit this, and no import of theirs ends in a traceback."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _stoppable() -> Generator[None, None, None]:
    """In a worker, which ignores Ctrl-C between jobs: let the order to stop interrupt this block."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if _STOPPED.is_set():
            raise KeyboardInterrupt
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


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
        _STOPPED.set()
        os.kill(os.getpid(), signal.SIGINT)  # wakes the main thread out of a job
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, daemon=True).start()


class _Meter:
    """How far a study is, read from what its runs have written."""

    def __init__(self, study: Study, jobs: dict[str, Job], recipes: dict[str, Recipe], report: Report) -> None:
        sizes = {}
        for recipe in recipes.values():
            key = repr(recipe.data)
            if key not in sizes:
                train, test = recipe.data.load("train"), recipe.data.load("test")
                sizes[key] = (len(train), len(test)), math.prod(test.size)
        self._jobs, self._recipes, self._report = jobs, recipes, report
        self._costs = {}
        for name, job in jobs.items():
            counts, pixels = sizes[repr(recipes[name].data)]
            self._costs[name] = tuple(pixels * count for count in job.passes(recipes[name], *counts))

    def tick(self) -> None:
        """Report once."""
        spent, running = 0.0, []
        for name, job in self._jobs.items():
            shares = job.done(self._recipes[name])
            spent += sum(share * cost for share, cost in zip(shares, self._costs[name], strict=True))
            if 0 < sum(shares) < 2:
                running.append(f"{name} {'judging' if shares[0] >= 1 else 'training'}")
        self._report(spent / sum(sum(cost) for cost in self._costs.values()), ", ".join(running))

    def watch(self, stop: threading.Event) -> None:
        """Report until told to stop."""
        while not stop.wait(0.5):
            self.tick()
