"""What a study folder tells about itself: its groups of runs, data and surroundings, and its gallery."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testudo.errors import TestudoError, one_line, unknown
from testudo.files import from_json
from testudo.reports import form
from testudo.reports.claims import Beside, Claim
from testudo.reports.measures import Measure

DAMAGED = (  # what reading a damaged .npz raises
    *(LookupError, OSError, EOFError, ValueError, TypeError, OverflowError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone.

    Args:
        name: for people.
        runs: their names in the rows, one per seed.
        counterpart: the group it is held against, or None.
        tasks: what its models predict.
        training: how they were trained, in one line.
        recipe: that of the first of them, as TOML; empty where it is not told.
    """

    name: str
    runs: tuple[str, ...]
    counterpart: str | None
    tasks: tuple[str, ...]
    training: str
    recipe: str = ""


@dataclass(frozen=True)
class Study:
    """What study.json holds.

    Args:
        name, title, intro: how it is called, and paragraphs that introduce it.
        target: the main task.
        groups: the variants compared.
        data: name, note, fingerprint, and the number of examples in train, val and test.
        environment: what it ran on, by name.
        minutes, created: how long it took, and when (ISO 8601).
        also: folders within its own whose studies are shown on the same page.
        claims: what a paper says of it.
        beside: the published numbers.
        measures: tables of its own.
    """

    name: str
    title: str
    intro: tuple[str, ...]
    target: str
    groups: tuple[Group, ...]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    minutes: float
    created: str
    also: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    beside: tuple[Beside, ...] = ()
    measures: tuple[Measure, ...] = ()

    @classmethod
    def of(cls, told: Study | Mapping[str, Any]) -> Study:
        """A study from study.json's contents; raises TestudoError where a part is missing or names nothing."""
        if isinstance(told, Study):
            return told
        made = cls(
            form.words(told, "name"),
            form.words(told, "title"),
            form.several(told, "intro"),
            form.words(told, "target"),
            tuple(_group(group) for group in form.listed(told, "groups")),
            form.facts(told, "data"),
            form.facts(told, "environment"),
            form.number(told, "minutes"),
            form.words(told, "created"),
            form.several(told, "also"),
            tuple(Claim.of(each) for each in form.listed(told, "claims")),
            tuple(Beside.of(each) for each in form.listed(told, "beside")),
            tuple(Measure.of(each) for each in form.listed(told, "measures")),
        )
        if not made.groups:
            raise TestudoError("study.json lacks 'groups'")
        names = [group.name for group in made.groups]
        for group in made.groups:
            if group.counterpart is not None and group.counterpart not in names:
                raise unknown("group", group.counterpart, names)
        for name in made.also:
            if name != Path(name).name or name == "..":
                raise TestudoError(f"study.json: 'also' names folders within its own, got {name!r}")
        return made

    def group(self, name: str) -> Group:
        """The group called ``name``."""
        return next(group for group in self.groups if group.name == name)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task of any group, the target first."""
        return tuple(dict.fromkeys([self.target, *(task for group in self.groups for task in group.tasks)]))

    @property
    def pairs(self) -> list[tuple[Group, Group]]:
        """Every group that has a counterpart, with it."""
        return [(group, self.group(group.counterpart)) for group in self.groups if group.counterpart is not None]


def _group(told: Mapping[str, Any]) -> Group:
    name, runs, tasks = form.words(told, "name"), form.several(told, "runs"), form.several(told, "tasks")
    if not runs or not tasks:
        raise TestudoError(f"study.json: the group {name!r} lacks runs or tasks")
    other = None if told.get("counterpart") is None else form.words(told, "counterpart")
    return Group(name, runs, other, tasks, form.words(told, "training", ""), form.words(told, "recipe", ""))


@dataclass(frozen=True, eq=False)
class Gallery:
    """Examples to look at.

    Args:
        images: (k, C, H, W) floats in [0, 1], clean.
        adversarial: the same, attacked.
        meta: per image its group, run, example, attack, task lines (task, truth, before, after), linf, l2; task maps:
            for each dense task the same three as numbers of ``maps``; and where the same attack was made in several
            balls its eps, and a series that they share.
        maps: (m, H, W, 3) bytes, dense labels and predictions in colours.
    """

    images: NDArray[np.floating]
    adversarial: NDArray[np.floating]
    meta: tuple[Mapping[str, Any], ...]
    maps: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.uint8))

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape != self.adversarial.shape or len(self.meta) != len(self.images):
            raise TestudoError(
                f"a gallery holds k images (k, C, H, W) twice and k descriptions, got {self.images.shape}, "
                f"{self.adversarial.shape} and {len(self.meta)}"
            )
        for told in self.meta:
            for part in ("group", "run", "example", "attack", "task lines", "linf", "l2"):
                if part not in told:
                    raise TestudoError(f"the description of a gallery image lacks {part!r}")
            if not isinstance(told.get("eps", 0.0), int | float):
                raise TestudoError(f"the description of a gallery image has the eps {told['eps']!r}")
            for row in told.get("task maps", ()):
                if not all(0 <= row[side] < len(self.maps) for side in ("truth", "before", "after")):
                    raise TestudoError(f"a gallery of {len(self.maps)} maps is asked for {dict(row)}")


def read_study(folder: Path | str) -> Study:
    """study.json of a study folder; raises TestudoError where it is missing or damaged."""
    path = Path(folder) / "study.json"
    try:
        told = from_json(path.read_bytes())
    except FileNotFoundError as mistake:
        raise TestudoError(f"no study at {path}") from mistake
    except (OSError, ValueError, RecursionError) as mistake:  # TestudoError among them: a wrong checksum
        raise TestudoError(f"{path} is not readable: {one_line(mistake)}") from mistake
    try:
        return Study.of(told)
    except TestudoError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as mistake:  # JSON of another form
        raise TestudoError(f"{path} is damaged: {one_line(mistake)}") from mistake


def read_gallery(folder: Path | str) -> Gallery | None:
    """gallery.npz of a study folder, None where there is none; raises TestudoError where it is damaged."""
    path = Path(folder) / "gallery.npz"
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as packed:
            if bad := packed.testzip():  # numpy compares no checksum where it reads less than there is
                raise TestudoError(f"{bad} in it does not match its checksum")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            meta = json.loads(str(held["meta"]))
            maps = {"maps": held["maps"]} if "maps" in held else {}
            return Gallery(held["images"], held["adversarial"], tuple(meta), **maps)
    except DAMAGED as mistake:
        raise TestudoError(f"{path} is not a readable gallery: {one_line(mistake)}") from mistake
