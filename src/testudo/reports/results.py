"""What tables, figures and sentences ask of the two frames: the summary and the comparisons.

The frames come from ``testudo.evaluation`` (``summarise`` and ``comparisons``); this room only reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from testudo.errors import TestudoError, unknown
from testudo.reports import wording
from testudo.reports.claims import Judged
from testudo.reports.readings import Read
from testudo.reports.study import Study

_SUMMARY = (
    "group", "task", "attack", "metric", "value", "low", "high", "n", "runs", "spread", "higher_is_better",
    "primary", "family", "norm", "eps", "steps", "objective",
)  # fmt: skip
_COMPARISONS = ("group", "counterpart", "task", "attack", "metric", "difference", "low", "high", "p_values", "b", "c")


@dataclass(frozen=True)
class Attack:
    """One attack of the study, as its rows describe it."""

    name: str
    family: str
    norm: str
    eps: float
    steps: int
    surrogate: str = ""

    @property
    def kind(self) -> tuple[str, str, int, str]:
        """What attacks that differ in eps and objective alone share."""
        return self.family, self.norm, self.steps, self.surrogate

    @property
    def clean(self) -> bool:
        """Whether nothing is perturbed."""
        return self.family == "clean"

    @property
    def method(self) -> str:
        """``PGD-20``, and what it raises where that is not the tasks' own loss."""
        return wording.method(self.family, self.steps) + (f" by {self.surrogate}" if self.surrogate else "")

    @property
    def ball(self) -> str:
        """``L∞, ε 8/255``, which never breaks after the ε."""
        return f"{wording.NORMS.get(self.norm, self.norm)}, ε\N{NO-BREAK SPACE}{wording.radius(self.eps)}"

    def __str__(self) -> str:
        return "no attack" if self.clean else f"{self.method}, {self.ball}"


@dataclass(frozen=True, eq=False)
class Results:
    """A study's summary and comparisons, by what was measured, and what became of what is claimed.

    Raises:
        TestudoError: a frame lacks a column, or holds no clean row of the target.
    """

    study: Study
    summary: pl.DataFrame
    comparisons: pl.DataFrame
    judged: tuple[Judged, ...] = ()
    read: tuple[Read, ...] = ()
    attacks: tuple[Attack, ...] = field(init=False)
    _rows: Mapping[tuple[str, str, str], dict[str, Any]] = field(init=False)
    _further: Mapping[tuple[str, str, str], list[dict[str, Any]]] = field(init=False)
    _differences: Mapping[tuple[str, str, str], dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        _require("summary", self.summary, _SUMMARY)
        _require("comparisons", self.comparisons, _COMPARISONS)
        rows = self.summary.to_dicts()
        attacks = {
            row["attack"]: Attack(
                *(row[k] for k in ("attack", "family", "norm", "eps", "steps")), _surrogate(row["objective"])
            )
            for row in rows
        }
        ordered = sorted(attacks.values(), key=lambda a: (not a.clean, a.norm != "linf", a.norm, a.eps))
        keyed: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: not row["primary"]):
            task = row["metric"] if row["task"] == "*" else row["task"]
            keyed.setdefault((row["group"], task, row["attack"]), []).append(row)
        object.__setattr__(self, "attacks", tuple(ordered))
        object.__setattr__(self, "_rows", {key: each[0] for key, each in keyed.items()})
        object.__setattr__(self, "_further", {key: each[1:] for key, each in keyed.items()})
        differences = {(r["group"], r["task"], r["attack"]): r for r in self.comparisons.to_dicts()}
        object.__setattr__(self, "_differences", differences)
        if not any(
            self.value(group.name, self.study.target, a) for group in self.study.groups for a in attacks.values()
        ):
            raise TestudoError(
                f"the summary holds nothing on the target {self.study.target!r} for any group of the study"
            )

    def value(self, group: str, task: str, attack: Attack) -> dict[str, Any] | None:
        """The summary row of a task's primary metric; ``task`` may be ``delta_mtl`` or ``delta_wor``."""
        return self._rows.get((group, task, attack.name))

    def further(self, group: str, task: str, attack: Attack) -> list[dict[str, Any]]:
        """The summary rows of a task's further metrics."""
        return self._further.get((group, task, attack.name), [])

    def change(self, group: str, task: str, attack: Attack) -> float | None:
        """Delta of a task, (m - b) / b from its clean value b to m, or (b - m) / m where lower is better."""
        clean = self.clean()
        before, after = (self.value(group, task, a) if a else None for a in (clean, attack))
        if attack.clean or before is None or after is None:
            return None
        b, m = before["value"], after["value"]
        below = b if before["higher_is_better"] else m
        return (m - b if before["higher_is_better"] else b - m) / below if below else None

    def difference(self, group: str, task: str, attack: Attack) -> dict[str, Any] | None:
        """The comparison of a group with its counterpart."""
        return self._differences.get((group, task, attack.name))

    def metric(self, task: str) -> str:
        """The name of a task's metric; raises TestudoError where no row is of the task."""
        found = next((row["metric"] for (_, name, _), row in self._rows.items() if name == task), None)
        if found is None:
            raise unknown("task (without a row)", task, {name for _, name, _ in self._rows})
        return found

    def higher_is_better(self, task: str) -> bool:
        """Which way a task's metric is better."""
        return next(row["higher_is_better"] for (_, name, _), row in self._rows.items() if name == task)

    def aim(self, group: str, attack: Attack) -> tuple[str, ...]:
        """The tasks an attack raises the loss of, on a group's models; none for clean images."""
        names = self._objective(group, attack).partition(" by ")[0].partition(":")[0]
        return self.study.group(group).tasks if names == "all" else tuple(names.split("+")) if names else ()

    def balance(self, group: str, attack: Attack) -> str:
        """How an attack weighs its tasks: a balance's registry name, ``equal`` where none is given."""
        return self._objective(group, attack).partition(" by ")[0].partition(":")[2] or "equal"

    def _objective(self, group: str, attack: Attack) -> str:
        rows = (self.value(group, task, attack) for task in self.study.group(group).tasks)
        return next((row["objective"] for row in rows if row), "")

    def holding(self, task: str) -> list[str]:
        """The groups with rows of a task."""
        return [g.name for g in self.study.groups if any(self.value(g.name, task, a) for a in self.attacks)]

    def on(self, task: str) -> list[Attack]:
        """The attacks every group with the task went through that aim at it: at it alone, where there are such.

        Of several joint objectives the one that comes first in the rows stands for them.
        """
        groups = self.holding(task)
        shared = [a for a in self.attacks if not a.clean and all(self.value(g, task, a) for g in groups)]
        alone = [a for a in shared if all(self.aim(g, a) == (task,) for g in groups)]
        joint = [a for a in shared if all(task in self.aim(g, a) for g in groups)]
        chosen = alone or joint or shared
        first = {}
        for attack in chosen:
            first.setdefault((*attack.kind, attack.eps), attack)
        return list(first.values())

    def joint(self) -> list[Attack]:
        """The attacks to compare objectives by: clean, of each norm the kind strongest on the target, and joint ones.

        The latter are of kinds that no group met with on one task alone.
        """
        single = {a.kind for a in self.attacks for g in self.study.groups if len(self.aim(g.name, a)) == 1}
        kinds = {(*attack.kind, attack.eps) for attack in self.headline(self.study.target)}
        return [a for a in self.attacks if a.clean or (*a.kind, a.eps) in kinds or a.kind not in single]

    def ceiling(self, group: str, attacks: Iterable[Attack]) -> float | None:
        """The most that attacks on all tasks could do to the least degraded one, by those on each task alone.

        That is the Delta of the task that its own attack hurts least; None where one was not attacked alone.
        """
        own: dict[str, list[float]] = {}
        for attack in attacks:
            aim = self.aim(group, attack)
            change = self.change(group, aim[0], attack) if len(aim) == 1 else None
            if change is not None:
                own.setdefault(aim[0], []).append(change)
        tasks = self.study.group(group).tasks
        return max(min(own[task]) for task in tasks) if all(task in own for task in tasks) else None

    def named(self, name: str) -> Attack | None:
        """The attack that the rows call so; None where there is none."""
        return next((attack for attack in self.attacks if attack.name == name), None)

    def clean(self) -> Attack | None:
        """The clean images."""
        return next((attack for attack in self.attacks if attack.clean), None)

    def damage(self, task: str, attacks: Iterable[Attack]) -> float:
        """The mean of a task's metric over groups and attacks, turned so that lower is a stronger attack."""
        values = [self.value(g, task, a) for a in attacks for g in self.holding(task)]
        mean = sum(row["value"] for row in values if row) / max(len(values), 1)
        return mean if self.higher_is_better(task) else -mean

    def strongest(self, task: str) -> Attack | None:
        """The attack on ``task`` under which the groups' mean is worst; the smaller eps where several tie."""
        return min(self.on(task), key=lambda attack: (round(self.damage(task, [attack]), 9), attack.eps), default=None)

    def headline(self, task: str) -> list[Attack]:
        """Of each norm the kind of attack that is strongest on the whole, at every eps; all where there is one eps."""
        if len({(attack.norm, attack.eps) for attack in self.on(task)}) == 1:
            return self.on(task)
        chosen: list[Attack] = []
        for kinds in _by_norm(self.on(task)).values():
            chosen += min(kinds, key=lambda attacks: self.damage(task, attacks))
        return chosen


def _surrogate(objective: str) -> str:
    """``digit by margin, targeted``: margin."""
    return objective.partition(" by ")[2].removesuffix(", targeted")


def kinds_of(attacks: Iterable[Attack]) -> list[list[Attack]]:
    """Attacks that differ in eps alone, together, each list by eps."""
    kinds: dict[tuple[str, str, int, str], list[Attack]] = {}
    for attack in attacks:
        kinds.setdefault(attack.kind, []).append(attack)
    return [sorted(each, key=lambda attack: attack.eps) for each in kinds.values()]


def _by_norm(attacks: Iterable[Attack]) -> dict[str, list[list[Attack]]]:
    norms: dict[str, list[list[Attack]]] = {}
    for each in kinds_of(attacks):
        norms.setdefault(each[0].norm, []).append(each)
    return norms


def _require(name: str, frame: pl.DataFrame, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in frame.columns:
            raise TestudoError(f"the {name} lacks the column {column!r} (found: {', '.join(frame.columns) or 'none'})")
