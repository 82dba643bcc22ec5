"""One run in progress: batches, steps, epochs, saving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.dataset import Examples
from testudo.data.loader import Loader
from testudo.errors import TestudoError
from testudo.memory import give_back
from testudo.models.model import Model
from testudo.processes import count, rank, together, total
from testudo.tensors import rekey
from testudo.training.average import Average
from testudo.training.journal import Journal, Progress, interruptible
from testudo.training.methods.base import Method
from testudo.training.update import update_of

if TYPE_CHECKING:
    from testudo.training.trainer import Trainer

Validate = Callable[[Model], dict[str, float]]
MOST_SKIPPED = 50  # steps in a row


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during training, after everything was saved."""


class Fit:
    """A run in progress; see :meth:`testudo.training.trainer.Trainer.fit`."""

    def __init__(
        self, trainer: Trainer, model: Model, method: Method, fabric: Any, journal: Journal, seed: int
    ) -> None:
        self.trainer, self.model, self.method = trainer, model, method
        self.fabric, self.journal, self.seed = fabric, journal, seed
        self.optimiser = trainer.optimiser.build([p for p in model.parameters() if p.requires_grad])
        self.progress, states = journal.restore(model, self.optimiser)
        self.states = {name: value.to(fabric.device) for name, value in states.items()}
        self.average = Average(model, trainer.ema, self.states) if trainer.ema else None
        self.update = update_of(model, method, self.states, trainer.accumulate)
        self.skipped = 0  # in a row

    def run(self, examples: Examples, validate: Validate) -> Progress:
        """Every epoch that is left."""
        trainer, progress = self.trainer, self.progress
        augment = None if trainer.augment == Augment() else trainer.augment
        tasks = tuple(self.model.tasks.values())
        share = rank(), count()
        loader = Loader(examples, trainer.batch_size, self.seed, True, augment, trainer.workers, tasks, share)
        with interruptible() as asked:
            while progress.epoch < trainer.epochs:
                self.model.train()
                for batch in self._batches(loader):
                    done = (progress.epoch + progress.batch / len(loader)) / trainer.epochs
                    self._batch(batch, loader.places(progress.batch), done)
                    progress.batch += 1
                    self.journal.step(progress.epoch * len(loader) + progress.batch, trainer.epochs * len(loader))
                    self._pause(asked(), self.journal.due)
                self._end_epoch(validate, (progress.epoch + (len(loader) - 1) / len(loader)) / trainer.epochs)
                self._pause(asked(), False)
        return progress

    def _pause(self, stop: bool, due: bool) -> None:
        """Save where it is time to, or somebody wants to stop, and then stop; all processes together."""
        if together():
            flags = total(torch.tensor([stop, due and rank() == 0], dtype=torch.float32, device=self.fabric.device))
            stop, due = (bool(flag > 0) for flag in flags)
        if stop or due:
            self._save()
        if stop:
            raise Interrupted

    def _batches(self, loader: Loader) -> Iterator[Batch]:
        """The rest of the epoch; where a file cannot be read, what was learnt so far is saved."""
        try:
            yield from loader(self.progress.epoch, self.progress.batch)
        except TestudoError:
            self._save()
            raise

    def _scores(self, validate: Validate) -> dict[str, float]:
        """The scores of the weights that are kept; where a file cannot be read, the epoch waits for them."""
        try:
            return validate(self._kept())
        except TestudoError:
            self._save()
            raise

    def _kept(self) -> Model:
        """The model whose weights are validated and kept."""
        return self.model if self.average is None else self.average.model

    def _rate(self, done: float) -> float:
        """The learning rate of the batch before which ``done`` (0 to 1) of the run is behind us."""
        return self.trainer.optimiser.lr * self.trainer.schedule.at(done)

    def _batch(self, batch: Batch, places: Tensor, done: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(done)
        batch, epoch = self.fabric.to_device(batch), self.progress.epoch
        for number, partner in enumerate(self.trainer.partners):
            batch = partner(self.model, batch, self.seed + number, epoch)
        # other ids in every epoch: an attack's random start is a function of the id
        drawn = Batch(batch.images, batch.targets, rekey(batch.ids, self.seed, epoch))
        parts = [chosen for chosen in torch.arange(len(drawn)).chunk(self.trainer.accumulate) if len(chosen)]
        posed = (self.method.pose(drawn[rows], self.model.tasks, places[rows].to(drawn.ids.device)) for rows in parts)
        steps = [self.method.steps(self.model, part, self.states) for part in posed]
        shares = [len(rows) / len(drawn) for rows in parts]
        while self._step(steps, shares):
            pass
        if self.average is not None:  # not after each step, when a method may not yet have put the weights back
            self.average.follow(self.model, self.progress.steps)

    def _step(self, steps: list[Iterator[dict[str, Tensor]]], shares: list[float]) -> bool:
        """One optimiser step over all parts of a batch; False where the method wants no more of them."""
        self.update.begin()
        bad = None
        for terms_of, share in zip(steps, shares, strict=True):
            with self.fabric.autocast(), self.update.watching():
                terms = next(terms_of, None)
            if terms is None:
                return False
            bad = bad or self.update.add(terms, share)
        if bad is not None:
            self._skip(bad)
            return True
        self.update.finish()
        self.optimiser.step()
        self.skipped = 0
        self.progress.add({name: float(value) for name, value in self.update.values.items()})
        return True

    def _skip(self, name: str) -> None:
        """Leave a step out whose term ``name`` is not finite, or stop the run."""
        self.skipped += 1
        self.progress.skipped += 1
        if self.trainer.bad_term == "stop" or self.skipped > MOST_SKIPPED:
            raise self._diverged(f"the loss term {name!r}")

    def _end_epoch(self, validate: Validate, done: float) -> None:
        progress, trainer = self.progress, self.trainer
        number = progress.epoch + 1
        due = number % trainer.validate_every == 0 or number == trainer.epochs
        found = self._scores(validate) if due else None  # before the epoch's means are drawn and forgotten
        record: dict[str, Any] = {"epoch": number, "epochs": trainer.epochs, "steps": progress.steps}
        record["lr"] = self._rate(done)  # not the optimiser's: going on, this session may have had no batch yet
        if progress.skipped:
            record["skipped"] = progress.skipped
        record["terms"] = progress.means()
        if found is not None:
            record["validation"], score, best = found, found["score"], progress.best
            record["best"] = best is None or score > best or best != best  # a score that is NaN gives way
            if record["best"]:
                progress.best = score
                self.journal.keep_best(self._kept(), record)
        progress.epoch, progress.batch = number, 0
        self.journal.end_epoch(progress, record)
        give_back()
        self._save()
        self.journal.write_log(progress)

    def _save(self) -> None:
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise self._diverged("a weight")
        kept = {} if self.average is None else self.average.states()
        self.journal.save(self.model, self.optimiser, self.progress, {**self.states, **kept})

    def _diverged(self, what: str) -> TestudoError:
        return TestudoError(
            f"{what} is no longer finite in epoch {self.progress.epoch + 1}; "
            f"try a smaller learning rate (the last good checkpoint is in {self.journal.folder})"
        )
