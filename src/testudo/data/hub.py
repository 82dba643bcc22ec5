"""Parquet files as the Hugging Face hub lays out image sets: encoded images beside their labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch

from testudo.data.dataset import Examples
from testudo.data.images import Files
from testudo.errors import TestudoError, one_line, unknown

IMAGE = "img"
INDEX = "original_index"  # optional: the place in the published order, where the file holds only some


def hub_files(root: Path, split: str) -> list[Path]:
    """The Parquet files of ``split`` in ``root`` or a folder in it, sorted."""
    found = [*root.glob(f"{split}*.parquet"), *root.glob(f"*/{split}*.parquet")]
    return sorted(file for file in found if file.is_file())


def read_table(file: Path, needed: list[str], optional: str = "") -> pl.DataFrame:
    """Columns of a Parquet file, all of them where none is named.

    Raises:
        TestudoError: the file is missing, cut short, or lacks a needed column.
    """
    if not file.is_file():
        raise TestudoError(f"missing file {str(file)!r}")
    try:
        known = pl.read_parquet_schema(file)
        wrong = [column for column in needed if column not in known]
        if wrong:
            raise unknown(f"column in {file}:", wrong[0], known)
        columns = [*needed, *([optional] if optional in known else [])]
        return pl.read_parquet(file, columns=columns or None)
    except TestudoError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # a damaged file can make polars panic
        raise TestudoError(f"{file}: not a readable Parquet file: {one_line(error)}") from error


def encoded(file: Path, column: pl.Series) -> list[bytes]:
    """The bytes of a column of images, binary or {bytes, path}; raises TestudoError naming a row without."""
    if isinstance(column.dtype, pl.Struct) and "bytes" in (part.name for part in column.dtype.fields):
        column = column.struct.field("bytes")
    if column.dtype != pl.Binary:
        raise TestudoError(f"{file}: column {IMAGE!r} must hold encoded images, got {column.dtype}")
    if column.null_count():
        row = column.is_null().arg_true()[0] + 1
        raise TestudoError(f"{file} row {row}: no image")
    return column.to_list()


def integers(file: Path, column: pl.Series) -> list[int]:
    """A column of whole numbers; raises TestudoError naming the row of a missing one."""
    if not column.dtype.is_integer():
        raise TestudoError(f"{file}: column {column.name!r} must hold integers, got {column.dtype}")
    if column.null_count():
        row = column.is_null().arg_true()[0] + 1
        raise TestudoError(f"{file} row {row}: no value in column {column.name!r}")
    return column.to_list()


def read_hub(files: list[Path], columns: Mapping[str, str], shape: tuple[int, int, int]) -> Examples:
    """The images of some Parquet files in their published order, not decoded yet.

    Args:
        files: all files of one split.
        columns: for each target name the column of its classes.
        shape: (C, H, W) of every image.

    Raises:
        TestudoError: naming the file, and the row or column, that is wrong.
    """
    items: list[bytes] = []
    where: list[str] = []
    labels: dict[str, list[int]] = {name: [] for name in columns}
    ids: list[int] = []
    for file in files:
        table = read_table(file, [IMAGE, *columns.values()], optional=INDEX)
        for name, column in columns.items():
            labels[name] += integers(file, table[column])
        known = INDEX in table.columns
        ids += integers(file, table[INDEX]) if known else range(len(items), len(items) + len(table))
        items += encoded(file, table[IMAGE])
        where += [f"{file} row {row + 1}" for row in range(len(table))]
    targets = {name: torch.tensor(values, dtype=torch.int64) for name, values in labels.items()}
    numbers = torch.tensor(ids, dtype=torch.int64)
    images = Files(tuple(items), tuple(where), shape)
    return Examples(images, targets, numbers).take(numbers.argsort())
