"""Files that survive a kill at any instant: written beside, flushed, then renamed over the old one."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from testudo.errors import TestudoError, one_line

UNFINISHED = ".unfinished"
STALE = 3600.0  # seconds: no write takes as long, so what is older was left behind by a kill


def write_atomic(path: Path, content: bytes | str | Callable[[io.BytesIO], object]) -> None:
    """Put ``content`` (or what it writes to the buffer it is given) at ``path``, whole or not at all.

    Raises:
        TestudoError: it cannot be written (a full disk, no permission); what was at ``path`` stays.
    """
    if callable(content):
        buffer = io.BytesIO()
        content(buffer)
        content = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
    except OSError as error:
        raise TestudoError(f"cannot write {path}: {error.strerror or one_line(error)}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise TestudoError(f"cannot write {path}: {error.strerror or one_line(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writes that were killed left in ``folder``; never what another process is writing now."""
    for path in folder.glob(f".*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
        except OSError:  # gone, or not ours: it harms nobody
            continue
