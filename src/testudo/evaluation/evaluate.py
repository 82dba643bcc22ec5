"""A model against a suite of attacks: one row per example, task and attack."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.attacks.surrogates import Surrogate, TaskLoss
from testudo.data.batch import Batch
from testudo.data.dataset import Examples
from testudo.data.loader import Loader
from testudo.data.splits import evenly
from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS
from testudo.models.fast import Fast, Precision, fast
from testudo.models.model import Model
from testudo.registry import ATTACKS, BALANCES, SURROGATES, THREATS
from testudo.tensors import norms

Data = Batch | Examples | Iterable[Batch]


@dataclass(frozen=True)
class Evaluation:
    """How a model is put through a suite.

    Args:
        batch_size: examples at a time; a matter of memory and speed, never of results.
        precision: of the searches (scores are always in full precision), see :func:`testudo.models.fast.fast`.
        compile: whether to compile the frozen copy.
        device: where to run: a torch device, ``"auto"`` for the GPU where there is one; empty: where the model is.
        examples: how many of a loaded split, evenly spaced, for an attack that would take too long on more; 0: all.
    """

    batch_size: int = 128
    precision: Precision = "auto"
    compile: bool = False
    device: str = ""
    examples: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise TestudoError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.examples < 0:
            raise TestudoError(f"examples must be at least 0 (all), got {self.examples}")

    def chosen(self, data: Examples) -> Examples:
        """Those of a split that count."""
        return data.take(evenly(self.examples, len(data))) if 0 < self.examples < len(data) else data

    def rows(self, model: Model, data: Data, name: str, attack: Attack | None, run: str = "") -> pl.DataFrame:
        """The rows of one attack (None: the clean images), called ``name`` in them."""
        return pl.concat([pl.DataFrame(schema=ROWS), *self.batches(model, data, name, attack, run)])

    def batches(
        self, model: Model, data: Data, name: str, attack: Attack | None, run: str = "", start: int = 0
    ) -> Iterator[pl.DataFrame]:
        """The same rows batch by batch, from batch number ``start`` on."""
        target = self.target(model)
        return self.carried(target, {run: target}, data, name, attack, start)

    def carried(
        self,
        surrogate: Model,
        targets: Mapping[str, Model],
        data: Data,
        name: str,
        attack: Attack | None,
        start: int = 0,
    ) -> Iterator[pl.DataFrame]:
        """The rows of ``targets``, by run, on images made against ``surrogate``, batch by batch: one search for all.

        The targets must be on the surrogate's device.
        """
        source = self.target(surrogate)
        judges = {run: self.target(target) for run, target in targets.items()}
        for batch in self.placed(source, data, start):
            images = batch.images if attack is None else attack(source, batch).images
            yield pl.concat([_batch_rows(judge, batch, images, name, attack, run) for run, judge in judges.items()])

    def target(self, model: Model) -> Fast:
        """The frozen copy that :meth:`rows` works on; hand it in place of the model to make it only once."""
        if isinstance(model, Fast):
            return model
        if self.device:
            model = _moved(model, self.device)
        return fast(model, self.precision, self.compile)

    def placed(self, target: Fast, data: Data, start: int = 0) -> Iterator[Batch]:
        """``data`` in batches, from number ``start`` on, on the device of ``target``."""
        place = next((t.device for t in target.parameters()), torch.device("cpu"))
        if isinstance(data, Examples):
            loader = Loader(self.chosen(data), self.batch_size)
            data, start = loader(start=start), 0  # those before it are not even read
        elif isinstance(data, Batch):
            data = data.split(self.batch_size) if len(data) else [data]
        for batch in itertools.islice(data, start, None):
            yield batch.to(place)


def _moved(model: Model, device: str) -> Model:
    """A copy of ``model`` on ``device``; the model itself stays where it is."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return copy.deepcopy(model).to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # an unknown name, or a machine without it
        raise TestudoError(f"device {device!r} cannot be used: {str(error).partition(chr(10))[0]}") from error


def evaluate(
    model: Model,
    data: Data,
    attacks: Mapping[str, Attack | None],
    run: str = "",
    how: Evaluation = Evaluation(),
    watch: Callable[[str, int], None] | None = None,
) -> pl.DataFrame:
    """Attack ``model`` on ``data`` and score what comes back, in full precision.

    Args:
        model: a multi-task or wrapped model.
        data: a batch, a loaded split, or batches.
        attacks: by the name they get in the rows; None stands for the clean images.
        run: what the rows call the model.
        how: batch size, precision, device.
        watch: called with each attack's name and the examples done, for progress.

    Returns:
        A frame with one row per example, task of the model that has labels, and attack: run, example (its id),
        task, metric, further (metrics beside it), attack, family, norm, eps, steps, objective, score (NaN without a
        label), loss, linf and l2 (the perturbation's norms), record (what the metrics are computed from).
    """
    target, parts = how.target(model), [pl.DataFrame(schema=ROWS)]
    batches = list(data) if not isinstance(data, Batch | Examples) else data
    for name, attack in attacks.items():
        part = how.rows(target, batches, name, attack, run)
        parts.append(part)
        if watch:
            watch(name, part["example"].n_unique())
    return pl.concat(parts)


def describe(attack: Attack | None) -> dict[str, object]:
    """The columns that tell attacks apart: family, norm, eps, steps, objective.

    The norm of an attacker who may not touch every pixel is called ``"linf masked"``: that is a smaller ball.

    Raises:
        TestudoError: several eps in one attack, or a part that is not registered.
    """
    if attack is None:
        return {"family": "clean", "norm": "", "eps": 0.0, "steps": 0, "objective": ""}
    eps = torch.as_tensor(attack.threat.eps)
    if eps.dim():
        raise TestudoError("rows have one eps per attack; give one number, or evaluate in groups of equal eps")
    masked = "" if attack.threat.mask is None else " masked"  # no longer the whole ball
    return {
        "family": ATTACKS.name_of(type(attack)),
        "norm": THREATS.name_of(type(attack.threat)) + masked,
        "eps": float(attack.threat.eps),
        "steps": attack.iterations,
        "objective": _told(attack.objective),
    }


def _told(objective: Objective) -> str:
    """Tasks, the balance where there may be several, surrogates other than the tasks' losses, and the way."""
    words = "+".join(objective.tasks) or "all"
    if len(objective.tasks) != 1:
        words += f":{BALANCES.name_of(type(objective.balance))}"
    given = objective.surrogate
    if isinstance(given, dict):
        words += f" by {', '.join(f'{task} {_named(each)}' for task, each in given.items())}" if given else ""
    elif not isinstance(given, TaskLoss):
        words += f" by {_named(given)}"
    return f"{words}, targeted" if objective.targeted else words


def _named(surrogate: Surrogate) -> str:
    """Its registered name, or its class's: functions of a user's have no other."""
    try:
        return SURROGATES.name_of(type(surrogate))
    except TestudoError:
        return type(surrogate).__name__


def _batch_rows(target: Fast, batch: Batch, images: Tensor, name: str, attack: Attack | None, run: str) -> pl.DataFrame:
    moved, columns = images - batch.images, describe(attack)
    names = [task for task in target.tasks if task in batch.targets]
    with torch.no_grad():
        outputs = target.exact(images, names) if len(batch) else {}
    shared = {
        "example": batch.ids.tolist(),
        "linf": norms(moved, torch.inf).tolist(),
        "l2": norms(moved, 2).tolist(),
    }
    frames = [
        pl.DataFrame({**shared, **_judged(target, task, outputs[task], batch.targets[task])}).with_columns(
            run=pl.lit(run), attack=pl.lit(name), **{key: pl.lit(value) for key, value in columns.items()}
        )
        for task in (names if len(batch) else ())
    ]
    cast = (frame.select(*ROWS).cast(dict(ROWS)) for frame in frames)  # first: a task without further metrics has nulls
    return pl.concat([pl.DataFrame(schema=ROWS), *cast])


def _judged(target: Fast, name: str, output: Tensor, labels: Tensor) -> dict[str, object]:
    task = target.tasks[name]
    return {
        "task": [name] * len(labels),
        "metric": [task.metric_name] * len(labels),
        "further": [list(task.further)] * len(labels),
        "score": task.score(output, labels).tolist(),
        "loss": task.loss(output, labels).tolist(),
        "record": task.record(output, labels).tolist(),
    }
