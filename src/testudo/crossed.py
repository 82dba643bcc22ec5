"""Runs judged on images that were made against each other."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import polars as pl

from testudo.attacks.base import Attack
from testudo.attacks.pgd import PGD
from testudo.data.loader import Loader
from testudo.environment import threads
from testudo.errors import TestudoError
from testudo.evaluation.evaluate import Evaluation, describe
from testudo.evaluation.kept import Kept
from testudo.evaluation.transfer import FROM, Transfer
from testudo.files import write_atomic
from testudo.models.fast import Fast
from testudo.parts import dump
from testudo.reports.wording import listed
from testudo.run import Run, check_suite
from testudo.suite import ball

FOLDER = "transfer"  # in the run folder of the surrogate

Watch = Callable[[str, float], None]


def transfer(
    runs: Sequence[Run | str | Path],
    attack: Attack = PGD(steps=20),  # noqa: B008 (immutable)
    how: Evaluation = Evaluation(),  # noqa: B008
    watch: Watch = lambda name, share: None,
) -> Transfer:
    """Attack every run on the test split, and let every run judge the images made against each.

    The images are made once per surrogate, batch by batch, and are not kept; the rows are, in ``transfer/`` of the
    surrogate's folder, so that the same call goes on where it was stopped and does nothing twice. On the diagonal stand
    the numbers of :meth:`testudo.run.Run.rows`.

    Args:
        runs: two or more run folders on the same test examples, in the order they are shown.
        attack: what makes the images; without tasks in its objective it attacks each surrogate on all of its own.
        how: batch size, precision, device.
        watch: called after each batch with what is being done and the surrogates done (2.5: half of the third, too).

    Returns:
        Rows, and what is made of them. A run is called by its folder's name; where two have the same, by its path.

    Raises:
        TestudoError: fewer than two runs, one given twice, other test examples, no task in common, an attack that a
            run's tasks do not allow; and as :meth:`testudo.run.Run.rows`.
    """
    named = _named([run if isinstance(run, Run) else Run(Path(run)) for run in runs])
    label = _label(attack)
    _check(named, label, attack)
    models = _Models(named, how)
    clean = [run.rows({"clean": None}, how).with_columns(run=pl.lit(name)) for name, run in named.items()]
    parts = []
    for done, surrogate in enumerate(named):
        told = f"{label}{FROM}{surrogate}"
        parts += _judged(models, surrogate, attack, told, lambda share, told=told, done=done: watch(told, done + share))
        watch(told, done + 1)
    return Transfer(pl.concat([*clean, *parts]))


class _Models:
    """The runs by what they are called; their models and the examples are loaded once, when they are first needed."""

    def __init__(self, runs: Mapping[str, Run], how: Evaluation) -> None:
        self.runs, self.how = runs, how
        self.weights = {name: run.weights for name, run in runs.items()}
        self.model, self.test = cache(self._model), cache(next(iter(runs.values())).test)

    def _model(self, weights: str) -> Fast:
        """The frozen copy that serves all runs with these weights."""
        run = next(run for name, run in self.runs.items() if self.weights[name] == weights)
        return self.how.target(run.judged(weights))


def _judged(
    models: _Models, surrogate: str, attack: Attack, told: str, watch: Callable[[float], None]
) -> Iterator[pl.DataFrame]:
    """The rows of every run, in order, on the images made against one of them."""
    run, how, own = models.runs[surrogate], models.how, models.weights[surrogate]
    judges = sorted(set(models.weights.values()))  # so that another order of runs asks for the same rows
    what = [own, judges, run.facts["data"]["test"], dump(attack), how.precision, how.examples]
    path = run.folder / FOLDER / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.parquet"

    def make(start: int) -> Iterator[pl.DataFrame]:
        targets = {weights: models.model(weights) for weights in judges}
        return how.carried(models.model(own), targets, models.test(), told, attack, start)

    def tell(batches: int) -> None:
        whole = len(Loader(how.chosen(models.test()), how.batch_size))
        if batches < whole:
            watch(batches / whole)

    with threads(run.facts["threads"]):
        rows = Kept(path, how.batch_size, write_atomic).rows(make, tell)
    for name in models.runs:
        its = rows.filter(pl.col("run") == models.weights[name]).with_columns(run=pl.lit(name), attack=pl.lit(told))
        yield from its.partition_by("task", maintain_order=True)  # not by batches, whose size shall not show


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by what rows call them."""
    if len(runs) < 2:
        raise TestudoError(f"a transfer matrix needs two runs or more, got {len(runs)}")
    names, places = [run.name for run in runs], [os.path.abspath(run.folder) for run in runs]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:  # two links to one run are two names for it, and may be compared
            raise TestudoError(f"the run {run.folder} is given twice; a transfer matrix needs different ones")
    return {run.name if names.count(run.name) == 1 else run.folder.as_posix(): run for run in runs}


def _check(runs: Mapping[str, Run], label: str, attack: Attack) -> None:
    """Refuse now, rather than after hours, what cannot be crossed."""
    (first, one), *others = runs.items()
    for name, run in others:
        if run.facts["data"]["test"] != one.facts["data"]["test"]:
            raise TestudoError(f"{first} and {name} have different test examples; a transfer matrix needs the same")
    tasks = {name: {task.name: task for task in run.tasks} for name, run in runs.items()}
    for name, own in tasks.items():
        try:
            check_suite({label: attack}, own)
        except TestudoError as error:
            raise TestudoError(f"{name}: {error}") from error
    every = [task for own in tasks.values() for task in own]
    if len(set(every)) == len(every):
        raise TestudoError(f"{listed(runs)} have no task in common")


def _label(attack: Attack) -> str:
    """What an attack is called: ``pgd20 linf 8/255``, ``fgsm linf 8/255 on digit``."""
    steps, tasks = attack.iterations, "+".join(attack.objective.tasks)
    name = f"{describe(attack)['family']}{steps if steps > 1 else ''} {ball(attack.threat)}"
    return f"{name} on {tasks}" if tasks else name
