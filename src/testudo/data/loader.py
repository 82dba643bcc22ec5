"""From a split to batches: order, augmentation, worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.dataset import Examples
from testudo.data.splits import generator
from testudo.errors import TestudoError
from testudo.processes import part
from testudo.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Loader:
    """The batches of an epoch.

    The order is a function of (seed, epoch), an example's augmentation of (seed, epoch, its id): the same
    batches come whatever the number of workers and wherever in the epoch one starts. No global random
    state is read or changed.

    Args:
        examples: the split.
        batch_size: examples in a batch; the last batch of an epoch may be smaller, none is dropped.
        seed: decides order and augmentation.
        shuffle: a new order in each epoch, or always that of ``examples``.
        augment: applied to every batch, or None.
        workers: processes that read and augment ahead; 0 does it here.
        tasks: batches have the targets of these alone; none means all targets. An augmentation that moves pixels
            must be told the tasks of dense targets.
        share: which process this is, of how many: each batch is spread over them, and this is one's part.

    Raises:
        TestudoError: a batch size below 1 or a negative number of workers.

    >>> from testudo.data.digits import Digits
    >>> loader = Loader(Digits().load("val"), batch_size=64, shuffle=True)
    >>> [len(batch) for batch in loader(epoch=3)], len(loader)
    ([64, 64, 22], 3)
    """

    examples: Examples
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    augment: Augment | None = None
    workers: int = 0
    tasks: tuple[Task, ...] = ()
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            found = f"{self.batch_size} and {self.workers}"
            raise TestudoError(f"batch_size must be at least 1 and workers at least 0, got {found}")

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.examples) // self.batch_size)

    def __call__(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of ``epoch`` from number ``start`` on (as if those before had been taken)."""
        whole = list(self.order(epoch).split(self.batch_size))[start:] if len(self.examples) else []
        plan = [rows[part(len(rows), *self.share)] for rows in whole]
        made = _Batches(self, plan, epoch)
        if not self.workers or not plan:
            for number in range(len(plan)):
                yield made.get(number)
            return
        # DataLoader draws the seeds of its workers from this generator rather than from the global one
        options: dict[str, Any] = {"generator": torch.Generator(), "collate_fn": _as_it_is}
        for batch in DataLoader(made, batch_size=None, num_workers=self.workers, **options):
            if isinstance(batch, TestudoError):
                raise batch
            yield batch

    def places(self, number: int) -> Tensor:
        """Where the examples of this process's part of batch ``number`` stand in the whole batch."""
        size = min(self.batch_size, len(self.examples) - number * self.batch_size)
        return torch.arange(size)[part(size, *self.share)]

    def order(self, epoch: int) -> Tensor:
        """(N,) the indices of the examples in the order of ``epoch``."""
        if not self.shuffle:
            return torch.arange(len(self.examples))
        return torch.randperm(len(self.examples), generator=generator(self.seed, epoch))


class _Batches(Dataset[Batch | TestudoError]):
    """The planned batches by number, as DataLoader wants them."""

    def __init__(self, loader: Loader, plan: list[Tensor], epoch: int) -> None:
        self._loader = loader
        self._plan = plan
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._plan)

    def get(self, number: int) -> Batch:
        loader = self._loader
        names = [task.name for task in loader.tasks] or None
        batch = loader.examples.batch(self._plan[number], names)
        return loader.augment(batch, loader.seed, self._epoch, loader.tasks) if loader.augment else batch

    def __getitem__(self, index: int) -> Batch | TestudoError:
        # DataLoader re-raises a worker's error with its whole traceback as the message; ours is one line
        try:
            return self.get(index)
        except TestudoError as error:
            return error


def _as_it_is(batch: Batch | TestudoError) -> Batch | TestudoError:
    return batch
