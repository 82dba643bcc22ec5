"""Whether rows bear a claim out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from testudo.errors import TestudoError, unknown
from testudo.evaluation.columns import Array
from testudo.evaluation.metrics import named
from testudo.evaluation.significance import comparisons
from testudo.evaluation.summarise import deltas, interval
from testudo.reports.claims import Claim, Judged, Side

DELTAS = ("delta_mtl", "delta_wor")
Pair = tuple[Side, Side]
Groups = Mapping[str, Sequence[str]]


def judge(rows: pl.DataFrame, claims: Sequence[Claim], groups: Groups) -> list[Judged]:
    """Each claim with the differences that decide it, paired on the same examples.

    Args:
        rows: result rows.
        claims: what is claimed.
        groups: the names of the runs of each group.

    Raises:
        TestudoError: a claim names a group, attack or task that has no rows.
    """
    pairs = list(dict.fromkeys((claim.on(pair[0]), *pair) for claim in claims for pair in claim.pairs))
    found: dict[tuple[str, Side, Side], dict[str, Any]] = {}
    for task in dict.fromkeys(task for task, _, _ in pairs):
        own = [(first, second) for name, first, second in pairs if name == task]
        compared = _of_delta if task in DELTAS else _of_task
        found |= {(task, a, b): row for (a, b), row in zip(own, compared(rows, task, own, groups), strict=True)}
    return [
        Judged(claim, each, tuple(map(_speaks, each)))
        for claim in claims
        for each in [tuple(found[claim.on(pair[0]), *pair] for pair in claim.pairs)]
    ]


def _of_task(rows: pl.DataFrame, task: str, pairs: Sequence[Pair], groups: Groups) -> list[dict]:
    """Each pair's difference in the task's primary metric."""
    of_task = rows.filter(pl.col("task") == task)
    if of_task.is_empty():
        raise unknown("task (of a claim)", task, rows["task"].unique().to_list())
    sides = {side: _rows(of_task, side, groups) for pair in pairs for side in pair}
    told = [{"name": str(side), "runs": frame["run"].unique(maintain_order=True)} for side, frame in sides.items()]
    runs = {each["name"]: each["runs"] for each in told}
    asked = [{"name": str(a), "runs": runs[str(a)], "counterpart": str(b)} for a, b in pairs]
    return comparisons(pl.concat(sides.values()), [*told, *asked]).to_dicts()


def _of_delta(rows: pl.DataFrame, name: str, pairs: Sequence[Pair], groups: Groups) -> list[dict]:
    """Each pair's difference in a Delta over the tasks, the same replicates on both sides."""
    frames = {side: _rows(rows, side, groups) for pair in pairs for side in pair}
    runs = {run for side in frames for run in groups[side.group]}
    attacks = {"clean", *(side.attack for side in frames)}
    values = deltas(rows.filter(pl.col("run").is_in(runs) & pl.col("attack").is_in(attacks)))
    sides = {side: _values(values, side, name, groups) for side in frames}
    return [_difference(name, first, second, sides, frames[first]["example"].n_unique()) for first, second in pairs]


def _values(values: Mapping[tuple[str, str, str], Array], side: Side, name: str, groups: Groups) -> Array:
    """A side's Delta, then its replicates (1 + B,), averaged over its runs."""
    keys = [(run, side.attack, name) for run in groups[side.group]]
    if not all(key in values for key in keys):
        raise TestudoError(f"a claim on {name} needs an attack and clean rows; {side.group!r} lacks them: {side}")
    return np.mean([values[key] for key in keys], 0)


def _difference(name: str, first: Side, second: Side, sides: Mapping[Side, Array], n: int) -> dict[str, Any]:
    """The columns of :func:`testudo.evaluation.significance.comparisons`."""
    mine, other = sides[first], sides[second]
    with np.errstate(invalid="ignore"):  # both are infinite where a clean value is 0
        change = mine - other
    low, high = interval(change[1:])
    told: dict[str, Any] = {"group": str(first), "counterpart": str(second), "task": name, "attack": "one"}
    told |= {"metric": name, "n": n, "value": float(mine[0]), "counterpart_value": float(other[0])}
    told |= {"difference": float(change[0]), "low": low, "high": high}
    return told | {"p_values": [], "b": [], "c": [], "adjusted": []}


def _rows(rows: pl.DataFrame, side: Side, groups: Groups) -> pl.DataFrame:
    """The rows of a side, under the name of one attack and with runs that no other side has."""
    if side.group not in groups:
        raise unknown("group (of a claim)", side.group, groups)
    runs = list(groups[side.group])
    kept = rows.filter((pl.col("attack") == side.attack) & pl.col("run").is_in(runs))
    if kept.is_empty():
        have: Iterable[str] = rows.filter(pl.col("run").is_in(runs))["attack"].unique().to_list()
        raise unknown(f"attack (of a claim on {side.group!r})", side.attack, have)
    order = pl.Enum(runs)
    return kept.sort(pl.col("run").cast(order), maintain_order=True).with_columns(
        run=pl.lit(f"{side}") + pl.col("run"), attack=pl.lit("one")
    )


def _speaks(row: Mapping[str, Any]) -> int:
    """1 where the interval says that the first is better, -1 that the second is, 0 where it says neither."""
    sign = (row["low"] > 0) - (row["high"] < 0)
    return sign if row["metric"] in DELTAS or named(row["metric"]).higher_is_better else -sign
