"""Epochs, batches, updates; precision and device through Lightning Fabric."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.dataset import Examples
from testudo.errors import TestudoError, one_line, unknown
from testudo.models.fast import Precision
from testudo.models.model import Model
from testudo.models.prepare import reusing
from testudo.processes import count
from testudo.training.fit import Fit, Validate
from testudo.training.journal import Journal, Progress
from testudo.training.methods.base import Method
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.partners.base import Partner
from testudo.training.shared_norm import synchronised


@dataclass(frozen=True)
class Trainer:
    """How a model is fitted, whatever the method.

    Args:
        epochs: passes over the training split.
        batch_size: examples in a batch.
        optimiser: the gradient step.
        schedule: its learning rate over the run, set at every batch.
        augment: applied to every training batch.
        precision: of the forward passes, in training and in its attacks: ``"auto"`` is bf16 where the device
            does it natively, else float32. Weights, updates and validation scores are float32.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        workers: processes that read images ahead.
        validate_every: epochs between validations; the last epoch is always validated.
        accumulate: parts of a batch that go through the network one after the other, to save memory; the step is the
            same but for batch norm, whose statistics are then a part's, and where examples lack labels: a part's
            mean counts by its images.
        ema: decay of an exponential moving average of the weights, which is then what is validated and kept
            (0: none; 0.995 is usual; in the first steps it is less, (1 + t) / (10 + t)).
        partners: change each training batch, one after the other, before the method sees it.
        bad_term: what to do where a loss term is not finite: ``"stop"`` the run, or ``"skip"`` the step, which the
            log counts; after 50 skipped steps in a row it stops.
    """

    epochs: int = 30
    batch_size: int = 128
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    augment: Augment = Augment()
    precision: Precision = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = 0
    validate_every: int = 1
    accumulate: int = 1
    ema: float = 0.0
    partners: tuple[Partner, ...] = ()
    bad_term: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "validate_every", "accumulate"):
            if getattr(self, name) < 1:
                raise TestudoError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise TestudoError(f"ema must be a decay in [0, 1), got {self.ema}")
        if self.bad_term not in ("stop", "skip"):
            raise unknown("bad_term", self.bad_term, ("stop", "skip"))
        if self.workers < 0:
            raise TestudoError(f"workers must be at least 0, got {self.workers}")

    def fit(
        self, model: Model, method: Method, examples: Examples, validate: Validate, journal: Journal, seed: int = 0
    ) -> Progress:
        """Train ``model`` in place, going on from the journal's checkpoint where there is one.

        Args:
            model: with the tasks to learn.
            method: names the loss terms.
            examples: the training split.
            validate: scores the model after an epoch; its ``"score"`` decides which weights are the best.
            journal: where everything is saved.
            seed: of order, augmentation and random starts.

        Raises:
            TestudoError: the method names a task that the model lacks, there is no such device, a batch is too
                small for the network, or a loss is no longer finite.
            Interrupted: after Ctrl-C; the run can be continued.
        """
        from lightning_fabric import Fabric  # slow to import, and only training needs it

        method.check(model.tasks)
        self._check(method, examples)
        with torch.random.fork_rng(devices=[]), synchronised(model):
            torch.default_generator.manual_seed(seed)
            where: Any = {"accelerator": self.device, "devices": self._devices()}
            fabric = Fabric(**where)
            fabric.to_device(model)
            with reusing(model, self.precision) as copy:
                half = copy.precision == "bf16"
                fabric = Fabric(**where, precision="bf16-mixed" if half else "32-true")
                self._rehearse(model, fabric.to_device(self._smallest(examples)))
                return Fit(self, model, method, fabric, journal, seed).run(examples, validate)

    def _check(self, method: Method, examples: Examples) -> None:
        """Refuse, before any work is done, what cannot go together."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise TestudoError("device 'cuda' is not available on this machine (allowed: auto, cpu)")
        if self.accumulate > 1 and not method.divisible:
            name = type(method).__name__
            raise TestudoError(f"{name} needs its batch in one part, got accumulate = {self.accumulate}")
        for task in (pretext.task for pretext in method.pretexts):
            if self.accumulate > 1 and task.paired:
                raise TestudoError(
                    f"task {task.name!r} contrasts a whole batch, which cannot come in parts; "
                    f"got accumulate = {self.accumulate}"
                )
        last = self._last(examples)
        if 0 < last < count():
            raise TestudoError(
                f"the last batch of an epoch holds {last} example(s) for {count()} processes; try another batch_size"
            )

    def _devices(self) -> int | list[int]:
        """The device of this process among several, else any one."""
        alone = count() == 1 or self.device == "cpu" or not torch.cuda.is_available()
        return 1 if alone else [torch.cuda.current_device()]

    def _smallest(self, examples: Examples) -> Batch:
        """The first examples, one where the epoch's last batch will hold one alone."""
        return examples.batch(range(min(self._last(examples), 2)))

    def _last(self, examples: Examples) -> int:
        """How many examples an epoch's last batch holds."""
        return len(examples) % self.batch_size or min(len(examples), self.batch_size)

    def _rehearse(self, model: Model, batch: Batch) -> None:
        """Refuse, before any work is done, a batch that the network cannot be trained on."""
        if not len(batch):
            raise TestudoError("the training split holds no examples")
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                copy.deepcopy(model).train()(batch.images)
        except (ValueError, RuntimeError) as error:  # batch norm over one value, maps smaller than a kernel
            shape = "x".join(str(n) for n in batch.images.shape[1:])
            why = f"{one_line(error)}; the last batch of an epoch is the smallest: try another batch_size"
            raise TestudoError(f"the network cannot learn from {len(batch)} image(s) of {shape}: {why}") from error
