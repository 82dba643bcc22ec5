"""One recipe with several values of some of its fields, each trained, and the one that validates best."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from testudo.errors import TestudoError
from testudo.files import write_atomic
from testudo.overrides import override
from testudo.parts import build, dump
from testudo.recipe import Recipe, in_full
from testudo.run import Run, train, wanted

FOUND = "search.json"
_LONGEST = 100  # letters of a folder's name, before what tells it from others

Watch = Callable[[float, str], None]


@dataclass(frozen=True)
class Trial:
    """One setting, trained.

    Args:
        values: what was put over the recipe, by dotted path.
        run: what came of it.
    """

    values: dict[str, Any]
    run: Run

    @cached_property
    def record(self) -> dict[str, Any]:
        """The epoch whose weights were kept, as in the log."""
        return next(record for record in reversed(self.run.log) if record.get("best"))

    @property
    def score(self) -> float:
        """The validation score of these weights: the main task's metric, negated where lower is better."""
        return self.record["validation"]["score"]

    @property
    def told(self) -> str:
        """The setting in words, e.g. ``method.auxiliary_weight=0.1``."""
        return _told(self.values)


@dataclass(frozen=True)
class Found:
    """A finished search.

    Args:
        folder: where its runs are, each in a folder of its own.
        trials: in the order of the grid, the last path's values changing fastest.
    """

    folder: Path
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The highest score; of equal ones the first.

        Raises:
            TestudoError: no run has a score that is a number.
        """
        scored = [trial for trial in self.trials if not math.isnan(trial.score)]
        if not scored:
            raise TestudoError(f"no run in {self.folder} has a validation score; is its main task labelled there?")
        return max(scored, key=lambda trial: trial.score)


def search(
    recipe: Recipe | str | Path,
    over: Mapping[str, Sequence[Any]],
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    watch: Watch = lambda share, note: None,
) -> Found:
    """Train ``recipe`` once for every combination of values, and tell which run validates best.

    Stopped or killed, the same call goes on where it was; more values may be added later, and what is trained is not
    trained again. Combinations that make the same recipe are trained once. What was found is written to
    ``search.json``. The test split plays no part in it.

    Args:
        recipe: a recipe or a TOML file.
        over: values by dotted path, ``{"method.auxiliary_weight": [0.1, 0.01]}``: plain ones as in TOML, or parts.
        out: the folder of all runs (default: ``runs/NAME-search``).
        overrides: dotted paths and values put over the recipe of every run.
        watch: called with the share done and what is going on.

    Raises:
        TestudoError: no values; a field that the recipe lacks or that cannot have such a value, before anything is
            trained; a folder that holds other runs.
    """
    grid = _grid(recipe, over, overrides or {})
    folder, trials = Path(out) if out else Path("runs") / f"{grid[0][1].name}-search", []
    for number, (values, made) in enumerate(grid):
        told = _told(values)
        teller = _Teller(watch, told, number, len(grid))
        trials.append(Trial(values, train(made, folder / _folder(told), watchers=(teller,))))
        watch((number + 1) / len(grid), told)
    found = Found(folder, tuple(trials))
    write_atomic(folder / FOUND, json.dumps(_plain(found), indent=1))
    return found


def _grid(
    recipe: Recipe | str | Path, over: Mapping[str, Sequence[Any]], overrides: Mapping[str, Any]
) -> list[tuple[dict[str, Any], Recipe]]:
    """Every different recipe of the grid, with the values it was made by."""
    empty = [path for path, values in over.items() if not values]
    if not over or empty:
        raise TestudoError(f"a search needs values to try{f' for {empty[0]}' if empty else ''}, got none")
    made: dict[str, tuple[dict[str, Any], Recipe]] = {}
    for chosen in itertools.product(*over.values()):
        values = {path: dump(value) for path, value in zip(over, chosen, strict=True)}
        one = _with(recipe, {**overrides, **values})
        one.learnt()  # refuses tasks that are not there, now rather than after hours
        made.setdefault(json.dumps(dump(one), sort_keys=True), (values, one))
    return list(made.values())


def _with(recipe: Recipe | str | Path, overrides: Mapping[str, Any]) -> Recipe:
    if not isinstance(recipe, Recipe):
        return wanted(recipe, None, overrides)[0]
    values = dump(recipe)
    for path, value in overrides.items():
        override(values, in_full(path), value)
    return build(Recipe, values)


def _told(values: Mapping[str, Any]) -> str:
    words = (value if isinstance(value, str) else json.dumps(value) for value in values.values())
    return ", ".join(f"{path}={word}" for path, word in zip(values, words, strict=True))


def _folder(told: str) -> str:
    """A folder's name for a setting: its words where they can be one, else cut and told apart by a digest.

    >>> _folder("method.auxiliary_weight=0.1"), _folder("method.attack.threat.eps=8/255")
    ('method.auxiliary_weight=0.1', 'method.attack.threat.eps=8-255-d6a99bd0')
    """
    plain = re.sub(r"[^\w.,=+-]+", "-", told.replace(", ", ",")).strip("-")
    if plain == told.replace(", ", ",") and len(plain) <= _LONGEST:
        return plain
    return f"{plain[:_LONGEST]}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _plain(found: Found) -> dict[str, Any]:
    """What ``search.json`` holds."""
    trials = [
        {
            "values": trial.values,
            "folder": trial.run.name,
            "epoch": trial.record["epoch"],
            "validation": {n: None if math.isnan(v) else v for n, v in trial.record["validation"].items()},
        }
        for trial in found.trials
    ]
    return {"best": trials[found.trials.index(found.best)], "trials": trials}


class _Teller:
    """Tells of one run among ``count`` what it is doing."""

    def __init__(self, watch: Watch, told: str, number: int, count: int) -> None:
        self._watch, self._told, self._number, self._count = watch, told, number, count
        self._note = told

    def step(self, done: int, total: int) -> None:
        """A batch is done."""
        if done < total:  # the last one is told with its run
            self._watch((self._number + done / total) / self._count, self._note)

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done."""
        self._note = f"{self._told}: epoch {record['epoch']}/{record['epochs']}"
        if "validation" in record:
            self._note += f", validation {record['validation']['score']:.3f}"
