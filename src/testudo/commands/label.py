"""``testudo data label``: what a trained run says of images that have no labels, as a manifest."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from testudo.commands.attack import ENDINGS
from testudo.data.dataset import Examples
from testudo.data.faults import refuse
from testudo.data.images import Files, Images
from testudo.data.table import read
from testudo.errors import TestudoError
from testudo.evaluation.evaluate import Evaluation
from testudo.files import write_atomic
from testudo.labelling import Answer, answers, tellable
from testudo.progress import meter
from testudo.run import Run
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression
from testudo.tasks.task import Task

KINDS = {Classification: "classification", MultiLabel: "multilabel", Regression: "regression"}


@dataclass(frozen=True)
class Labelling:
    """What ``testudo data label`` labels, and when it would rather not."""

    data: str = ""
    """what label labels: a folder of images, a manifest (.csv, .parquet), or the name of a data set (see --split)."""
    confidence: float = 0.0
    """leave out images whose main task is told with less (the probability of the class; of several labels, of the
    least certain), and leave other tasks' cells blank where they are."""
    batch_size: int = 128
    """images at a time when labelling."""
    device: str = "auto"
    """where to label: a torch device, or auto for the GPU where there is one."""

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise TestudoError(f"--confidence must be 0 to 1, got {self.confidence}")


class _Source(NamedTuple):
    """Images to be labelled, of the size that the run knows."""

    images: Images
    ids: Tensor
    paths: tuple[Path, ...]  # none: they are no files


def label(run: Path, source: str | Examples, out: Path, how: Labelling, skip_bad: bool) -> None:
    """Write what ``run`` says of ``source`` to the CSV file ``out``, and tell how many images were kept.

    Args:
        run: a run folder.
        source: a folder of images, a manifest file, or a loaded split of a data set.
        out: a manifest where images are files; else a table of ids, for the field ``labels`` of ``extended``.
        how: see :class:`Labelling`.
        skip_bad: leave out images that cannot be read, rather than stop at one.
    """
    if out.suffix.lower() != ".csv":
        raise TestudoError(f"labels are written to a .csv file, got --out {str(out)!r}")
    trained = Run(run)
    model = Evaluation(how.batch_size, device=how.device).target(trained.model())
    tasks = tellable(model.tasks.values())
    if not tasks:
        raise TestudoError(f"{run}: none of its tasks has labels that fit into a cell of a table")
    found = _source(source, _shape(trained))
    rows, skipped = [], 0
    with meter(f"labelling by {trained.name}") as shown:
        for start in range(0, len(found.images), how.batch_size):
            part = torch.arange(start, min(start + how.batch_size, len(found.images)))
            kept = _readable(found.images, part) if skip_bad else part
            rows += answers(model, tasks, found.images, kept) if len(kept) else []
            skipped += len(part) - len(kept)
            shown((int(part[-1]) + 1) / len(found.images))
    sure = [row for row in rows if row.certainty[0] >= how.confidence]
    if not sure:
        raise TestudoError(f"no image is told with confidence {how.confidence:g} or more; nothing is written")
    write_atomic(out, _table(found, tasks, sure, how.confidence, out.parent))
    _tell(tasks, rows, how.confidence, out, bool(found.paths))
    if skipped:
        print(f"skipped: {skipped:,} images that cannot be read")


def _shape(trained: Run) -> tuple[int, int, int]:
    """Channels, height and width of the images that the run was trained on."""
    try:
        height, width = trained.recipe.data.load("val").size
    except TestudoError as error:
        raise TestudoError(
            f"the size of the images that {trained.name} was trained on is not known: {error}"
        ) from error
    return len(trained.facts["mean"]), height, width


def _source(source: str | Examples, shape: tuple[int, int, int]) -> _Source:
    if isinstance(source, Examples):
        if source.images.shape != shape:
            found, wanted = ("x".join(map(str, each)) for each in (source.images.shape, shape))
            raise TestudoError(f"images are {found}, the run was trained on {wanted}; see the data set's field size")
        return _Source(source.images, source.ids, ())
    place = Path(source)
    if place.is_dir():
        paths = tuple(sorted(path for path in place.rglob("*") if path.suffix.lower() in ENDINGS))
        if not paths:
            raise TestudoError(f"no image files in {source!r} (allowed: {', '.join(ENDINGS)})")
        return _Source(Files(paths, ("label",) * len(paths), shape, resize=True), torch.arange(len(paths)), paths)
    table = read(source)
    cells = table.column("image")
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            raise TestudoError(f"{table.where[row]}: column 'image' must hold the path of a file")
    paths = tuple(place.parent / cell for cell in cells)
    ids, problems = table.ids("id") if "id" in table.cells else (torch.arange(len(table)), [])
    refuse(problems)
    return _Source(Files(paths, table.where, shape, resize=True), ids, paths)


def _readable(images: Images, part: Tensor) -> Tensor:
    """Those of ``part`` that can be read."""
    return torch.tensor([index for index in part.tolist() if not images.take(torch.tensor([index])).problems()]).long()


def _table(source: _Source, tasks: list[Task], rows: list[Answer], confidence: float, folder: Path) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*(["image"] if source.paths else []), "id", *(task.name for task in tasks)])
    for row in rows:
        start = [_relative(source.paths[row.index], folder)] if source.paths else []
        cells = [c if p >= confidence else "" for c, p in zip(row.cells, row.certainty, strict=True)]
        writer.writerow([*start, int(source.ids[row.index]), *cells])
    return out.getvalue()


def _relative(path: Path, folder: Path) -> str:
    """A path as a manifest in ``folder`` may hold it: from there on where it lies below, else from the root."""
    whole, home = path.resolve(), folder.resolve()
    return str(whole.relative_to(home) if whole.is_relative_to(home) else whole)


def _tell(tasks: list[Task], rows: list[Answer], confidence: float, out: Path, files: bool) -> None:
    """How many images were kept, and what a recipe says to learn from them."""
    sure = [row for row in rows if row.certainty[0] >= confidence]
    print(f"{out}: {len(sure):,} of {len(rows):,} images, {tasks[0].name} told with confidence {confidence:g} or more")
    for place, task in enumerate(tasks[1:], 1):
        print(f"  {task.name}: {sum(row.certainty[place] >= confidence for row in sure):,} of them")
    if files:
        kinds = ", ".join(
            f'{task.name} = "{kind}"' for task in tasks for cls, kind in KINDS.items() if type(task) is cls
        )
        print(f'learn from them: kind = "manifest", file = {json.dumps(str(out))}, columns = {{{kinds}}}')
    else:
        print(f'learn from them: kind = "extended", labels = {json.dumps(str(out))}, and this data set as its extra')
