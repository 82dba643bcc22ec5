"""``testudo study`` and ``testudo report``."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from testudo.commands.data import data_set
from testudo.data.dataset import DataSet
from testudo.errors import MissingData, TestudoError
from testudo.files import held, write_atomic
from testudo.overrides import override, parse_override
from testudo.parts import build, dump
from testudo.progress import clock, meter
from testudo.recipe import Recipe, in_full
from testudo.registry import STUDIES
from testudo.studies.collect import collect
from testudo.studies.entry import Scale
from testudo.studies.papers import entry, without
from testudo.studies.publish import tell
from testudo.studies.runner import Runner
from testudo.studies.study import Arms, Parts, Study, Variant

MINUTES = "minutes.txt"


def study(
    name: Positional[str],
    /,
    data: str = "",
    data_dir: str = "",
    scale: Scale | None = None,
    out: Path | None = None,
    runner: OmitArgPrefixes[Runner] = Runner(),  # noqa: B008 (immutable)
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH=VALUE")] = (),
) -> None:
    """Run a study and make its page; the same command goes on where it was stopped.

    Args:
        name: the study (testudo list studies).
        data: of a study that suits itself to its data: the data set (testudo list data; default: digits).
        data_dir: where such data lie: a folder, or the file of a manifest.
        scale: of a paper's table or figure: smoke (proves the path; the default), small (answers the question on two
            cores), gpu, or paper (the paper's own).
        out: the study folder (default: runs/NAME-DATA or runs/NAME-SCALE).
        runner: how runs are made.
        set: change a field of the study, e.g. --set epochs=5 or --set data.size=16, of a paper's table a field of all
            its recipes, e.g. --set trainer.epochs=5, or its seeds; may be given several times.
    """
    changes = dict(parse_override(text) for text in set)
    if name in STUDIES.names():
        if scale:
            raise TestudoError(f"study {name} has no scales: it suits itself to --data (testudo list studies)")
        made, where = _suited(name, data or "digits", data_dir, changes), data or "digits"
    else:
        if data or data_dir:
            raise TestudoError(f"study {name} brings its data: choose a --scale (testudo list studies)")
        made, where = _changed(entry(name).at(scale or "smoke"), changes), scale or "smoke"
    folder = out or Path("runs") / f"{name}-{where}"
    try:
        with _timed(folder), meter(f"study {name}, {where}") as shown:
            runner(made, folder, shown)
    except MissingData as error:
        if name in STUDIES.names():
            raise
        raise TestudoError(f"{error}; {without(error.data, name, scale or 'smoke')}") from None
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


def _suited(name: str, data: str, data_dir: str, changes: dict[str, Any]) -> Study:
    """A study that suits itself to its data."""
    source = data_set(data, data_dir, changes)
    for line in source.describe():
        print(line)
    return _made(name, source, changes)


def _made(name: str, source: DataSet, changes: dict[str, Any]) -> Study:
    """The study with the settings that suit its data, and the changes asked for."""
    cls = STUDIES.get(name)
    values = dump(cls.on(source))
    for dotted, value in changes.items():
        override(values, dotted, value)
    return build(cls, values, f"study {name}")


def _changed(made: Arms, changes: dict[str, Any]) -> Arms:
    """A paper's study with other seeds, or with changes in all of its recipes."""
    recipes = dict(changes)
    seeds = recipes.pop("seeds", made.seeds)
    arms = tuple(_changed_arm(arm, recipes) for arm in made.arms)
    told: dict[str, Any] = {"seeds": tuple(seeds) if isinstance(seeds, list | tuple) else (seeds,), "arms": arms}
    if isinstance(made, Parts):
        told["others"] = {part: _changed(other, changes) for part, other in made.others.items()}
    return replace(made, **told)


def _changed_arm(arm: Variant, changes: dict[str, Any]) -> Variant:
    """An arm with changes in its recipe, and in that of the run that comes first."""
    values = dump(arm.recipe)
    for dotted, value in changes.items():
        override(values, in_full(dotted), value)
    first = None if arm.first is None else _changed_arm(arm.first, changes)
    return replace(arm, recipe=build(Recipe, values, f"the recipe of {arm.name!r}"), first=first)


@contextmanager
def _timed(folder: Path) -> Generator[None, None, None]:
    """Add the minutes of this block to those that earlier sessions spent on the study."""
    began = time.monotonic()
    spent(folder)  # what cannot be read is told now, not after hours
    try:
        yield
    finally:
        minutes = (time.monotonic() - began) / 60
        with held(folder / f".{MINUTES}.lock"):  # another session may have ended meanwhile
            write_atomic(folder / MINUTES, f"{spent(folder) + minutes:.3f}\n")


def spent(folder: Path) -> float:
    """Minutes spent on a study so far, over all sessions."""
    path = folder / MINUTES
    try:
        return float(path.read_text()) if path.exists() else 0.0
    except (OSError, ValueError):
        raise TestudoError(f"{path} does not hold a number of minutes; remove it") from None
