"""Rows that are made over hours, kept on disk as they come: a kill costs seconds, Ctrl-C the running batch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS, read_rows
from testudo.evaluation.seal import sealed
from testudo.files import held

SAVE_EVERY = 10.0  # seconds of work between two files


@dataclass(frozen=True)
class Kept:
    """The rows of one attack, in a file once they are all made; until then in parts, in a folder beside it.

    A part holds the rows of consecutive batches and is named by the size of a batch, its first batch and the one after
    its last. Parts of batches of another size are not used, since what is made of a batch may depend on its size to
    the last bit. What a damaged part held is made again. Of several processes that want the same rows one makes them.

    Args:
        path: the file.
        size: examples in a batch.
        write: puts bytes at a path, whole or not at all.
    """

    path: Path
    size: int
    write: Callable[[Path, bytes], None]

    @property
    def folder(self) -> Path:
        """Where parts are."""
        return self.path.with_suffix(".parts")

    def rows(self, make: Callable[[int], Iterator[pl.DataFrame]], watch: Callable[[int], None]) -> pl.DataFrame:
        """All rows, made first where they are not there yet.

        Args:
            make: the rows of each batch from number ``start`` on.
            watch: told how many batches are made, at first and after each; not called where all are there.

        Raises:
            TestudoError: the file is damaged, or cannot be written.
        """
        if not self.path.exists():
            with held(self.path.with_suffix(".lock")):
                if not self.path.exists():  # unless it was made while we waited
                    self.write(self.path, sealed(self._made(make, watch)))
        shutil.rmtree(self.folder, ignore_errors=True)
        return read_rows(self.path)

    def _made(self, make: Callable[[int], Iterator[pl.DataFrame]], watch: Callable[[int], None]) -> pl.DataFrame:
        found, kept = self._found()
        watch(kept)
        fresh: list[pl.DataFrame] = []  # not on disk yet
        saved = time.monotonic()
        try:
            for made in make(kept):
                fresh.append(made)
                watch(kept + len(fresh))
                if time.monotonic() - saved >= SAVE_EVERY:
                    found.append(self._save(fresh, kept))
                    kept, fresh = kept + len(fresh), []
                    saved = time.monotonic()
        except BaseException:  # Ctrl-C among them
            if fresh:
                self._save(fresh, kept)
            raise
        return pl.concat([pl.DataFrame(schema=ROWS), *found, *fresh])

    def _save(self, frames: list[pl.DataFrame], start: int) -> pl.DataFrame:
        part = pl.concat(frames)
        self.write(self.folder / f"{self.size}-{start}-{start + len(frames)}.parquet", sealed(part))
        return part

    def _found(self) -> tuple[list[pl.DataFrame], int]:
        """What is on disk of the batches from the first on without a gap, and their number."""
        frames, done = [], 0
        while paths := sorted(self.folder.glob(f"{self.size}-{done}-*.parquet"), key=_end):
            try:
                frames.append(read_rows(paths[-1]))
            except TestudoError:
                paths[-1].unlink(missing_ok=True)  # damaged
            else:
                done = _end(paths[-1])
        return frames, done


def _end(path: Path) -> int:
    """The batch after the last in a part's file."""
    return int(path.stem.rpartition("-")[2])
