"""Files that survive a kill at any instant, two processes at once, and damage that nobody saw."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from testudo.errors import TestudoError, one_line

UNFINISHED = ".unfinished"
STALE = 3600.0  # seconds: no write takes as long, so what is older was left behind by a kill
PATIENCE = 1.0  # seconds that nobody needs to be told of
AGAIN = 60.0  # seconds after which the same is said again; waits one after another, for each attack of a run, are one
SUM = "sha256"  # the last entry of JSON that has a checksum
_SAID: dict[str, float] = {}  # lines, with when they were last true
_RUIN = re.compile(b"[0-9a-f]{24}")  # what damage to the name of that entry leaves of it


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


@contextmanager
def held(path: Path) -> Generator[None, None, None]:
    """Within this block no other process is in such a block of the same ``path``; waits for one that is.

    It says so where that takes more than a second, once for several waits in a row. The lock is the kernel's, on a file
    at ``path`` that is there only meanwhile, and ends with the process however that ends: a kill leaves nobody locked
    out. Where no file can be written or locked (some network drives) nobody waits. It is between processes, not between
    threads, and must not be nested for one path.
    """
    file = _locked(path)
    try:
        yield
    finally:
        if file is not None:
            path.unlink(missing_ok=True)  # before it is let go: whoever waits sees that it is gone, and asks anew
            file.close()


def _locked(path: Path) -> IO[str] | None:
    """The file at ``path``, ours alone; None where there are no locks."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")
        except OSError:
            return None
        try:
            _wait(file, path)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {platform.node()}")
                file.flush()
                return file
        except FileNotFoundError:  # whoever had it has ended
            pass
        except OSError:
            file.close()
            return None
        except BaseException:  # Ctrl-C while waiting
            file.close()
            raise
        file.close()


def _wait(file: IO[str], path: Path) -> None:
    began, line = time.monotonic(), ""
    while True:
        try:
            return fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            time.sleep(0.02)  # not in lockf: polars lets system calls begin again after Ctrl-C, as if nothing had been
        if time.monotonic() - began > PATIENCE:
            file.seek(0)
            line = line or f"testudo: {file.read() or 'another process'} is at work in {path.parent}; waiting for it"
            _say(line)


def _say(line: str) -> None:
    """Tell, unless it was told a moment ago or has been true ever since."""
    now = time.monotonic()
    if now - _SAID.get(line, -AGAIN) >= AGAIN:
        print(line, file=sys.stderr, flush=True)
    _SAID[line] = now


def to_json(values: dict[str, Any], indent: int | None = None) -> str:
    """``values`` as JSON with a checksum of them as its last entry.

    >>> to_json({"a": [1, 2.5]})[:30]
    '{"a": [1, 2.5], "sha256": "44f'
    """
    plain = json.loads(json.dumps(values))  # as it will be read: tuples are lists then, and all names words
    return json.dumps({**plain, SUM: _digest(plain)}, indent=indent)


def from_json(text: bytes) -> Any:
    """What :func:`to_json` wrote, without the checksum; JSON that has none (an older version's) as it is.

    Raises:
        TestudoError: the content is not what was written.
        ValueError: it is no JSON.

    >>> from_json(to_json({"a": 1}).encode()), from_json(b'{"a": 1}')
    ({'a': 1}, {'a': 1})
    """
    found = json.loads(text)
    if not isinstance(found, dict) or not found:
        return found
    if (SUM in found or _RUIN.search(text[-120:])) and found.pop(SUM, None) != _digest(found):
        raise TestudoError("its content does not match its checksum; it is damaged, or was changed by hand")
    return found


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
