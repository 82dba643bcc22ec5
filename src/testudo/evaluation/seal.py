"""A checksum inside a Parquet file: the format has none that readers check, and damage can abort the process.

The seal lies between the last column and the footer, where every Parquet reader skips it.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import polars as pl

from testudo.errors import TestudoError, one_line

MARK = b"testudo-sha256:"
TAIL = 8  # the footer's length, and "PAR1"


def sealed(rows: pl.DataFrame) -> bytes:
    """``rows`` as a Parquet file with a seal.

    >>> rows = pl.DataFrame({"a": [1, 2]})
    >>> pl.read_parquet(io.BytesIO(sealed(rows))).equals(rows)
    True
    """
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    plain = buffer.getvalue()
    place = len(plain) - TAIL - int.from_bytes(plain[-TAIL:-4], "little")
    return plain[:place] + MARK + hashlib.sha256(plain).hexdigest().encode() + plain[place:]


def unsealed(path: Path) -> pl.DataFrame:
    """The rows in a Parquet file, sealed or not; raises TestudoError where it is damaged or cannot be read."""
    try:
        content = path.read_bytes()
        before, mark, after = content.partition(MARK)
        if mark and hashlib.sha256(before + after[64:]).hexdigest().encode() != after[:64]:
            raise TestudoError(f"{path} is damaged: its content does not match its checksum; remove it and run again")
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as mistake:
        raise TestudoError(f"{path} is not a readable Parquet file: {one_line(mistake)}") from mistake
