"""Where a public data set lies on disk."""

from __future__ import annotations

import os
from pathlib import Path

from testudo.errors import MissingData

DATA_ENV, DATA_HOME = "TESTUDO_DATA", "../shared/data"


def place(name: str, root: str, folder: str, holds: str) -> Path:
    """The folder of data set ``name``.

    Args:
        name: for errors.
        root: the folder itself; empty: ``folder`` in the one that TESTUDO_DATA names, or in ``../shared/data``.
        folder: see ``root``.
        holds: what is in it, for errors.

    Raises:
        MissingData: there is no such folder.
    """
    found = Path(root) if root else Path(os.environ.get(DATA_ENV) or DATA_HOME) / folder
    if not found.is_dir():
        how = (
            f"root must be the folder of {holds}"
            if root
            else f"set its root, or {DATA_ENV} to the folder that holds {folder}/"
        )
        raise MissingData(name, f"{name}: no folder {str(found)!r}; {how}")
    return found
