"""A recipe trained into a run folder, loaded back, judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import torch

from testudo.attacks.base import Attack
from testudo.data.dataset import Examples
from testudo.data.loader import Loader
from testudo.environment import environment
from testudo.errors import TestudoError, one_line
from testudo.evaluation.columns import read_rows
from testudo.evaluation.evaluate import Evaluation
from testudo.models.model import Model
from testudo.models.multitask import MultiTaskModel
from testudo.recipe import Recipe, build, dump, read, to_toml
from testudo.tasks.task import Task
from testudo.training import checkpoint
from testudo.training.journal import BEST, LOG, Journal, Watcher

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
        try:
            return json.loads((self.folder / FACTS).read_text())
        except (OSError, ValueError) as error:
            raise TestudoError(f"{self.folder / FACTS} cannot be read: {one_line(error)}") from error

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
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def blank(self) -> MultiTaskModel:
        """The model with its initial weights."""
        facts, recipe = self.facts, self.recipe
        encoder = recipe.model.build(len(facts["mean"]), recipe.seed)
        return MultiTaskModel(encoder, self.tasks, facts["mean"], facts["std"], recipe.seed)

    def model(self) -> MultiTaskModel:
        """The model with the weights that scored best on validation, in eval mode."""
        path = self.folder / BEST
        if not path.exists():
            raise TestudoError(f"{self.folder} has no trained weights yet; go on with: testudo train {self.folder}")
        model = self.blank()
        checkpoint.load_weights(model, checkpoint.load(path)[0])
        return model.eval()

    def rows(
        self,
        suite: Mapping[str, Attack | None],
        how: Evaluation = Evaluation(),  # noqa: B008 (immutable)
        watch: Callable[[str, int, int], None] | None = None,
    ) -> pl.DataFrame:
        """Result rows of the best weights on the test split, one file per attack; what is there is not redone.

        Args:
            suite: attacks by name (None: the clean images).
            how: batch size, precision, device.
            watch: called after each attack with its name, the attacks done and their number.
        """
        weights = _digest((self.folder / BEST).read_bytes()) if (self.folder / BEST).exists() else ""
        examples: Examples | None = None
        target: Model | None = None
        parts = []
        for done, (name, attack) in enumerate(suite.items(), start=1):
            what = [weights, self.facts["data"]["test"], name, dump(attack), how.precision]
            path = self.folder / ROWS / f"{_digest(json.dumps(what).encode())}.parquet"
            if not path.exists():
                examples = examples or self.recipe.data.load("test")
                target = target or how.target(self.model())
                made = how.rows(target, examples, name, attack, self.folder.name)
                checkpoint.write_atomic(path, made.write_parquet)
            parts.append(read_rows(path))
            if watch:
                watch(name, done, len(suite))
        return pl.concat(parts)


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
    if not isinstance(recipe, Recipe):
        path = Path(recipe)
        if path.is_dir():
            out, path = out or path, path / RECIPE
        recipe = read(path, overrides)
    run = Run(Path(out) if out else Path("runs") / recipe.name)
    examples = {split: recipe.data.load(split) for split in SPLITS}
    _open(run, recipe, examples)
    model = run.blank()
    journal = Journal(run.folder, watchers)
    validate = _Validation(recipe, examples["val"])
    recipe.trainer.fit(model, recipe.method, examples["train"], validate, journal, recipe.seed)
    return run


def load(folder: str | Path) -> MultiTaskModel:
    """The trained model of a run folder, in eval mode; see :meth:`Run.model`."""
    return Run(Path(folder)).model()


def _open(run: Run, recipe: Recipe, examples: dict[str, Examples]) -> None:
    """Make the folder, or check that it holds this very recipe on this very data."""
    prints = {split: part.fingerprint() for split, part in examples.items()}
    if (run.folder / FACTS).exists():
        before, now = dump(run.recipe), dump(recipe)
        if before != now:
            raise TestudoError(f"{run.folder} holds another recipe ({_difference(before, now)}); choose another folder")
        changed = [split for split in SPLITS if run.facts["data"][split] != prints[split]]
        if changed:
            raise TestudoError(f"the data of {run.folder} has changed since it began ({', '.join(changed)})")
        return
    mean, std = recipe.data.statistics()
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "data": prints,
        "counts": {split: len(part) for split, part in examples.items()},
        "note": examples["train"].note,
        "tasks": [dump(task) for task in recipe.chosen()],
        "mean": list(mean),
        "std": list(std),
    }
    checkpoint.write_atomic(run.folder / RECIPE, to_toml(recipe))
    checkpoint.write_atomic(run.folder / FACTS, json.dumps(facts, indent=1))


def _difference(before: Any, now: Any, path: str = "") -> str:
    """The first place in which two dumped recipes differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *now]:
            if before.get(name) != now.get(name):
                return _difference(before.get(name), now.get(name), f"{path}.{name}".lstrip("."))
    return f"{path}: {before!r} there, {now!r} here"


@dataclass(frozen=True)
class _Validation:
    """The score that chooses the best weights: the main task's metric, under attack where the recipe says so."""

    recipe: Recipe
    examples: Examples

    def __call__(self, model: Model) -> dict[str, float]:
        was_training = model.training
        model.eval()
        try:
            scores = self._scores(model, None, "clean")
            if self.recipe.validation is not None:
                scores |= self._scores(model, self.recipe.validation, "attacked")
        finally:
            model.train(was_training)
        main = next(iter(model.tasks.values()))
        value = scores[f"{main.name}.{'clean' if self.recipe.validation is None else 'attacked'}"]
        return {**scores, "score": value if main.higher_is_better else -value}

    def _scores(self, model: Model, attack: Attack | None, suffix: str) -> dict[str, float]:
        metrics = {name: task.metric() for name, task in model.tasks.items()}
        place = next(model.parameters()).device
        for batch in Loader(self.examples, self.recipe.trainer.batch_size)():
            batch = batch.to(place)
            images = batch.images if attack is None else attack.perturb(model, batch)
            with torch.no_grad():
                outputs = model(images)
            for name, metric in metrics.items():
                metric.update(outputs[name].cpu(), batch.targets[name].cpu())
        return {f"{name}.{suffix}": float(metric.compute()) for name, metric in metrics.items()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
