"""More to learn from: training images joined by those of another data set, labelled by a model, say, or generated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from testudo.data.borrowed import borrowed, told
from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.joined import Joined
from testudo.data.splits import generator
from testudo.data.wrapped import Wrapped, undivided
from testudo.errors import TestudoError

FURTHER = 2**62  # ids of further examples count from here; no data set's own are as large


@dataclass(frozen=True)
class Extended(Wrapped):
    """The training images of ``data`` joined by those of ``extra``; val, test and tasks are those of ``data``.

    Labels of ``extra`` are taken over by the name of their task, and within it by the name of their class or label
    (by their number where ``extra`` has no names). Tasks that ``extra`` lacks are unknown for its images, and derived
    tasks of ``data`` are derived for them too. All training images of ``extra`` are used: a share that it would hold
    out of them for val and test is 0.

    Carmon et al. (2019, https://arxiv.org/abs/1905.13736) fill half of every batch with extra images, drawn anew
    all the time, and count as many batches an epoch as if there were none. Here an epoch goes through every image of
    both at least once, in one shuffled order; of the side that is too small for the asked share the images come
    again, equally often to within one time. So batches have the share on average, not each, and an epoch is longer:
    choose fewer of them.

    Args:
        data: the data set with the labels that count.
        extra: further images of the same size and number of channels.
        share: of the examples of an epoch, how many are extra; above 0 and below 1.
        labels: a table of ``id`` and a column for each task, as ``testudo data label`` writes it, which labels the
            images of ``extra``; others than those in it are left out. Empty: ``extra`` has labels of its own.
        seed: decides which images come once more often than others.

    Raises:
        TestudoError: images or labels that do not fit together, or whatever is wrong with either set.

    >>> from testudo.data.digits import Digits
    >>> train = Extended(Digits(), Digits(seed=1), share=0.75).load("train")
    >>> len(train), train.note.partition(": ")[2]
    (4188, 'those of the data come 1 times, the extra ones 3 times')
    """

    extra: DataSet
    share: float = 0.5
    labels: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise TestudoError(f"extended: share must be above 0 and below 1, got {self.share}")

    def check(self) -> list[str]:
        """One line for everything wrong with the files of ``data``, then with the training images of ``extra``."""
        try:
            return [*self.data.check(), *undivided(self.extra).load("train").problems()]
        except TestudoError as error:
            return [*self.data.check(), str(error)]

    def read(self, split: str) -> Examples:
        """The examples of ``split``, joined for train."""
        examples = self.data.read(split)
        if split != "train":
            return examples
        if examples.maps is not None:
            kind = type(self.data).__name__
            raise TestudoError(f"extended: labels that stay in files, as those of {kind}, cannot be joined")
        extra, tasks = undivided(self.extra), self.data.labelled()
        more = extra.load("train")
        given = told(self.labels, more.ids, tasks) if self.labels else None
        if given is not None:
            more = replace(more.take(given.rows), targets=given.targets)
        targets = borrowed(tasks, examples.targets, more, given.tasks if given else extra.tasks())
        return self._joined(examples, more, targets)

    def _joined(self, examples: Examples, more: Examples, targets: dict[str, Tensor]) -> Examples:
        """Both, each as often as the share wants."""
        counts = _counts(len(examples), len(more), self.share)
        own, other = (_again(len(part), n, self.seed) for part, n in zip((examples, more), counts, strict=True))
        try:
            images = Joined((examples.images, more.images), torch.cat([own, other + len(examples)]))
        except TestudoError as error:
            raise TestudoError(f"extended: {error}; has the extra data set a field size?") from error
        every = {name: torch.cat([values[own], targets[name][other]]) for name, values in examples.targets.items()}
        further = torch.arange(len(images) - len(examples)) + FURTHER
        times = [f"{count / size:.3g}" for count, size in zip(counts, (len(examples), len(more)), strict=True)]
        note = (
            f"{len(more):,} extra training images make up {self.share:.3g} of an epoch: those of the data come "
            f"{times[0]} times, the extra ones {times[1]} times"
        )
        told_of_extra = f"extra: {more.note}" if more.note else ""
        return Examples(images, every, torch.cat([examples.ids, further]), joined(examples.note, note, told_of_extra))


def _counts(own: int, other: int, share: float) -> tuple[int, int]:
    """How many examples of each an epoch has: the fewest of which a ``share`` is other, with no image left out.

    >>> _counts(50, 500, 0.5), _counts(50, 20, 0.5), _counts(100, 20, 0.2)
    ((500, 500), (50, 50), (100, 25))
    """
    wanted = round(own * share / (1 - share))
    return (own, wanted) if wanted >= other else (round(other * (1 - share) / share), other)


def _again(size: int, count: int, seed: int) -> Tensor:
    """(count,) rows of ``size``: all in their order, again and again, then some of them, drawn."""
    whole, rest = divmod(count, size)
    some = torch.randperm(size, generator=generator(seed))[:rest].sort().values
    return torch.cat([torch.arange(size).repeat(whole), some])
