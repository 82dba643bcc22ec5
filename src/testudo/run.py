"""A recipe trained into a run folder, loaded back, judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl
import torch

from testudo import tensor_file
from testudo.attacks.base import Attack
from testudo.data.dataset import Examples, joined
from testudo.data.loader import Loader
from testudo.environment import environment, threads
from testudo.errors import TestudoError, one_line
from testudo.evaluation.columns import ROWS as SCHEMA
from testudo.evaluation.evaluate import Evaluation, describe
from testudo.evaluation.kept import Kept
from testudo.files import write_atomic
from testudo.models.multitask import MultiTaskModel
from testudo.recipe import Recipe, build, dump, read, to_toml
from testudo.tasks.task import Task
from testudo.training import checkpoint
from testudo.training.journal import BEST, LOG, Journal, Watcher
from testudo.training.methods.base import check_attack
from testudo.training.validation import Validation

RECIPE, FACTS, ROWS = "recipe.toml", "run.json", "rows"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Run:
    """A run folder: the recipe, what it was made with, the weights, the log, the result rows.

    Args:
        folder: where it is.

    Raises (on use):
        TestudoError: the folder is no run, or its files are damaged.
    """

    folder: Path

    @cached_property
    def recipe(self) -> Recipe:
        """What was run."""
        if not (self.folder / RECIPE).is_file():
            raise TestudoError(f"{self.folder} is no run folder: it has no {RECIPE}")
        return read(self.folder / RECIPE)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Versions, revision, machine, data fingerprints, and the model's tasks and normalisation."""
        path = self.folder / FACTS
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TestudoError(f"{self.folder} is no run folder: it has no {FACTS}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise TestudoError(f"{path} cannot be read: {one_line(error)}") from error
        if not _sound(facts):
            raise TestudoError(f"{path} is damaged: it does not hold what a run writes there")
        return facts

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the model, the main one first."""
        return tuple(build(Task, values, str(self.folder / FACTS), "tasks") for values in self.facts["tasks"])

    @property
    def finished(self) -> bool:
        """Whether every epoch of the recipe has been trained."""
        return len(self.log) >= self.recipe.trainer.epochs

    @property
    def log(self) -> list[dict[str, Any]]:
        """One record per epoch so far."""
        path = self.folder / LOG
        try:
            return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        except (OSError, ValueError) as error:
            raise TestudoError(f"{path} cannot be read: {one_line(error)}") from error

    def blank(self) -> MultiTaskModel:
        """The model with its initial weights."""
        facts, recipe = self.facts, self.recipe
        encoder = recipe.model.build(len(facts["mean"]), recipe.seed)
        return MultiTaskModel(encoder, self.tasks, facts["mean"], facts["std"], recipe.seed)

    def model(self) -> MultiTaskModel:
        """The model with the weights that scored best on validation, in eval mode."""
        path = self._best()
        model = self.blank()
        tensors, _ = tensor_file.load(path)
        try:
            checkpoint.load_weights(model, tensors)
        except TestudoError as error:
            raise TestudoError(f"{path}: {error}") from error
        return model.eval()

    def rows(
        self,
        suite: Mapping[str, Attack | None],
        how: Evaluation = Evaluation(),  # noqa: B008 (immutable)
        watch: Callable[[str, float], None] = lambda name, share: None,
    ) -> pl.DataFrame:
        """Result rows of the best weights on the test split; attacks and batches already done are not redone.

        Args:
            suite: attacks by name (None: the clean images).
            how: batch size, precision, device.
            watch: called after each batch with the attack's name and the attacks done (2.5: half of the third, too).

        Raises:
            TestudoError: nothing trained yet, other test data, a damaged file, an attack that these tasks do not allow.
        """
        weights = self._weights()
        _check(suite, {task.name: task for task in self.tasks})
        examples, target = cache(self._test), cache(lambda: how.target(self.model()))

        def make(name: str, attack: Attack | None, start: int) -> Iterator[pl.DataFrame]:
            return how.batches(target(), examples(), name, attack, self.name, start)

        def tell(name: str, done: int, batches: int) -> None:
            whole = len(Loader(examples(), how.batch_size))
            if batches < whole:
                watch(name, done + batches / whole)

        parts = [pl.DataFrame(schema=SCHEMA)]
        for done, (name, attack) in enumerate(suite.items()):
            what = [weights, self.facts["data"]["test"], name, dump(attack), how.precision]
            path = self.folder / ROWS / f"{_digest(json.dumps(what).encode())}.parquet"
            with threads(self.facts["threads"]):
                kept = Kept(path, how.batch_size, write_atomic)
                rows = kept.rows(partial(make, name, attack), partial(tell, name, done))
            parts.append(rows.with_columns(run=pl.lit(self.name)))  # the folder may have been renamed
            watch(name, done + 1)
        return pl.concat(parts)

    @property
    def name(self) -> str:
        """What result rows call the run: its folder's name."""
        return self.folder.resolve().name

    def _best(self) -> Path:
        """The file of the best weights."""
        path = self.folder / BEST
        if self.facts and not path.is_file():  # facts first: they say where the folder is no run at all
            raise TestudoError(f"{self.folder} has no trained weights yet; go on with: testudo train {self.folder}")
        return path

    def _weights(self) -> str:
        """What tells the best weights from others."""
        path = self._best()
        try:
            return _digest(path.read_bytes())
        except OSError as error:
            raise TestudoError(f"{path} cannot be read: {one_line(error)}") from error

    def _test(self) -> Examples:
        """The test split, which must be the one that was there when the run began."""
        examples = self.recipe.data.load("test")
        if examples.fingerprint() != self.facts["data"]["test"]:
            raise TestudoError(f"the data of {self.folder} has changed since it was trained (test)")
        return examples


def train(
    recipe: Recipe | str | Path,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    watchers: tuple[Watcher, ...] = (),
) -> Run:
    """Train a recipe into a run folder, or go on with the folder where it was left.

    Args:
        recipe: a recipe, a TOML file, or a run folder to go on with.
        out: the run folder; by default ``runs/<name>``, or the folder given as ``recipe``.
        overrides: dotted paths and values put over a recipe file.
        watchers: told of every batch and epoch.

    Raises:
        TestudoError: the folder holds another recipe, or its data has changed.
    """
    recipe, folder = wanted(recipe, out, overrides)
    run = Run(folder)
    tasks = {task.name: task for task in recipe.chosen()}
    recipe.method.check(tasks)
    _check({"validation": recipe.validation, **recipe.suite}, tasks)
    examples = {split: recipe.data.load(split) for split in SPLITS}
    _open(run, recipe, examples)
    model = run.blank()
    journal = Journal(run.folder, watchers)
    validate = Validation(examples["val"], recipe.validation, recipe.trainer.batch_size)
    with threads(run.facts["threads"]):  # as when it began, whoever goes on with it
        recipe.trainer.fit(model, recipe.method, examples["train"], validate, journal, recipe.seed)
    return run


def wanted(
    recipe: Recipe | str | Path, out: str | Path | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[Recipe, Path]:
    """The recipe and the run folder that the arguments of :func:`train` stand for."""
    if not isinstance(recipe, Recipe):
        path = Path(recipe)
        if path.is_dir():
            out, path = out or path, path / RECIPE
        recipe = read(path, overrides)
    return recipe, Path(out) if out else Path("runs") / recipe.name


def _check(suite: Mapping[str, Attack | None], tasks: dict[str, Task]) -> None:
    """Tell now, rather than after hours, of an attack that cannot be made on these tasks."""
    for name, attack in suite.items():
        try:
            if attack is not None:
                check_attack(attack, tasks)
                attack.check(attack.objective.attacked(tasks, tasks))
                describe(attack)
        except TestudoError as error:
            raise TestudoError(f"attack {name!r}: {error}") from error


def load(folder: str | Path) -> MultiTaskModel:
    """The trained model of a run folder, in eval mode; see :meth:`Run.model`."""
    return Run(Path(folder)).model()


def _open(run: Run, recipe: Recipe, examples: dict[str, Examples]) -> None:
    """Make the folder, or check that it holds this very recipe on this very data."""
    prints = {split: part.fingerprint() for split, part in examples.items()}
    if (run.folder / FACTS).exists():
        before, now = (_lasting(dump(each)) for each in (run.recipe, recipe))
        if before != now:
            raise TestudoError(f"{run.folder} holds another recipe ({_difference(before, now)}); choose another folder")
        if changed := [split for split in SPLITS if run.facts["data"][split] != prints[split]]:
            raise TestudoError(f"the data of {run.folder} has changed since it began ({', '.join(changed)})")
        return
    mean, std = recipe.data.statistics()
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "threads": torch.get_num_threads(),
        "data": prints,
        "counts": {split: len(part) for split, part in examples.items()},
        "note": _notes(examples),
        "tasks": [dump(task) for task in recipe.chosen()],
        "mean": list(mean),
        "std": list(std),
    }
    write_atomic(run.folder / RECIPE, to_toml(recipe))
    write_atomic(run.folder / FACTS, json.dumps(facts, indent=1))


def _notes(examples: dict[str, Examples]) -> str:
    """What was done to or left out of the published images, told once where it is the same for every split."""
    notes = {split: part.note for split, part in examples.items()}
    same = len(set(notes.values())) == 1
    return notes["train"] if same else joined(*(f"{split}: {note}" for split, note in notes.items() if note))


def _sound(facts: Any) -> bool:
    """Whether ``facts`` holds what :func:`_open` writes."""
    kinds: dict[str, type] = {"environment": dict, "data": dict, "counts": dict, "note": str, "threads": int}
    kinds |= dict.fromkeys(("tasks", "mean", "std"), list)
    return (
        isinstance(facts, dict)
        and all(isinstance(facts.get(name), kind) for name, kind in kinds.items())
        and all(isinstance(facts["data"].get(s), str) and isinstance(facts["counts"].get(s), int) for s in SPLITS)
        and all(isinstance(value, float) for value in facts["mean"] + facts["std"])
        and len(facts["mean"]) == len(facts["std"]) > 0
        and facts["threads"] > 0
    )


def _lasting(recipe: dict[str, Any]) -> dict[str, Any]:
    """A dumped recipe without what may change between sessions: where it runs, and who reads the images."""
    trainer = {name: value for name, value in recipe["trainer"].items() if name not in ("device", "workers")}
    return {**recipe, "trainer": trainer}


def _difference(before: Any, now: Any, path: str = "") -> str:
    """The first place in which two dumped recipes differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *now]:
            if before.get(name) != now.get(name):
                return _difference(before.get(name), now.get(name), f"{path}.{name}".lstrip("."))
    return f"{path}: {before!r} there, {now!r} here"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
