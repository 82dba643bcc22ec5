"""``testudo data``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg

from testudo.data.dataset import DataSet
from testudo.data.inspect import check, listing, show
from testudo.errors import TestudoError
from testudo.overrides import override, parse_override
from testudo.recipe import build
from testudo.registry import DATA


@dataclass(frozen=True)
class Sheet:
    """What ``testudo data show`` draws."""

    out: Path = Path("data.png")
    """the picture that show writes."""
    split: str = "train"
    """what show takes images from."""
    count: int = 25
    """how many it shows."""


def data(
    verb: Positional[Literal["list", "check", "show"]],
    name: Positional[str] = "",
    /,
    data_dir: str = "",
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH=VALUE")] = (),
    skip_bad: FlagCreatePairsOff[bool] = False,
    sheet: OmitArgPrefixes[Sheet] = Sheet(),
) -> None:
    """List the data sets, check that one is whole, or show some of its images.

    Args:
        verb: list, check or show.
        name: the data set.
        data_dir: where it lies: a folder, or the file of a manifest.
        set: change one of its options, e.g. --set data.size=16; may be given several times.
        skip_bad: leave out examples with a missing, damaged or wrong file, and tell which (--set data.skip_bad=true).
        sheet: what show draws.
    """
    if verb == "list":
        _list()
        return
    if not name:
        raise TestudoError(f"testudo data {verb} needs the name of a data set (allowed: {', '.join(DATA.names())})")
    changes = dict(parse_override(text) for text in set)
    if skip_bad:
        if "skip_bad" not in {field.name for field in dataclasses.fields(DATA.get(name))}:
            raise TestudoError(f"data set {name!r} cannot skip bad examples; leave out --skip-bad")
        changes["data.skip_bad"] = True
    source = data_set(name, data_dir, changes)
    if verb == "show":
        print(show(source, sheet.out, sheet.split, sheet.count))
    else:
        _check(name, source)


def data_set(name: str, place: str, changes: dict[str, Any]) -> DataSet:
    """The data set ``name`` that lies at ``place``; takes the ``data.*`` entries out of ``changes``."""
    fields = {field.name for field in dataclasses.fields(DATA.get(name))}
    values: dict[str, Any] = {"kind": name}
    if place:
        where = next((field for field in ("file", "root") if field in fields), None)
        if where is None:
            raise TestudoError(f"data set {name!r} is embedded and takes no --data-dir")
        values[where] = place
    for dotted in [dotted for dotted in changes if dotted.startswith("data.")]:
        override({"data": values}, dotted, changes.pop(dotted))
    return build(DataSet, values, "data")


def _list() -> None:
    table = Table("name", "what it is", "options")
    for row in listing():
        table.add_row(*row)
    Console().print(table)


def _check(name: str, source: DataSet) -> None:
    found = check(source)
    for line in [] if found.problems else source.describe():
        print(line)
    if found.problems:
        for problem in found.problems[1:]:
            print(problem)
        more = f" (and {len(found.problems) - 1} more, above)" if len(found.problems) > 1 else ""
        first = found.problems[0].removeprefix(f"{name}: ")
        raise TestudoError(f"{name}: {first}{more}")
    for problem in found.skipped:
        print(f"skipped: {problem}")
    for doubt in found.doubts:
        print(f"warning: {doubt}")
    for part in found.splits:
        height, width = part.size
        print(f"{part.split}: {part.count:,} images, {part.channels} x {height} x {width}; SHA-256 {part.fingerprint}")
        if part.note:
            print(f"  {part.note}")
        for task, counts in part.labels.items():
            print(f"  {task}: " + ", ".join(f"{label} {value:g}" for label, value in counts.items()))
    print("mean " + ", ".join(f"{m:.4f}" for m in found.mean) + "; std " + ", ".join(f"{s:.4f}" for s in found.std))
    print(f"images that occur twice: {'; '.join(found.duplicates) or 'none'}")
