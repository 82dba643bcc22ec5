"""A study's runs on this machine: several processes, progress, and going on after a stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from testudo.errors import TestudoError
from testudo.recipe import Recipe, build, dump
from testudo.run import ROWS, Run, train
from testudo.studies.study import Study

Report = Callable[[float, str], None]


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
        recipe: Recipe = build(Recipe, self.recipe)
        run = train(recipe, self.folder)
        run.rows({"clean": None, **recipe.suite})
        return recipe.name

    def passes(self, recipe: Recipe, examples: int, tests: int) -> tuple[float, float]:
        """Image passes (forward and backward) of training and of judging, for the estimate of time."""
        training = recipe.trainer.epochs * examples * recipe.method.passes(recipe.chosen())
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

    def __call__(self, study: Study, folder: Path, report: Report) -> None:
        """Run every job of ``study`` in ``folder``; ``report`` is told the share done and what is being done.

        Raises:
            TestudoError: a job failed, after the others have ended.
            KeyboardInterrupt: after the workers have saved.
        """
        recipes = {name: recipe for name, (_, recipe) in study.runs().items()}
        jobs = {name: Job(dump(recipe), folder / name) for name, recipe in recipes.items()}
        cores = os.cpu_count() or 1
        workers = min(self.workers or cores, len(jobs))
        meter = _Meter(study, jobs, recipes, report)
        context = get_context("spawn")
        with ProcessPoolExecutor(
            workers, context, initializer=_enter, initargs=(max(1, cores // workers), os.getpid())
        ) as pool:
            futures = {pool.submit(job): name for name, job in jobs.items()}
            stop = threading.Event()
            ticker = threading.Thread(target=meter.watch, args=(stop,), daemon=True)
            ticker.start()
            try:
                _wait(futures)
            except BaseException:
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
        raise TestudoError("; ".join(failed))


def _enter(threads: int, parent: int) -> None:
    """What each worker does first: its share of the cores, and the promise not to outlive its parent."""
    torch.set_num_threads(threads)

    def follow() -> None:
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
            sizes[key] = sizes.get(key) or (len(recipe.data.load("train")), len(recipe.data.load("test")))
        self._jobs, self._recipes, self._report = jobs, recipes, report
        self._costs = {name: job.passes(recipes[name], *sizes[repr(recipes[name].data)]) for name, job in jobs.items()}

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
