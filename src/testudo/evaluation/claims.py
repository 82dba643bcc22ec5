"""Whether rows bear a claim out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from testudo.errors import TestudoError, unknown
from testudo.evaluation.columns import Array, Column, Key, Rows, columns
from testudo.evaluation.mcnemar import corrected
from testudo.evaluation.metrics import named
from testudo.evaluation.significance import comparisons
from testudo.evaluation.summarise import deltas, interval
from testudo.reports.claims import Claim, Judged, Side

DELTAS = ("delta_mtl", "delta_wor")
Pair = tuple[Side, Side]
Groups = Mapping[str, Sequence[str]]
Table = Mapping[Key, Column]


def judge(rows: Rows, claims: Sequence[Claim], groups: Groups) -> list[Judged]:
    """Each claim with the differences that decide it, paired on the same examples.

    McNemar's p values are corrected for the number of all that the claims ask for (Holm, ``adjusted``), each test once.

    Args:
        rows: result rows, or their columns.
        claims: what is claimed.
        groups: the names of the runs of each group.

    Raises:
        TestudoError: a claim names a group, attack or task that has no rows.
    """
    table = columns(rows)
    pairs = list(dict.fromkeys((claim.on(pair[0]), *pair) for claim in claims for pair in claim.pairs))
    found: dict[tuple[str, Side, Side], dict[str, Any]] = {}
    for task in dict.fromkeys(task for task, _, _ in pairs):
        own = [(first, second) for name, first, second in pairs if name == task]
        compared = _of_delta if task in DELTAS else _of_task
        found |= {(task, a, b): row for (a, b), row in zip(own, compared(table, task, own, groups), strict=True)}
    adjusted = iter(corrected([p for row in found.values() for p in row["p_values"]]).tolist())
    found = {pair: row | {"adjusted": [next(adjusted) for _ in row["p_values"]]} for pair, row in found.items()}
    return [
        Judged(claim, each, tuple(map(_speaks, each)))
        for claim in claims
        for each in [tuple(found[claim.on(pair[0]), *pair] for pair in claim.pairs)]
    ]


def _of_task(table: Table, task: str, pairs: Sequence[Pair], groups: Groups) -> list[dict]:
    """Each pair's difference in the task's primary metric."""
    own = {key: column for key, column in table.items() if key[1] == task}
    if not own:
        raise unknown("task (of a claim)", task, {name for _, name, _ in table})
    sides = {side: _runs(own, side, groups) for pair in pairs for side in pair}
    as_one = {  # under the name of one attack, and with runs that no other side has
        (f"{side}{run}", task, "one"): own[run, task, side.attack] for side, runs in sides.items() for run in runs
    }
    told = [{"name": str(side), "runs": [f"{side}{run}" for run in runs]} for side, runs in sides.items()]
    runs = {each["name"]: each["runs"] for each in told}
    asked = [{"name": str(a), "runs": runs[str(a)], "counterpart": str(b)} for a, b in pairs]
    return comparisons(as_one, [*told, *asked]).to_dicts()


def _of_delta(table: Table, name: str, pairs: Sequence[Pair], groups: Groups) -> list[dict]:
    """Each pair's difference in a Delta over the tasks, the same replicates on both sides."""
    runs = {side: _runs(table, side, groups) for pair in pairs for side in pair}
    attacks, every = {"clean", *(side.attack for side in runs)}, {run for own in runs.values() for run in own}
    kept = {key: column for key, column in table.items() if key[0] in every and key[2] in attacks}
    values = deltas(kept)
    sides = {side: _values(values, side, name, groups) for side in runs}
    counts = {side: _labelled(kept, side.attack, own) for side, own in runs.items()}
    return [_difference(name, first, second, sides, counts[first]) for first, second in pairs]


def _labelled(table: Table, attack: str, runs: Sequence[str]) -> int:
    """How many examples are labelled for a task of the runs under an attack."""
    return int(
        np.logical_or.reduce([c.labelled for (run, _, a), c in table.items() if run in runs and a == attack]).sum()
    )


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


def _runs(table: Table, side: Side, groups: Groups) -> list[str]:
    """The runs of a side that have rows, in the order of their group."""
    if side.group not in groups:
        raise unknown("group (of a claim)", side.group, groups)
    found = [run for run in groups[side.group] if any(key[0] == run and key[2] == side.attack for key in table)]
    if not found:
        have = {attack for run, _, attack in table if run in groups[side.group]}
        raise unknown(f"attack (of a claim on {side.group!r})", side.attack, have)
    return found


def _speaks(row: Mapping[str, Any]) -> int:
    """1 where the interval says that the first is better, -1 that the second is, 0 where it says neither."""
    sign = (row["low"] > 0) - (row["high"] < 0)
    return sign if row["metric"] in DELTAS or named(row["metric"]).higher_is_better else -sign
