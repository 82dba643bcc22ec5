"""A run folder's diary: the checkpoint to continue from, the best weights, a JSON line per epoch."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from testudo import tensor_file
from testudo.errors import TestudoError, one_line
from testudo.files import SUM, from_json, sweep, to_json, write_atomic
from testudo.models.start import BEST
from testudo.processes import rank, told
from testudo.training import checkpoint

LAST, LOG = "last.safetensors", "log.jsonl"
SAVE_EVERY = 120.0  # seconds between checkpoints inside a long epoch


class Watcher(Protocol):
    """Who is told how training goes: a progress bar, TensorBoard."""

    def step(self, done: int, total: int) -> None:
        """``done`` of ``total`` batches of the whole run are behind us."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch has ended; ``record`` is its line in the log."""


@dataclass
class Progress:
    """Where a run stands; all of it is in the checkpoint, so that a run can go on from any batch.

    Attributes:
        epoch, batch: the next batch to train on.
        steps: optimiser steps so far.
        skipped: steps left out in the epoch so far, for a term that was not finite.
        best: the best validation score so far, None before the first.
        sums, counts: by term name, over the epoch so far.
        log: the records of the epochs that have ended.
        seconds: spent so far, over all sessions.
    """

    epoch: int = 0
    batch: int = 0
    steps: int = 0
    skipped: int = 0
    best: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, terms: dict[str, float]) -> None:
        """Count one step's terms into the epoch's means."""
        self.steps += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The epoch's mean of each term, and a fresh count."""
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts, self.skipped = {}, {}, 0
        return means


class Journal:
    """Saves and restores a run in ``folder``, and tells the watchers; of several processes, the first alone writes."""

    def __init__(self, folder: Path, watchers: tuple[Watcher, ...] = ()) -> None:
        self.folder = folder
        self.watchers = watchers
        self._saved = self._clock = time.monotonic()

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Progress, dict[str, torch.Tensor]]:
        """Where the last session left off, and all tensors but model's and optimiser's; fresh where there was none.

        Raises:
            TestudoError: the checkpoint is damaged, of another model, or none to continue from.
        """
        if rank() == 0:
            sweep(self.folder)
        told(None)  # nobody reads before that
        path = self.folder / LAST
        if not path.exists():
            return Progress(), {}
        tensors, facts = tensor_file.load(path)
        try:
            progress = Progress(**facts["progress"])
            checkpoint.unpack(tensors, model, optimiser)
            torch.set_rng_state(tensors["rng"])
        except TestudoError as error:
            raise TestudoError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise TestudoError(f"{path} is no checkpoint that training can go on from: {one_line(error)}") from error
        self.write_log(progress)  # a kill may have come between a checkpoint and its log line
        own = ("model.", "optimiser.", "rng")
        return progress, {name: value for name, value in tensors.items() if not name.startswith(own)}

    def save(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        progress: Progress,
        states: dict[str, torch.Tensor],
    ) -> None:
        """Put everything that the rest of the run depends on into one file."""
        now = time.monotonic()
        progress.seconds += now - self._clock
        self._clock = self._saved = now
        if rank() > 0:
            return
        tensors = {**checkpoint.pack(model, optimiser), **states, "rng": torch.get_rng_state()}
        tensor_file.save(self.folder / LAST, tensors, {"progress": vars(progress)})

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint inside an epoch."""
        return time.monotonic() - self._saved > SAVE_EVERY

    def keep_best(self, model: nn.Module, record: dict[str, Any]) -> None:
        """Write the weights that scored best so far."""
        if rank() > 0:
            return
        weights = {f"model.{name}": value for name, value in model.state_dict().items()}
        facts = {key: value for key, value in record.items() if key != "seconds"}
        tensor_file.save(self.folder / BEST, weights, facts)

    def end_epoch(self, progress: Progress, record: dict[str, Any]) -> None:
        """Tell the watchers; called before the checkpoint, which holds the log."""
        record["seconds"] = round(progress.seconds + time.monotonic() - self._clock, 3)
        progress.log.append(record)
        for watcher in self.watchers:
            watcher.epoch(record)

    def write_log(self, progress: Progress) -> None:
        """The log, a JSON line per epoch, each with its own checksum."""
        if rank() > 0:
            return
        lines = "".join(to_json(record) + "\n" for record in progress.log)
        write_atomic(self.folder / LOG, lines)

    def step(self, done: int, total: int) -> None:
        """Tell the watchers that a batch is done."""
        for watcher in self.watchers:
            watcher.step(done, total)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records that :meth:`Journal.write_log` wrote.

    Raises:
        ValueError: a line is no JSON, does not match its checksum, or is not that of the next epoch.
    """
    lines = path.read_bytes().splitlines()
    log = [from_json(line) for line in lines]
    sealed = {SUM.encode() in line for line in lines}  # none is in an older version's
    if len(sealed) > 1 or [type(r) is dict and r.get("epoch") for r in log] != list(range(1, len(log) + 1)):
        raise ValueError("it does not hold one line for each epoch from the first on")
    return log


@contextmanager
def interruptible() -> Generator[Callable[[], bool], None, None]:
    """Within this block the first Ctrl-C only sets a flag, which the yielded function reads; a second one stops."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
