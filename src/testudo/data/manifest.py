"""A user's own images: one CSV or Parquet file that names them and their labels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from testudo.data.columns import KINDS, Column, as_classes, as_flags, as_labels, as_numbers, guess, identifier
from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.faults import refuse
from testudo.data.images import GREY_MODES, Files, opened
from testudo.data.listed import MAPS, Listed
from testudo.data.splits import share, stratified
from testudo.data.table import Table, read
from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task

SPLIT, ID = "split", "id"  # columns of these names are used where there are any; others must exist


class _Parsed(NamedTuple):
    """What the table says; images are not opened for it."""

    table: Table
    columns: tuple[Column, ...]
    maps: list[tuple[str, str, str]]  # each task's name, and its column's name and kind
    left_out: tuple[str, ...]
    ids: Tensor
    parts: dict[str, Tensor]
    note: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Manifest(DataSet):
    """Images and labels listed in one table: an image per row, a task per column.

    Without ``columns`` every column other than image, split and id is a task, and its kind is inferred:
    words and up to 20 different whole numbers are classes (sorted), other numbers a regression. A column
    of one value, or mostly of different words, is left out; :meth:`describe` says what was taken for what.
    A blank cell is an unknown label. Task names are column names with ``_`` for other signs than letters
    and digits. Rows count from 1, the header apart.

    Without a split column rows are dealt out by ``seed``, in proportion to the classes of the first
    classification; where the column names no val (or test) rows, these are taken from train like this.

    Args:
        file: a ``.csv`` or ``.parquet`` file, read once per object.
        root: where relative image paths start, itself relative to the file's folder.
        image: the column of images: paths, or in Parquet also encoded bytes or the hub's {bytes, path}.
        split: the column that says train, val (valid, validation) or test; empty: none.
        id: the column of whole numbers that name the rows; empty or missing: they are numbered from 0.
        size: height and width to which images are resized (bilinear, with antialiasing); (0, 0): all have
            the size of the first and are left as they are.
        channels: 1 (grey) or 3 (RGB), to which images are converted; 0: as the first.
        columns: the kind of each task's column: classification, multilabel, regression or depth. Where given,
            other columns are no tasks. A multilabel column holds lists or words with ``|`` between
            (``|`` alone: none); where there is no column of that name, ``classes`` names columns of 0 and 1.
            A depth column holds paths: arrays (``.npy``) of metres, or images of more than 8 bits; its tasks come last.
        classes: the classes or labels of a column in their order; default: all that occur, sorted.
        depth_step: of depth images, in metres.
        val_share, test_share: shares of the rows, where the file does not say.
        seed: decides which rows.

    Raises:
        TestudoError: one line naming the file, and the row, column or image that is wrong, on use.
    """

    file: str
    root: str = ""
    image: str = "image"
    split: str = SPLIT
    id: str = ID
    size: tuple[int, int] = (0, 0)
    channels: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    depth_step: float = 0.001
    val_share: float = 0.1
    test_share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for column, kind in self.columns.items():
            if kind not in (*KINDS, *MAPS):
                raise unknown(f"kind of column {column!r}:", kind, (*KINDS, *MAPS))
        if self.channels not in (0, 1, 3):
            raise TestudoError(f"manifest: channels must be 1 (grey), 3 (RGB) or 0 (as the first), got {self.channels}")
        if min(self.size) < 0 or (min(self.size) == 0 and max(self.size) > 0):
            raise TestudoError(f"manifest: size must be height and width in pixels, or 0 and 0, got {self.size}")
        if not self.depth_step > 0:
            raise TestudoError(f"manifest: depth_step must be above 0, got {self.depth_step}")
        share(0, self.val_share, "manifest: val_share")
        share(0, self.test_share, "manifest: test_share")
        if self.val_share + self.test_share >= 1:
            found = f"{self.val_share} and {self.test_share}"
            raise TestudoError(f"manifest: val_share and test_share must leave rows for train, got {found}")

    def describe(self) -> list[str]:
        """What the file was taken for, line by line, for people."""
        parsed = self._sound()
        channels, height, width = self._images.shape
        colour = "grey" if channels == 1 else "RGB"
        counts = ", ".join(f"{len(rows):,} {name}" for name, rows in parsed.parts.items())
        how = "declared" if self.columns else "inferred"
        return [
            f"{self.file}: {len(parsed.table):,} rows, {height}x{width} {colour} images; {counts}",
            *([parsed.note] if parsed.note else []),
            *(f"{column.describe(parsed.parts['train'])} ({how})" for column in parsed.columns),
            *(f"{name}: {kind} in files ({how})" for name, _, kind in parsed.maps),
            *(f"left out: {words}" for words in parsed.left_out),
        ]

    def check(self) -> list[str]:
        """One line for each bad cell and each missing or unreadable image; empty where all is well."""
        try:
            problems = self._parsed.problems
        except TestudoError as error:  # the table itself cannot be used
            return [str(error)]
        images = Files(self._items, self._parsed.table.where, (3, 1, 1), resize=True)  # any image will do
        with suppress(TestudoError):  # no image can be read: each has its line then
            images = self._images
        maps = self._maps(images)
        return [*problems, *images.problems(), *(line for row in range(len(maps)) for line in maps.faults(row))]

    def read(self, split: str) -> Examples:
        """The rows of ``split``."""
        parsed = self._sound()
        if not len(parsed.parts[split]):
            raise TestudoError(f"{self.file}: no rows for split {split!r}")
        resized = f"images resized to {self.size[0]}x{self.size[1]} bilinearly" if any(self.size) else ""
        targets = {column.name: column.targets for column in parsed.columns}
        maps = self._maps(self._images) if parsed.maps else None
        every = Examples(self._images, targets, parsed.ids, joined(resized, parsed.note), maps=maps)
        return every.take(parsed.parts[split])

    def labelled(self) -> tuple[Task, ...]:
        """A task for every column of labels."""
        parsed = self._sound()
        dense = (MAPS[kind](name) for name, _, kind in parsed.maps)
        return (*(column.task(parsed.parts["train"]) for column in parsed.columns), *dense)

    def _sound(self) -> _Parsed:
        """The table, refused where a cell in it is wrong."""
        refuse(self._parsed.problems)
        return self._parsed

    @cached_property
    def _parsed(self) -> _Parsed:
        table = read(self.file)
        table.column(self.image)
        names, problems = ["train"] * len(table), []
        if table.has(self.split, SPLIT):
            names, problems = table.splits(self.split)
        ids, wrong = torch.arange(len(table)), []
        if table.has(self.id, ID):
            ids, wrong = table.ids(self.id)
        kinds, left_out = self._kinds(table)
        columns = tuple(self._encoded(table, name, kind) for name, kind in kinds.items() if kind in KINDS)
        maps = [(identifier(name), name, kind) for name, kind in kinds.items() if kind in MAPS and table.column(name)]
        _refuse_twins(self.file, [*(column.name for column in columns), *(name for name, _, _ in maps)])
        if "train" not in names:
            problems.append(f"{self.file}: no rows for split 'train'")
        parts, note = self._parts(names, columns)
        of_columns = [problem for column in columns for problem in column.problems]
        return _Parsed(table, columns, maps, left_out, ids, parts, note, (*problems, *wrong, *of_columns))

    def _kinds(self, table: Table) -> tuple[dict[str, str], tuple[str, ...]]:
        """The kind of each task's column, and what was left out and why."""
        unmatched = [name for name in self.classes if name not in (self.columns or table.cells)]
        if unmatched:
            raise unknown(f"column (in classes) in {self.file}:", unmatched[0], self.columns or table.cells)
        if self.columns:
            return self.columns, ()
        kinds, left_out = {}, []
        for name, values in table.cells.items():
            if name in (self.image, self.split, self.id):
                continue
            kind, reason = ("classification", "") if name in self.classes else guess(values)
            if kind:
                kinds[name] = kind
            else:
                left_out.append(f"{name} ({reason})")
        if not kinds:
            because = f"; left out: {', '.join(left_out)}" if left_out else ""
            raise TestudoError(f"{self.file}: no column of labels{because}")
        return kinds, tuple(left_out)

    def _encoded(self, table: Table, name: str, kind: str) -> Column:
        classes = tuple(self.classes.get(name, ()))
        try:
            if kind == "multilabel" and classes and name not in table.cells:
                return as_flags(name, {label: table.column(label) for label in classes}, table.where)
            if kind == "regression":
                return as_numbers(name, table.column(name), table.where)
            read_as = as_classes if kind == "classification" else as_labels
            return read_as(name, table.column(name), classes, table.where)
        except TestudoError as error:
            known = str(error) if self.file in str(error) else f"{self.file}: {error}"
            raise TestudoError(known) from error

    def _parts(self, names: list[str], columns: tuple[Column, ...]) -> tuple[dict[str, Tensor], str]:
        """The rows of each split, and how they were chosen where the file does not say."""
        rows = {s: torch.tensor([i for i, n in enumerate(names) if n == s], dtype=torch.int64) for s in self.splits}
        main = next((column for column in columns if column.kind == "classification"), None)
        classes = main.targets if main else torch.zeros(len(names), dtype=torch.int64)
        drawn = []
        total = len(rows["train"])
        for name, fraction in (("test", self.test_share), ("val", self.val_share)):
            count = min(share(total, fraction, f"{name}_share"), len(rows["train"]) - 1)
            if len(rows[name]) or count <= 0:
                continue
            chosen = stratified(classes[rows["train"]], count, self.seed)
            rows[name], rows["train"] = rows["train"][chosen], rows["train"][~chosen]
            drawn.append(f"{count:,} {name}")
        by = f" by class of {main.name}" if main else ""
        return rows, f"{' and '.join(drawn)} rows drawn at random{by} (seed {self.seed})" if drawn else ""

    def _maps(self, images: Files) -> Listed:
        """The depth of all rows, at the size of their images."""
        parsed, base = self._parsed, Path(self.file).parent / self.root
        files = {
            name: tuple(None if cell is None else base / str(cell) for cell in parsed.table.column(column))
            for name, column, _ in parsed.maps
        }
        return Listed(files, parsed.table.where, images.shape[1:], images.resize, self.depth_step)

    @cached_property
    def _items(self) -> tuple[Path | bytes, ...]:
        base = Path(self.file).parent / self.root
        return tuple(_item(cell, base) for cell in self._parsed.table.column(self.image))

    @cached_property
    def _images(self) -> Files:
        """The images of all rows, in the shape of the first that can be read unless the fields say another."""
        where = self._parsed.table.where
        shape = (self.channels, *self.size)
        if not all(shape):
            first = _first(self._items, where)
            channels = self.channels or (1 if first.mode in GREY_MODES else 3)
            shape = (channels, *(self.size if any(self.size) else (first.height, first.width)))
        return Files(self._items, where, shape, resize=any(self.size))


def _first(items: tuple[Path | bytes, ...], where: tuple[str, ...]) -> Image.Image:
    """The first image that can be read; raises TestudoError for the first of all where none can."""
    for item in items:
        with suppress(TestudoError):
            return opened(item, "")
    return opened(items[0], where[0])


def _item(cell: Any, base: Path) -> Path | bytes:
    """An image's bytes or path; no bytes where the cell is blank, which is told when the image is read."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if cell is None:
        return b""
    return cell if isinstance(cell, bytes) else base / str(cell)


def _refuse_twins(file: str, names: list[str]) -> None:
    twins = [name for name in names if names.count(name) > 1]
    if twins:
        raise TestudoError(f"{file}: two columns make a task called {twins[0]!r}; rename one")
