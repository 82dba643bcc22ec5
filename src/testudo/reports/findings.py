"""What was found, in sentences made from the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from testudo.reports import wording
from testudo.reports.results import Attack, Results
from testudo.reports.study import Group
from testudo.reports.study_tables import aim_of

Verdict = Literal["better", "worse", "open"]


@dataclass(frozen=True)
class Finding:
    """A heading and its sentences.

    Args:
        title, sentences: in plain words.
        verdict: what was found under the strongest attack (on clean images where there is none), None where
            nothing is compared.
        badge: the verdict in words.
    """

    title: str
    sentences: tuple[str, ...]
    verdict: Verdict | None = None
    badge: str = ""


def verdict(row: Mapping[str, Any], higher_is_better: bool) -> Verdict:
    """What an interval of a difference says: ``open`` where it includes 0.

    >>> verdict({"low": 0.01, "high": 0.05}, True), verdict({"low": -0.01, "high": 0.05}, True)
    ('better', 'open')
    """
    if not (row["low"] > 0 or row["high"] < 0):
        return "open"
    return "better" if (row["low"] > 0) == higher_is_better else "worse"


def findings(results: Results) -> list[Finding]:
    """The study's results on its target: every variant, then every pair, then attacks on several tasks."""
    target = results.study.target
    others = [task for group in results.study.groups if target not in group.tasks for task in group.tasks]
    found = [_variants(results, task) for task in dict.fromkeys([target, *others])]
    found += [_pair(results, group, other) for group, other in results.study.pairs]
    return [finding for finding in (*found, _joint(results)) if finding and finding.sentences]


def _variants(results: Results, target: str) -> Finding:
    """Clean and robust metric of each group on a task."""
    clean, strongest = results.clean(), results.strongest(target)
    metric = wording.noun(results.metric(target))
    sentences = []
    if strongest:
        sentences.append(
            f"The strongest attack on {target} in this study is {strongest}, aimed at "
            f"{aim_of(results, target, strongest)}: it has the worst mean {metric} over the variants. "
            f"{_examples(results, target, clean, strongest)}"
        )
    for group in results.study.groups:
        shown = [
            f"{_estimate(row)} {place}"
            for attack, place in ((clean, "on clean images"), (strongest, "under that attack"))
            if attack and (row := results.value(group.name, target, attack))
        ]
        if shown:
            sentences.append(f"{group.name}: {', '.join(shown)}.")
    return Finding(f"{target}: {metric} of every variant", tuple(sentences))


def _examples(results: Results, target: str, clean: Attack | None, strongest: Attack) -> str:
    """On how many test examples."""
    names = [group.name for group in results.study.groups]
    under, without = (
        max((row["n"] for name in names if attack and (row := results.value(name, target, attack))), default=0)
        for attack in (strongest, clean)
    )
    of = f" of {without:,}" if without > under else ""
    return f"It was made on {under:,}{of} test examples."


def _pair(results: Results, first: Group, second: Group) -> Finding:
    """One group against its counterpart: clean, under the strongest attack, and over all attacks.

    On the target, or where they do not share it, on the first task they do.
    """
    group, other, sentences, last = first.name, second.name, [], None
    shared = [task for task in results.study.tasks if task in first.tasks and task in second.tasks]
    target = shared[0] if shared else results.study.target
    for attack in (results.clean(), results.strongest(target)):
        row = results.difference(group, target, attack) if attack else None
        if attack and row:
            last = verdict(row, results.higher_is_better(target))
            sentences.append(_told(results, attack, row, last))
    counted = _count(results, group, target)
    if counted:
        sentences.append(counted)
    place = "under the strongest attack" if results.strongest(target) else "on clean images"
    seeds = wording.counted(len(first.runs), "seed")
    badge = f"{place}: {'no difference shown' if last == 'open' else f'{last}, with {seeds}'}" if last else ""
    return Finding(f"{group} against {other}", tuple(sentences), last, badge)


def _told(results: Results, attack: Attack, row: Mapping[str, Any], found: Verdict) -> str:
    """One difference with its interval, verdict and p-values."""
    metric, group, task = row["metric"], row["group"], row["task"]
    where = "On clean images" if attack.clean else f"Under {attack} on {aim_of(results, task, attack)}"
    both = [results.value(name, task, attack) for name in (group, row["counterpart"])]
    values = " against ".join(wording.with_unit(metric, side["value"]) for side in both if side)
    unit = wording.unit_of_difference(metric)
    difference = f"{wording.signed(metric, row['difference'])}{unit} {wording.between(metric, row['low'], row['high'])}"
    said = {
        "open": "the interval includes 0, so no difference is shown",
        "better": f"the runs of {group} are better",
        "worse": f"the runs of {group} are worse",
    }[found]
    tests = f" McNemar’s {'; '.join(wording.tests(row))}{_per_seed(row)}." if row["p_values"] else ""
    return f"{where}: {values}, a difference of {difference}; {said}.{tests}"


def _per_seed(row: Mapping[str, Any]) -> str:
    return f" ({wording.counted(len(row['p_values']), 'pair')} of seeds)" if len(row["p_values"]) > 1 else ""


def _count(results: Results, group: str, target: str) -> str:
    """In how many of the attacks on a task the interval tells the pair apart, and which way."""
    rows = [row for attack in results.on(target) if (row := results.difference(group, target, attack))]
    if len(rows) < 2:
        return ""
    said = [verdict(row, results.higher_is_better(target)) for row in rows]
    return (
        f"Over all {len(rows)} attacks on {target}: better in {said.count('better')}, worse in {said.count('worse')}, "
        f"not told apart in {said.count('open')} (95 % intervals, each by itself)."
    )


def _joint(results: Results) -> Finding | None:
    """Which attack does most harm to all tasks at once, in the ball of the strongest one on the target."""
    strongest = results.strongest(results.study.target)
    if strongest is None:
        return None
    alike = [a for a in results.joint() if (a.norm, a.eps) == (strongest.norm, strongest.eps)]
    said = (_harm(results, group, alike) for group in results.study.groups if len(group.tasks) > 1)
    ball = str(strongest).partition(", ")[2]
    return Finding(f"Attacking several tasks at once ({ball})", tuple(sentence for sentence in said if sentence))


def _harm(results: Results, group: Group, attacks: Sequence[Attack]) -> str:
    """Which of the attacks leaves no task of a group unharmed, and what bounds it."""
    known = {a: row for a in attacks if (row := results.value(group.name, "delta_wor", a))}
    if len(known) < 2:
        return ""
    lowest = min(known, key=lambda a: known[a]["value"])
    mean, aim = results.value(group.name, "delta_mtl", lowest), results.aim(group.name, lowest)
    balance = f" with balance {results.balance(group.name, lowest)}" if len(aim) > 1 else " alone"
    average = f", with Δ_MTL {_estimate(mean)} on average" if mean else ""
    said = (
        f"{group.name}: of {len(known)} attacks, {lowest.method} on {' + '.join(aim)}{balance} does most harm to the "
        f"least degraded task, Δ_Wor {_estimate(known[lowest])}{average}."
    )
    ceiling = results.ceiling(group.name, attacks)
    if ceiling is None:
        return said
    return (
        f"{said} By attacks on each task alone the least hurt of them changes by "
        f"{wording.with_unit('delta_wor', ceiling)}: one on all tasks can hardly do more to every one."
    )


def _estimate(row: Mapping[str, Any]) -> str:
    """A value with unit and interval."""
    metric = row["metric"]
    return f"{wording.with_unit(metric, row['value'])} {wording.between(metric, row['low'], row['high'])}"
