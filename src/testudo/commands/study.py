"""``testudo study`` and ``testudo report``."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg

from testudo.commands.data import data_set
from testudo.data.dataset import DataSet
from testudo.errors import TestudoError
from testudo.files import write_atomic
from testudo.overrides import override, parse_override
from testudo.parts import build, dump
from testudo.progress import clock, meter
from testudo.registry import STUDIES
from testudo.studies.publish import collect, tell
from testudo.studies.runner import Runner
from testudo.studies.study import Study

MINUTES = "minutes.txt"


def study(
    name: Positional[str],
    /,
    data: str = "digits",
    data_dir: str = "",
    out: Path | None = None,
    workers: int = 0,
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH=VALUE")] = (),
) -> None:
    """Run a study and make its page; the same command goes on where it was stopped.

    Args:
        name: the study (testudo list studies).
        data: the data set (testudo list data).
        data_dir: where the data lies: a folder, or the file of a manifest.
        out: the study folder (default: runs/NAME-DATA).
        workers: processes at a time (default: one for every core).
        set: change a field of the study, e.g. --set epochs=5 or --set data.size=16; may be given several times.
    """
    changes = dict(parse_override(text) for text in set)
    source = data_set(data, data_dir, changes)
    for line in source.describe():
        print(line)
    made = _made(name, source, changes)
    folder = out or Path("runs") / f"{name}-{data}"
    with _timed(folder), meter(f"study {name} on {data}") as shown:
        Runner(workers)(made, folder, shown)
    collect(made, folder, spent(folder))
    report(folder)
    print(f"({clock(60 * spent(folder))} of computing in all)")


def report(folder: Positional[Path], /) -> None:
    """Make the page of a finished study again, from its rows, and show its table.

    Args:
        folder: the study folder, e.g. runs/quickstart-digits.
    """
    page, tables = tell(folder)
    for table in tables:
        Console().print(table.rich())
    print(f"report: {page.resolve()}")


def _made(name: str, source: DataSet, changes: dict[str, Any]) -> Study:
    """The study with the settings that suit its data, and the changes asked for."""
    cls = STUDIES.get(name)
    values = dump(cls.on(source))
    for dotted, value in changes.items():
        override(values, dotted, value)
    return build(cls, values, f"study {name}")


@contextmanager
def _timed(folder: Path) -> Generator[None, None, None]:
    """Add the minutes of this block to those that earlier sessions spent on the study."""
    began, before = time.monotonic(), spent(folder)
    try:
        yield
    finally:
        write_atomic(folder / MINUTES, f"{before + (time.monotonic() - began) / 60:.3f}\n")


def spent(folder: Path) -> float:
    """Minutes spent on a study so far, over all sessions."""
    path = folder / MINUTES
    try:
        return float(path.read_text()) if path.exists() else 0.0
    except (OSError, ValueError):
        raise TestudoError(f"{path} does not hold a number of minutes; remove it") from None
