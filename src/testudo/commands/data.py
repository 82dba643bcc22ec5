"""``testudo data``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg

from testudo.commands.label import Labelling, label
from testudo.data.dataset import DataSet, Examples
from testudo.data.inspect import check, listing, show
from testudo.errors import TestudoError, unknown
from testudo.overrides import override, parse_override
from testudo.parts import build
from testudo.registry import DATA


@dataclass(frozen=True)
class Sheet:
    """What ``testudo data show`` draws, and where label writes."""

    out: Path | None = None
    """the picture that show writes (default: data.png), or the table that label writes (default: labels.csv)."""
    split: str = "train"
    """what show, or label from a data set, takes images from."""
    count: int = 25
    """how many are shown."""


def data(
    verb: Positional[Literal["list", "check", "show", "label"]],
    name: Positional[str] = "",
    /,
    data_dir: str = "",
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH=VALUE")] = (),
    skip_bad: FlagCreatePairsOff[bool] = False,
    sheet: OmitArgPrefixes[Sheet] = Sheet(),
    labelling: OmitArgPrefixes[Labelling] = Labelling(),  # noqa: B008 (immutable)
) -> None:
    """List the data sets, check that one is whole, show some of its images, or label images by a trained run.

    Args:
        verb: list, check, show or label.
        name: the data set; for label, the run folder.
        data_dir: where it lies: a folder, or the file of a manifest.
        set: change one of its options, e.g. --set data.size=16; may be given several times.
        skip_bad: leave out examples with a missing, damaged or wrong file, and tell which (--set data.skip_bad=true).
        sheet: what show draws.
        labelling: what label labels.
    """
    if verb == "list":
        _list()
        return
    changes = dict(parse_override(text) for text in set)
    if verb == "label":
        found = _unlabelled(name, labelling.data, sheet.split, data_dir, changes)
        label(Path(name), found, sheet.out or Path("labels.csv"), labelling, skip_bad)
        return
    if not name:
        raise TestudoError(f"testudo data {verb} needs the name of a data set (allowed: {', '.join(DATA.names())})")
    if skip_bad:
        if "skip_bad" not in {field.name for field in dataclasses.fields(DATA.get(name))}:
            raise TestudoError(f"data set {name!r} cannot skip bad examples; leave out --skip-bad")
        changes["data.skip_bad"] = True
    source = data_set(name, data_dir, changes)
    if verb == "show":
        print(show(source, sheet.out or Path("data.png"), sheet.split, sheet.count))
    else:
        _check(name, source)


def data_set(name: str, place: str, changes: dict[str, Any]) -> DataSet:
    """The data set ``name`` that lies at ``place``; takes the ``data.*`` entries out of ``changes``."""
    fields = {field.name for field in dataclasses.fields(DATA.get(name))}
    values: dict[str, Any] = {"kind": name}
    if place:
        where = next((field for field in ("file", "root") if field in fields), None)
        if where is None and "data" in fields:
            raise TestudoError(f"data set {name!r} is made of another: --set data.data.root=... places that")
        if where is None:
            raise TestudoError(f"data set {name!r} is embedded and takes no --data-dir")
        values[where] = place
    for dotted in [dotted for dotted in changes if dotted.startswith("data.")]:
        override({"data": values}, dotted, changes.pop(dotted))
    return build(DataSet, values, "data")


def _unlabelled(run: str, data: str, split: str, place: str, changes: dict[str, Any]) -> str | Examples:
    """What shall be labelled: a folder or file as it is, a data set's split loaded."""
    if not run or not data:
        raise TestudoError(
            "testudo data label needs a run folder and --data: a folder, a manifest or a data set's name"
        )
    if Path(data).exists():
        return data
    if data in DATA.names():
        return data_set(data, place, changes).load(split)
    raise TestudoError(f"{data!r} is neither a folder nor a file; {unknown('data set', data, DATA.names())!s}")


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
