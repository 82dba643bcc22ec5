"""The tables of a study: the main one, the objectives of the attacks, and every number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from testudo.reports import wording
from testudo.reports.results import Attack, Results
from testudo.reports.study import Group
from testudo.reports.tables import Cell, Row, Section, Table

_NOTHING = Cell("–")


def main_table(results: Results) -> Table:
    """Clean and robust metric of every group per task, and every group less its counterpart.

    The columns are the clean images and, for each norm, the kind of attack that is strongest on the
    target on the whole, at every eps. Each task is attacked alone where the study did so.
    """
    target = results.study.target
    clean, attacked = results.clean(), results.headline(target)
    columns = [Cell(""), *([Cell("clean")] if clean else []), *(_head(attack) for attack in attacked)]
    sections = []
    for task in results.study.tasks:
        if not results.holding(task):
            continue
        own = {(*attack.kind, attack.eps): attack for attack in results.on(task)}
        used = [clean] if clean else []
        used += [own.get((*attack.kind, attack.eps), attack) for attack in attacked]
        sections.append(_task_section(results, task, used))
    return Table(
        f"Clean and robust {wording.noun(results.metric(target))}",
        _how(results),
        tuple(columns),
        tuple(sections),
    )


def _how(results: Results) -> str:
    """How to read the main table."""
    runs = sorted({len(group.runs) for group in results.study.groups})
    seeds = f"mean over {wording.counted(runs[-1], 'seed')}" if runs[-1] > 1 else "one seed"
    if len(runs) > 1:
        seeds = f"mean over {runs[0]} to {runs[-1]} seeds"
    said = f"{seeds[0].upper()}{seeds[1:]}; in brackets 95 % bootstrap intervals over test examples."
    if not results.study.pairs:
        return said
    tests = results.comparisons["p_values"].list.len().sum()
    mcnemar = "; p is McNemar’s exact test, one for each pair of seeds" if tests else ""
    holm = f", and Holm the same corrected for the {tests:,} such tests of the study" if tests > 1 else ""
    return f"{said} Differences are paired on the same examples{mcnemar}{holm}."


def _head(attack: Attack) -> Cell:
    return Cell(attack.method, (attack.ball,))


def _task_section(results: Results, task: str, attacks: list[Attack]) -> Section:
    """One task’s rows: the groups in their order, each pair's difference below it."""
    metric = results.metric(task)
    counts = sorted({row["n"] for g in results.holding(task) for a in attacks if (row := results.value(g, task, a))})
    n = f"n = {counts[0]:,}" if len(counts) == 1 else f"n = {counts[0]:,} to {counts[-1]:,}"
    note = f"{wording.METRICS.get(metric, metric)}, {n}{_aimed(results, task, attacks)}"
    rows: list[Row] = []
    for group in results.study.groups:
        cells = tuple(_value_cell(results.value(group.name, task, attack)) for attack in attacks)
        if any(cell != _NOTHING for cell in cells):
            rows.append(Row(Cell(group.name), cells))
        rows += _difference_row(results, group, task, attacks)
    return Section(task, tuple(rows), note)


def _aimed(results: Results, task: str, attacks: list[Attack]) -> str:
    """Which tasks the attacks in a section aim at, for its title."""
    aims = [aim for a in attacks if (aim := aim_of(results, task, a))]
    return f"; attacked: {', or '.join(dict.fromkeys(aims))}" if aims else ""


def aim_of(results: Results, task: str, attack: Attack) -> str:
    """The tasks ``attack`` aims at on the models that do ``task``, and their balance: ``digit + parity (minmax)``."""
    found = []
    for group in results.holding(task):
        aim = results.aim(group, attack)
        if len(aim) == 1:
            found.append(f"{aim[0]} alone")
        elif aim:
            found.append(f"{' + '.join(aim)} ({results.balance(group, attack)})")
    return " or ".join(dict.fromkeys(found))


def _value_cell(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return _NOTHING
    metric = row["metric"]
    return Cell(wording.number(metric, row["value"]), (wording.between(metric, row["low"], row["high"]),), row)


def _difference_row(results: Results, group: Group, task: str, attacks: list[Attack]) -> list[Row]:
    """The row of ``group`` less its counterpart, none where they share nothing on the task."""
    cells = []
    for attack in attacks:
        row = results.difference(group.name, task, attack)
        cells.append(_difference_cell(row, attack) if row else _NOTHING)
    if all(cell == _NOTHING for cell in cells):
        return []
    return [Row(Cell("difference", (f"to {group.counterpart}",)), tuple(cells), "difference")]


def _difference_cell(row: dict[str, Any], attack: Attack) -> Cell:
    metric = row["metric"]
    notes = (wording.between(metric, row["low"], row["high"]), *wording.tests(row))
    return Cell(wording.signed(metric, row["difference"]), notes, difference_record(row, attack))


def difference_record(row: Mapping[str, Any], attack: Attack) -> dict[str, Any]:
    """A row of the comparisons as a line beside those of the summary: its interval is that of the difference."""
    names = {"low": "difference_low", "high": "difference_high"}
    about = {name: getattr(attack, name) for name in ("family", "norm", "eps", "steps")}
    return {names.get(name, name): value for name, value in row.items()} | about


def objectives_table(results: Results) -> Table | None:
    """What attacks on several tasks at once do to every task; None where the study has none.

    For the attacks of :meth:`Results.joint`: each objective of each group that does several tasks.
    """
    attacks = results.joint()
    groups = [group for group in results.study.groups if len(group.tasks) > 1]
    joint = any(len(results.aim(group.name, attack)) > 1 for group in groups for attack in attacks)
    if not joint:
        return None
    tasks = [task for task in results.study.tasks if any(task in group.tasks for group in groups)]
    columns = [Cell("attack"), *(Cell(t, (wording.METRICS.get(m := results.metric(t), m),)) for t in tasks)]
    columns += [Cell("Δ_MTL", ("mean, %",)), Cell("Δ_Wor", ("least degraded, %",))]
    sections = tuple(
        Section(group.name, tuple(row for attack in attacks if (row := _objective_row(results, group, attack, tasks))))
        for group in groups
    )
    caption = (
        "Δ is the relative change of a task’s metric from its clean value, negative where the attack does harm. "
        "Δ_MTL is its mean over tasks, Δ_Wor that of the least degraded task: an attack is stronger on all "
        "tasks at once the lower both are. In brackets 95 % bootstrap intervals, clean and attacked resampled together."
    )
    return Table("Attacks on one task and on several at once", caption, tuple(columns), sections)


def _objective_row(results: Results, group: Group, attack: Attack, tasks: list[str]) -> Row | None:
    values = [results.value(group.name, task, attack) for task in (*tasks, "delta_mtl", "delta_wor")]
    if not any(values):
        return None
    changes = [results.change(group.name, task, attack) for task in tasks]
    aim = results.aim(group.name, attack)
    joint = (f"on {' + '.join(aim)}", f"balance: {results.balance(group.name, attack)}")
    notes = joint if len(aim) > 1 else (f"on {aim[0]} alone",) if aim else ()
    head = Cell("no attack") if attack.clean else Cell(str(attack), notes)
    cells = [_value_cell(row) for row in values]
    for place, change in enumerate(changes):
        if change is not None:
            told = f"Δ {wording.number('delta_mtl', change)}\N{NO-BREAK SPACE}%"
            cells[place] = replace(cells[place], notes=(*cells[place].notes, told))
    return Row(head, tuple(cells))


def full_table(results: Results) -> Table:
    """Every number of the study: one line per group, task, metric and attack, then the spread over seeds."""
    heads = ("attack", "value", "95 % interval", "spread over seeds", "n", "seeds")
    sections = []
    for group in results.study.groups:
        for task in (*results.study.tasks, "delta_mtl", "delta_wor"):
            lines: dict[str, list[Row]] = {}  # by metric
            for attack in results.attacks:
                first = results.value(group.name, task, attack)
                for row in [*([first] if first else []), *results.further(group.name, task, attack)]:
                    lines.setdefault(row["metric"], []).append(_full_row(attack, row))
            for metric, rows in lines.items():
                words = wording.METRICS.get(metric, metric)
                label = words if metric == task else f"{task}, {words}"
                sections.append(Section(f"{group.name}: {label}", tuple(rows)))
    return Table("Every number", "", tuple(Cell(head) for head in heads), tuple(sections))


def _full_row(attack: Attack, row: dict[str, Any]) -> Row:
    metric, spread = row["metric"], row["spread"]
    head = Cell(attack.name, () if attack.clean else (f"{attack}; {row['objective']}",))
    texts = (
        wording.number(metric, row["value"]),
        wording.between(metric, row["low"], row["high"]),
        "–" if spread is None else f"±{wording.number(metric, spread)}",
        f"{row['n']:,}",
        f"{row['runs']}",
    )
    return Row(head, (Cell(texts[0], record=row), *map(Cell, texts[1:])))
