"""A checksum inside a Parquet file: the format has none that readers check, and damage can abort the process.

The seal lies between the last column and the footer, where every Parquet reader skips it. It has two ends, so that
damage to one of them does not make the file look like one without.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import polars as pl

from testudo.errors import TestudoError, one_line

MARK, END = b"testudo-sha256:", b":testudo"
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
    return plain[:place] + MARK + hashlib.sha256(plain).hexdigest().encode() + END + plain[place:]


def unsealed(path: Path) -> pl.DataFrame:
    """The rows in a Parquet file, sealed or not; raises TestudoError where it is damaged or cannot be read."""
    try:
        content = path.read_bytes()
        before, mark, after = content.partition(MARK)
        plain = before + after[64:].removeprefix(END)  # an older seal has no end
        told = hashlib.sha256(plain).hexdigest().encode()
        if (mark and told != after[:64]) or (not mark and END in content):
            raise TestudoError(f"{path} is damaged: its content does not match its checksum; remove it and run again")
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as mistake:
        raise TestudoError(f"{path} is not a readable Parquet file: {one_line(mistake)}") from mistake
