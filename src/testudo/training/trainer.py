"""Epochs, batches, updates; precision and device through Lightning Fabric."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from testudo.balance.base import State
from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.dataset import Examples
from testudo.data.loader import Loader
from testudo.errors import TestudoError, one_line
from testudo.models.fast import Precision
from testudo.models.model import Model
from testudo.models.prepare import reusing
from testudo.tensors import rekey
from testudo.training.journal import Journal, Progress, interruptible
from testudo.training.methods.base import Method
from testudo.training.optimiser import Optimiser, Schedule

Validate = Callable[[Model], dict[str, float]]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during training, after everything was saved."""


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

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.validate_every < 1:
            found = f"{self.epochs}, {self.batch_size}, {self.validate_every}"
            raise TestudoError(f"epochs, batch_size and validate_every must be at least 1, got {found}")
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
        if self.device == "cuda" and not torch.cuda.is_available():
            raise TestudoError("device 'cuda' is not available on this machine (allowed: auto, cpu)")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            fabric = Fabric(accelerator=self.device, devices=1)
            fabric.to_device(model)
            with reusing(model, self.precision) as copy:
                half = copy.precision == "bf16"
                fabric = Fabric(accelerator=self.device, devices=1, precision="bf16-mixed" if half else "32-true")
                self._rehearse(model, fabric.to_device(self._smallest(examples)))
                return _Fit(self, model, method, fabric, journal, seed).run(examples, validate)

    def _smallest(self, examples: Examples) -> Batch:
        """The first examples, one where the epoch's last batch will hold one alone."""
        count = len(examples) % self.batch_size or min(len(examples), self.batch_size)
        return examples.batch(range(min(count, 2)))

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


class _Fit:
    """One run in progress."""

    def __init__(
        self, trainer: Trainer, model: Model, method: Method, fabric: Any, journal: Journal, seed: int
    ) -> None:
        self.trainer, self.model, self.method = trainer, model, method
        self.fabric, self.journal, self.seed = fabric, journal, seed
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = trainer.optimiser.build(self.parameters)
        self.progress, self.states = journal.restore(model, self.optimiser)

    def run(self, examples: Examples, validate: Validate) -> Progress:
        trainer, progress = self.trainer, self.progress
        augment = None if trainer.augment == Augment() else trainer.augment
        tasks = tuple(self.model.tasks.values())
        loader = Loader(examples, trainer.batch_size, self.seed, True, augment, trainer.workers, tasks)
        with interruptible() as stop:
            while progress.epoch < trainer.epochs:
                self.model.train()
                for batch in self._batches(loader):
                    self._batch(batch, (progress.epoch + progress.batch / len(loader)) / trainer.epochs)
                    progress.batch += 1
                    self.journal.step(progress.epoch * len(loader) + progress.batch, trainer.epochs * len(loader))
                    if stop() or self.journal.due:
                        self._save()
                    if stop():
                        raise Interrupted
                self._end_epoch(validate, (progress.epoch + (len(loader) - 1) / len(loader)) / trainer.epochs)
                if stop():
                    raise Interrupted
        return progress

    def _batches(self, loader: Loader) -> Iterator[Batch]:
        """The rest of the epoch; where a file cannot be read, what was learnt so far is saved."""
        try:
            yield from loader(self.progress.epoch, self.progress.batch)
        except TestudoError:
            self._save()
            raise

    def _saved_on_error(self, validate: Validate) -> dict[str, float]:
        """The model's scores; where a file cannot be read, the epoch is saved and waits for its validation."""
        try:
            return validate(self.model)
        except TestudoError:
            self._save()
            raise

    def _rate(self, done: float) -> float:
        """The learning rate of the batch before which ``done`` (0 to 1) of the run is behind us."""
        return self.trainer.optimiser.lr * self.trainer.schedule.at(done)

    def _batch(self, batch: Batch, done: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(done)
        batch = self.fabric.to_device(batch)
        # other ids in every epoch: an attack's random start is a function of the id
        drawn = Batch(batch.images, batch.targets, rekey(batch.ids, self.seed, self.progress.epoch))
        steps = self.method.steps(self.model, drawn)
        while True:
            with self.fabric.autocast():
                terms = next(steps, None)
            if terms is None:
                return
            self._update(terms)

    def _update(self, terms: dict[str, Tensor]) -> None:
        total = torch.stack([term.float() for term in terms.values()])
        if not bool(total.isfinite().all()):
            name = next(name for name, term in terms.items() if not bool(term.isfinite()))
            raise TestudoError(
                f"the loss term {name!r} is no longer finite in epoch {self.progress.epoch + 1}; "
                f"try a smaller learning rate (the last good checkpoint is in {self.journal.folder})"
            )
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward((self._weights(tuple(terms), total.detach()) * total).sum())
        self.optimiser.step()
        self.progress.add({name: float(term.detach()) for name, term in terms.items()})

    def _weights(self, names: tuple[str, ...], losses: Tensor) -> Tensor:
        balance = self.method.balance
        if balance is None:
            return torch.ones_like(losses)
        prefix = f"balance.{'+'.join(names)}/"
        kept: State = {
            key.removeprefix(prefix): value.to(losses.device)
            for key, value in self.states.items()
            if key.startswith(prefix)
        }
        weights, state = balance.weigh(kept or balance.start(losses, names), losses)
        self.states |= {prefix + key: value for key, value in state.items()}
        return weights

    def _end_epoch(self, validate: Validate, done: float) -> None:
        progress, trainer = self.progress, self.trainer
        number = progress.epoch + 1
        due = number % trainer.validate_every == 0 or number == trainer.epochs
        found = self._saved_on_error(validate) if due else None  # before the epoch's means are drawn and forgotten
        record: dict[str, Any] = {"epoch": number, "epochs": trainer.epochs, "steps": progress.steps}
        record["lr"] = self._rate(done)  # not the optimiser's: going on, this session may have had no batch yet
        record["terms"] = progress.means()
        if found is not None:
            record["validation"], score, best = found, found["score"], progress.best
            record["best"] = best is None or score > best or best != best  # a score that is NaN gives way
            if record["best"]:
                progress.best = score
                self.journal.keep_best(self.model, record)
        progress.epoch, progress.batch = number, 0
        self.journal.end_epoch(progress, record)
        self._save()
        self.journal.write_log(progress)

    def _save(self) -> None:
        self.journal.save(self.model, self.optimiser, self.progress, self.states)
