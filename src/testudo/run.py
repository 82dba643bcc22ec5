"""A recipe trained into a run folder, loaded back, judged."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl

from testudo import tensor_file
from testudo.attacks.base import Attack
from testudo.data.dataset import Examples
from testudo.data.loader import Loader
from testudo.environment import threads
from testudo.errors import TestudoError, one_line
from testudo.evaluation.columns import ROWS as SCHEMA
from testudo.evaluation.evaluate import Evaluation, describe
from testudo.evaluation.kept import Kept
from testudo.facts import SPLITS, difference, facts_of, fingerprints, lasting, made_by, pretexts, sound
from testudo.files import from_json, held, to_json, write_atomic
from testudo.models.multitask import MultiTaskModel
from testudo.models.start import load_start
from testudo.parts import build, dump, to_toml
from testudo.processes import joined, rank, told
from testudo.recipe import Recipe, read, table
from testudo.tasks.task import Task
from testudo.training import checkpoint
from testudo.training.journal import BEST, LAST, LOG, Journal, Watcher, read_log
from testudo.training.methods.base import check_attack
from testudo.training.validation import Validation

RECIPE, FACTS, ROWS, START, LOCK = "recipe.toml", "run.json", "rows", "start.txt", ".lock"


@dataclass(frozen=True)
class Run:
    """A run folder: the recipe, what it was made with, the weights, the log, the result rows.

    Args:
        folder: where it is; a string will do.

    Raises (on use):
        TestudoError: the folder is no run, or its files are damaged.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

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
            facts = from_json(path.read_bytes())
        except FileNotFoundError:
            raise TestudoError(f"{self.folder} is no run folder: it has no {FACTS}") from None
        except (OSError, ValueError, RecursionError) as error:  # TestudoError among them: a wrong checksum
            raise TestudoError(f"{path} cannot be read: {one_line(error)}") from error
        if not sound(facts):
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
            return read_log(path) if path.exists() else []
        except (OSError, ValueError, RecursionError) as error:
            raise TestudoError(f"{path} cannot be read: {one_line(error)}") from error

    def blank(self) -> MultiTaskModel:
        """The model with its initial weights."""
        facts, recipe, path = self.facts, self.recipe, self.folder / RECIPE
        if facts.get("recipe") not in (None, made_by(table(path))):  # none is in an older version's
            raise TestudoError(
                f"{path} is not what {self.folder} was trained by; it is damaged, or was changed by hand"
            )
        encoder = recipe.model.build(len(facts["mean"]), recipe.seed)
        tasks = [*self.tasks, *(pretext.task for pretext in recipe.method.pretexts)]
        return MultiTaskModel(encoder, tasks, facts["mean"], facts["std"], recipe.seed)

    def model(self, pretexts: bool = False) -> MultiTaskModel:
        """The model with the weights that scored best on validation, in eval mode.

        Args:
            pretexts: keep the heads of the method's self-supervised tasks, which are dropped else.
        """
        path = self._best()
        model = self.blank()
        tensors, _ = tensor_file.load(path)
        try:
            checkpoint.load_weights(model, tensors)
        except TestudoError as error:
            raise TestudoError(f"{path}: {error}") from error
        for pretext in () if pretexts else self.recipe.method.pretexts:
            model.drop_head(pretext.task.name)
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
        weights = self.weights
        check_suite(suite, {task.name: task for task in self.tasks})
        examples, target = cache(self.test), cache(lambda: how.target(self.judged(weights)))

        def make(name: str, attack: Attack | None, start: int) -> Iterator[pl.DataFrame]:
            return how.batches(target(), examples(), name, attack, self.name, start)

        def tell(name: str, done: int, batches: int) -> None:
            whole = len(Loader(how.chosen(examples()), how.batch_size))
            if batches < whole:
                watch(name, done + batches / whole)

        parts = [pl.DataFrame(schema=SCHEMA)]
        for done, (name, attack) in enumerate(suite.items()):
            what = [weights, self.facts["data"]["test"], dump(attack), how.precision]
            if how.examples:
                what.append(how.examples)
            path = self.folder / ROWS / f"{_digest(json.dumps(what).encode())}.parquet"
            with threads(self.facts["threads"]):
                kept = Kept(path, how.batch_size, write_atomic)
                rows = kept.rows(partial(make, name, attack), partial(tell, name, done))
            parts.append(rows.with_columns(run=pl.lit(self.name), attack=pl.lit(name)))  # as they are called now
            watch(name, done + 1)
        return pl.concat(parts)

    @property
    def name(self) -> str:
        """What result rows call the run: its folder's name, or that of the link to it."""
        return os.path.basename(os.path.abspath(self.folder))

    def _best(self) -> Path:
        """The file of the best weights."""
        path = self.folder / BEST
        if self.facts and not path.is_file():  # facts first: they say where the folder is no run at all
            raise TestudoError(f"{self.folder} has no trained weights yet; go on with: testudo train {self.folder}")
        return path

    @property
    def weights(self) -> str:
        """What tells the best weights from others."""
        path = self._best()
        try:
            return _digest(path.read_bytes())
        except OSError as error:
            raise TestudoError(f"{path} cannot be read: {one_line(error)}") from error

    def judged(self, weights: str) -> MultiTaskModel:
        """The model, whose weights must be those that :attr:`weights` told: training may go on meanwhile."""
        model = self.model()
        if self.weights != weights:
            raise TestudoError(
                f"{self.folder} is being trained: its best weights changed just now; judge it afterwards"
            )
        return model

    def test(self) -> Examples:
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

    Where another process is training in the folder, this one waits for it, and goes on with what it left.

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
    recipe.learnt()
    tasks = {task.name: task for task in recipe.chosen()}
    check_suite({"validation": recipe.validation, **recipe.suite}, tasks)
    examples = {split: recipe.data.load(split) for split in SPLITS}
    with joined(recipe.trainer.device), held(folder / LOCK) if rank() == 0 else nullcontext():
        if rank() == 0:
            _open(run, recipe, examples)
        told(None)  # the others read what the first has written
        model = run.blank()
        if recipe.start and not (run.folder / LAST).exists():
            taken = load_start(model, recipe.start)
            if rank() == 0:
                write_atomic(run.folder / START, "\n".join(taken) + "\n")
        journal = Journal(run.folder, watchers if rank() == 0 else ())
        validate = Validation(examples["val"], recipe.validation, recipe.trainer.batch_size, tuple(tasks))
        with threads(run.facts["threads"]):  # as when it began, whoever goes on with it
            recipe.trainer.fit(model, recipe.method, examples["train"], validate, journal, recipe.seed)
        told(None)  # nobody reads the log before it is written
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


def check_suite(suite: Mapping[str, Attack | None], tasks: dict[str, Task]) -> None:
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
    if (run.folder / FACTS).exists():
        before, now = (lasting(dump(each)) for each in (run.recipe, recipe))
        if before != now:
            raise TestudoError(f"{run.folder} holds another recipe ({difference(before, now)}); choose another folder")
        prints = fingerprints(examples)
        if changed := [split for split in SPLITS if run.facts["data"][split] != prints[split]]:
            raise TestudoError(f"the data of {run.folder} has changed since it began ({', '.join(changed)})")
        if run.facts.get("pretexts", {}) != pretexts(recipe):
            raise TestudoError(f"{run.folder} began with other self-supervised labels than this version makes")
        return
    facts = facts_of(recipe, examples)
    write_atomic(run.folder / RECIPE, to_toml(recipe))
    write_atomic(run.folder / FACTS, to_json(facts, indent=1))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
