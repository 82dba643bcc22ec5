"""Data seen by people: what sets there are, whether one is sound, what it looks like."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from testudo.data.batch import Batch
from testudo.data.dataset import DataSet, Examples
from testudo.data.splits import evenly
from testudo.data.tally import Tally
from testudo.errors import TestudoError, one_line
from testudo.registry import DATA
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.dense import DenseTask
from testudo.tasks.paint import painted
from testudo.tasks.task import Task

COLUMNS = 8  # of panels on a sheet, at least one example
SIDE = 1.8  # inches across a panel


class Listed(NamedTuple):
    """A registered data set: its name, its first sentence, its options with their defaults."""

    name: str
    summary: str
    options: str


@dataclasses.dataclass(frozen=True)
class SplitReport:
    """What is in a split.

    ``labels`` gives for each task how often each class, or each label, occurs ("unknown" among them), or
    the least, mean and greatest number; for a segmentation the shares of pixels.
    """

    split: str
    count: int
    channels: int
    size: tuple[int, int]
    note: str
    fingerprint: str
    labels: Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Report:
    """What is in a data set.

    ``mean`` and ``std`` are those that models normalise with, ``duplicates`` the images that occur twice, ``doubts``
    what can be read but looks wrong. Where there are ``problems`` the rest is empty, unless they can be ``skipped``:
    then the rest is about the other examples.
    """

    splits: tuple[SplitReport, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    duplicates: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def listing() -> list[Listed]:
    """Every registered data set.

    >>> [row.name for row in listing()][:3]
    ['array', 'chexpert', 'cifar10']
    """
    rows = []
    for name in DATA.names():
        cls = DATA.get(name)
        options = ", ".join(_option(part) for part in dataclasses.fields(cls))
        rows.append(Listed(name, " ".join((cls.__doc__ or "").split("\n\n")[0].split()), options))
    return rows


def check(dataset: DataSet) -> Report:
    """Go through all of a data set; what is wrong with it is in the report, not raised.

    >>> from testudo.data.digits import Digits
    >>> report = check(Digits())
    >>> [(part.split, part.count) for part in report.splits], report.problems
    ([('train', 1047), ('val', 150), ('test', 600)], ())
    """
    try:
        problems = tuple(dataset.check())
        if problems and not getattr(dataset, "skip_bad", False):
            return Report(problems=problems)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubts are in the report
            loaded = {split: dataset.load(split) for split in dataset.splits}
        splits = tuple(_report(name, examples, dataset.tasks()) for name, examples in loaded.items())
        mean, std = dataset.statistics()
        doubts = tuple(dataset.doubts())
    except TestudoError as error:
        return Report(problems=(str(error),))
    return Report(splits, mean, std, tuple(_duplicates(loaded)), doubts=doubts, skipped=problems)


def show(dataset: DataSet, out: str | Path, split: str = "train", count: int = 25) -> Path:
    """Write ``count`` images, evenly spaced over ``split``, with their labels as one PNG; returns its path.

    Labels are told in words, those of dense tasks in colours beside their image (:mod:`testudo.tasks.paint`).

    Raises:
        TestudoError: ``out`` is no .png file or cannot be written, or the data cannot be loaded.
    """
    target = Path(out)
    if target.suffix.lower() != ".png" or count < 1:
        raise TestudoError(f"show writes one or more images to a .png file, got {count} and {str(out)!r}")
    examples = dataset.load(split)
    batch = examples.batch(evenly(count, len(examples)))
    count = len(batch)
    panels = [panel for index in range(count) for panel in _panels(dataset.tasks(), batch, index)]
    width = len(panels) // count  # of an example: its image, and its maps
    columns = width * max(1, min(count, COLUMNS // width))  # whole examples
    rows = -(-len(panels) // columns)
    lines = 1 + max(title.count("\n") for title, _ in panels)
    height = SIDE * examples.size[0] / examples.size[1] + 0.12 * lines + 0.1
    figure = Figure(figsize=(SIDE * columns, height * rows + 0.4), layout="constrained")  # no pyplot: no global state
    figure.suptitle(f"{type(dataset).__name__} {split}: {count} of {len(examples):,}")
    for place, (title, picture) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(title.replace("$", r"\$"), fontsize=7)  # matplotlib reads $ as mathematics
        axes.set_axis_off()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=120)
    except OSError as error:
        raise TestudoError(f"cannot write {str(target)!r}: {one_line(error)}") from error
    return target


def _panels(tasks: tuple[Task, ...], batch: Batch, index: int) -> list[tuple[str, NDArray[np.floating]]]:
    """An example's image and dense labels, each with its title; the first one's tells the other labels."""
    targets = {task: batch.targets[task.name][index] for task in tasks}
    words = [f"id {int(batch.ids[index])}", *(_words(t, x) for t, x in targets.items() if not t.dense)]
    image = batch.images[index].permute(1, 2, 0).numpy()
    panels = [("\n".join(words), image[:, :, 0] if image.shape[2] == 1 else image)]
    for task, target in targets.items():
        if isinstance(task, DenseTask):
            panels.append((task.name, painted(task, [target])[0]))
    return panels


def _option(part: dataclasses.Field[object]) -> str:
    if part.default is not dataclasses.MISSING:
        return f"{part.name}={part.default!r}"
    return part.name if part.default_factory is dataclasses.MISSING else f"{part.name}={part.default_factory()!r}"


def _report(split: str, examples: Examples, tasks: tuple[Task, ...]) -> SplitReport:
    tallies = {task.name: Tally(task) for task in tasks}
    for part in examples.parts():
        for name, values in examples.batch(part).targets.items():
            tallies[name].add(values)
    labels = {name: tally.told() for name, tally in tallies.items()}
    return SplitReport(
        split, len(examples), examples.channels, examples.size, examples.note, examples.fingerprint(), labels
    )


def _duplicates(loaded: Mapping[str, Examples]) -> list[str]:
    """A line for each pair of splits (or split with itself) that shares images, by their content."""
    first: dict[bytes, tuple[str, int]] = {}
    shared: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for split, examples in loaded.items():
        for name, digest in zip(examples.ids.tolist(), examples.images.digests(), strict=True):
            known = first.setdefault(digest, (split, name))
            if known != (split, name):
                shared.setdefault((split, known[0]), []).append((name, known[1]))
    return [
        f"{len(pairs):,} images of {split} occur in {other} too (id {pairs[0][0]} is id {pairs[0][1]})"
        for (split, other), pairs in shared.items()
    ]


def _words(task: Task, target: Tensor) -> str:
    """What a label says, in a few words."""
    if not task.valid(target[None])[0]:
        return f"{task.name}: ?"
    if isinstance(task, Classification):
        value = task.labels[int(target)] if task.labels else str(int(target))
    elif isinstance(task, MultiLabel):
        value = ", ".join(name for name, flag in zip(task.labels, target.tolist(), strict=True) if flag == 1) or "none"
    else:
        value = ", ".join(f"{number:.4g}" for number in torch.atleast_1d(target).flatten()[:3].tolist())
    return f"{task.name}: {value}"
