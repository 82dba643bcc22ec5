"""What the checks look at: one task of one model on n examples, each attack made once and only if a check asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from testudo.attacks.base import Attack, draws_of_its_own
from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.problem import Problem
from testudo.attacks.surrogates import Margin, Surrogate, TaskLoss
from testudo.attacks.threat import Threat
from testudo.data.batch import Batch
from testudo.evaluation.columns import columns
from testudo.evaluation.diagnosis.battery import Battery
from testudo.evaluation.diagnosis.gain import ratio
from testudo.evaluation.diagnosis.intervals import contest
from testudo.evaluation.evaluate import Evaluation
from testudo.evaluation.metrics import named
from testudo.models.fast import Fast
from testudo.tasks.classification import Classification
from testudo.tasks.task import Task
from testudo.tensors import per_example

WHITE = ("pgd", "pgd restarts", "pgd longer", "pgd margin")
CLEAN, TRANSFER, AVERAGED, SWAP = "clean", "transfer", "pgd averaged", "another image"
SWAPS = 8  # other images of the batch that each is replaced by
SCORING = 1_000_003  # a randomised model is scored with other draws than those it was attacked with
Make = Callable[[int], Iterator[pl.DataFrame]]
Values = NDArray[np.floating]


class Keeper(Protocol):
    """Makes rows batch by batch, or has them already."""

    def __call__(self, name: str, key: str, make: Make, watch: Callable[[int], None]) -> pl.DataFrame:
        """All rows of the attack called ``name``; ``key`` tells it from others of that name.

        ``make(start)`` gives the rows of each batch from ``start`` on, ``watch`` is told how many batches are done.
        """


def in_memory(name: str, key: str, make: Make, watch: Callable[[int], None]) -> pl.DataFrame:
    """The keeper that keeps nothing."""
    frames = []
    for frame in make(0):
        frames.append(frame)
        watch(len(frames))
    return pl.concat(frames)


@dataclass(eq=False)
class Evidence:
    """One task of a model under a battery of attacks.

    Args:
        model: the frozen copy, in full precision.
        batch: the n examples, all of them labelled for the task, with that task's labels alone.
        task: which.
        threat: the ball in which the model is claimed to be robust.
        battery: the attacks.
        twin: another model of the same task, whose adversarial images are tried on this one.
        handed: the model itself, as it was handed over.
        keep: where rows are kept.
        size: examples in a batch.
        tell: told the name of an attack and the share of it that is done.
    """

    model: Fast
    batch: Batch
    task: Task
    threat: Threat
    battery: Battery
    twin: Fast | None = None
    handed: torch.nn.Module | None = None
    keep: Keeper = in_memory
    size: int = 128
    tell: Callable[[str, float], None] = lambda name, share: None
    _rows: dict[str, pl.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(self.batch)

    @property
    def decided(self) -> bool:
        """Whether an answer is right or wrong, so that harm is 0 or 1 and leads are shares of the examples."""
        return isinstance(self.task, Classification)

    @cached_property
    def attacks(self) -> dict[str, Attack]:
        """Those of the battery on this task, by name."""
        return self.battery.attacks(self.task, self.threat, self.batch.images[0].numel())

    @property
    def made(self) -> list[str]:
        """What has been asked for so far."""
        return list(self._rows)

    def rows(self, name: str) -> pl.DataFrame:
        """The result rows of an attack of :attr:`attacks`, or of one of the names above, made once."""
        if name not in self._rows:
            parts = -(-self.n // self.size)
            key = f"{self.task!r} {self.batch.ids.tolist()} {self._attack(name)!r}"
            made = partial(self._frames, name), lambda count: self.tell(name, count / parts)
            self._rows[name] = self.keep(name, key, *made)
            self.tell(name, 1.0)
        return self._rows[name]

    def loss(self, name: str) -> Values:
        """(n,) the task's loss under an attack."""
        return self.rows(name)["loss"].to_numpy().astype(float)

    def harm(self, *names: str) -> Values:
        """(n,) the most harm that any of the named attacks does: 1 for a wrong answer; other tasks, their loss."""
        if not self.decided:
            return np.stack([self.loss(name) for name in names]).max(0)
        return 1 - np.stack([self.rows(name)["score"].to_numpy().astype(float) for name in names]).min(0)

    def white(self) -> Values:
        """(n,) the most harm that PGD does: with restarts, with more steps, and on the margin of the logits."""
        return self.harm(*(name for name in WHITE if name in self.attacks))

    def metric(self, name: str) -> float:
        """The task's metric under an attack."""
        (column,) = columns(self.rows(name)).values()
        return float(named(column.metric).compute(column.records[column.labelled], None))

    def effect(self, first: Values, second: Values) -> float:
        """By how much one attack's harm (n,) exceeds another's.

        A share of the examples; for other tasks than classifications a share of the mean harm that the second does,
        infinite where it does none.
        """
        if self.decided:
            return contest(first, second).lead
        return float(ratio(first.mean() - second.mean(), second.mean() - self.harm(CLEAN).mean()))

    @cached_property
    def standing(self) -> Tensor:
        """The places of the examples that there is anything to do to: of a classification, those told right."""
        return torch.from_numpy(np.flatnonzero(self.harm(CLEAN) < 1) if self.decided else np.arange(self.n))

    @property
    def sharp(self) -> Surrogate:
        """What shows the model's surface without the softmax: of a classification, the margin of the logits."""
        return Margin() if self.decided else TaskLoss()

    def climb(self, batch: Batch, surrogate: Surrogate) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) gradients of the surrogate at the images of ``batch``, 0 where not finite; (N,) its values."""
        found = [self._problem(part, surrogate).ascend(part.images) for part in self.parts(batch)]
        return torch.cat([step.gradient for step in found]), torch.cat([step.merit for step in found])

    def values(self, batch: Batch, surrogate: Surrogate) -> Tensor:
        """(N,) the surrogate at the images of ``batch``."""
        return torch.cat([self._problem(part, surrogate).measure(part.images) for part in self.parts(batch)])

    def outputs(self, images: Tensor) -> Tensor:
        """(N, channels, ...) what the model says, in one pass."""
        with torch.no_grad():
            return self.model.exact(images, (self.task.name,))[self.task.name]

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """``batch`` in pieces that fit into memory, on the model's device."""
        place = next((tensor.device for tensor in self.model.parameters()), torch.device("cpu"))
        for part in batch.split(self.size):
            yield part.to(place)

    def _problem(self, batch: Batch, surrogate: Surrogate) -> Problem:
        return FGSM(self.threat, Objective((self.task.name,), surrogate=surrogate)).prepare(self.model, batch)

    def _attack(self, name: str) -> Attack | None:
        if name in (CLEAN, SWAP):
            return None
        if name == TRANSFER:
            return self.battery.transfer(self.task, self.threat)
        return self.battery.averaged(self.task, self.threat) if name == AVERAGED else self.attacks[name]

    def _frames(self, name: str, start: int) -> Iterator[pl.DataFrame]:
        """Rows of each batch from number ``start`` on, each a function of the battery's seed and its number alone."""
        how, attack = Evaluation(self.size, "float32"), self._attack(name)
        source = self.twin if name == TRANSFER and self.twin is not None else self.model
        for batch in list(self.parts(self._swapped() if name == SWAP else self.batch))[start:]:
            with draws_of_its_own(self.battery.seed + SCORING, batch.images.device):
                (made,) = how.carried(source, {"": self.model}, batch, name, attack)
            yield made

    def _swapped(self) -> Batch:
        """Every image replaced by that of the next few others which does most harm, as far as the mask allows."""
        ball, worst, images = self.attacks["pgd box"].threat, None, self.batch.images
        for shift in range(1, min(SWAPS, self.n - 1) + 1):
            other = ball.project(self.batch.images.roll(shift, 0), self.batch.images)
            values = self.values(self.batch.with_images(other), self.sharp).to(other)
            better = values > values.new_tensor(-torch.inf) if worst is None else values > worst
            images = torch.where(per_example(better, images), other, images)
            worst = values if worst is None else torch.maximum(worst, values)
        return self.batch.with_images(images)
