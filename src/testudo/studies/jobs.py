"""What a study has to be done: trainings and judgements, each once."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testudo.attacks.base import Attack
from testudo.errors import TestudoError
from testudo.parts import build, dump
from testudo.recipe import Recipe
from testudo.run import ROWS, Run, train
from testudo.studies.pool import trained
from testudo.studies.study import Study, Variant, judged
from testudo.studies.teacher import taught

STOPPED = threading.Event()  # in a worker: the parent wants everything saved and no job begun


@dataclass(frozen=True)
class Job:
    """One training and all that judges it, whichever studies ask for them.

    Args:
        recipe: what is trained, as plain values that cross to another process.
        suite: the attacks, likewise, each with how many test examples it is made on (0: all).
        folder: the run folder.
        label: what a study calls it.
        first: the one whose run this one starts from or is taught by.
    """

    recipe: dict[str, Any]
    suite: tuple[tuple[dict[str, Any], int], ...]
    folder: Path
    label: str
    first: Job | None = None

    def __call__(self) -> str:
        """Train what is not trained, judge what is not judged; returns the label."""
        with _stoppable():
            run = self.train()
            judged(run, self.attacks, {str(number): few for number, (_, few) in enumerate(self.suite)})
            return self.label

    def train(self) -> Run:
        """The run, after the one that it needs.

        Nobody has to see to the order: two jobs that need the same run wait for each other in its folder, and the
        second finds it trained.
        """
        recipe = build(Recipe, self.recipe)
        if self.first is not None:
            run = self.first.train()
            recipe = taught(recipe, run)
        return train(recipe, self.folder)

    @property
    def attacks(self) -> dict[str, Attack]:
        """The suite, by number."""
        return {str(number): build(Attack, values, "") for number, (values, _) in enumerate(self.suite)}

    def passes(self, recipe: Recipe, examples: int, tests: int) -> tuple[float, float]:
        """Image passes (forward and backward) of training and of judging, for the estimate of time."""
        training = (
            recipe.trainer.epochs
            * examples
            * recipe.method.images
            * recipe.method.passes(list(recipe.learnt().values()))
        )
        judging = tests
        for attack, (_, few) in zip(self.attacks.values(), self.suite, strict=True):
            judging += (few or tests) * (attack.iterations + 1) * attack.runs
        return training, judging

    def done(self, epochs: int) -> tuple[float, float]:
        """The shares of training and of judging that are on disk."""
        run = Run(self.folder)
        judged = len(list((self.folder / ROWS).glob("*.parquet"))) if (self.folder / ROWS).is_dir() else 0
        return len(run.log) / epochs, min(1.0, judged / (1 + len(self.suite)))


def jobs_of(study: Study, pool: Path) -> dict[str, Job]:
    """The jobs of a study and of those shown with it, by the name of their run folder in ``pool``.

    Runs that are trained alike are one job, with the attacks of all of them. What a variant needs
    (:attr:`~testudo.studies.study.Variant.first`) is a job too, and comes before.
    """
    runs = study.every_run()
    alike: dict[str, list[str]] = {}
    for label, (_, recipe) in runs.items():
        alike.setdefault(trained(recipe).name, []).append(label)
    found = {}
    for name, labels in alike.items():
        suite = {}
        for variant, recipe in (runs[label] for label in labels):
            for attack in recipe.suite:
                each = dump(recipe.suite[attack]), variant.few.get(attack, 0)
                suite[json.dumps(each)] = each
        variant, recipe = runs[labels[0]]
        first = None if variant.first is None else _needed(variant.first, recipe.seed, pool)
        found[name] = Job(dump(trained(recipe)), tuple(suite.values()), pool / name, labels[0], first)
    return _in_order(found)


def _needed(variant: Variant, seed: int, pool: Path) -> Job:
    """The training that another needs, without a suite."""
    recipe = variant.seeded(seed)
    made = trained(recipe)
    first = None if variant.first is None else _needed(variant.first, seed, pool)
    return Job(dump(made), (), pool / made.name, recipe.name, first)


def _in_order(jobs: dict[str, Job]) -> dict[str, Job]:
    """First what others need, which may be in no table, then what needs nothing, then the others."""
    needed: dict[str, Job] = {}
    for job in jobs.values():
        chain, each = [], job.first
        while each is not None:
            chain.append(each)
            each = each.first
        needed |= {each.folder.name: each for each in reversed(chain)}
    whole = {name: jobs.get(name, job) for name, job in needed.items()}
    rest = {name: job for name, job in jobs.items() if name not in whole}
    return whole | {n: j for n, j in rest.items() if j.first is None} | {n: j for n, j in rest.items() if j.first}


def complain(failed: Sequence[str], of: int) -> None:
    """Raise TestudoError for the first of the jobs that failed, with how many others did; nothing for none."""
    if failed:
        more = f" (and {len(failed) - 1} more of {of} runs failed)" if len(failed) > 1 else ""
        raise TestudoError(failed[0] + more)


@contextmanager
def _stoppable() -> Generator[None, None, None]:
    """In a worker, which ignores Ctrl-C between jobs: let the order to stop interrupt this block."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if STOPPED.is_set():
            raise KeyboardInterrupt
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
