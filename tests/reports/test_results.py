"""What tables and sentences are told of attacks on several tasks at once."""

from __future__ import annotations

import polars as pl
import pytest

from testudo.reports.findings import findings
from testudo.reports.results import Results
from testudo.reports.study import Group, Study
from testudo.reports.study_tables import objectives_table

TASKS = {"rooms": ("miou", True, 0.5), "depth": ("aerr", False, 1.0)}
# attack: family, objective, and what it leaves of each metric
ATTACKS = {
    "clean": ("clean", "", (0.5, 1.0)),
    "a": ("pgd", "rooms", (0.1, 1.1)),
    "b": ("pgd", "depth", (0.4, 4.0)),
    "both": ("pgd", "all:minmax", (0.2, 2.0)),
    "ours": ("siege", "all:softmin", (0.15, 2.5)),
}


def row(task, attack, value, metric, upward):
    family, objective, _ = ATTACKS[attack]
    facts = {"family": family, "norm": "" if family == "clean" else "linf", "eps": 0.0 if family == "clean" else 0.1}
    numbers = {"value": value, "low": value, "high": value, "n": 9, "runs": 1, "spread": None}
    names = {
        "group": "g",
        "task": task,
        "attack": attack,
        "metric": metric,
        "primary": True,
        "higher_is_better": upward,
    }
    return {**names, **numbers, **facts, "steps": 0 if family == "clean" else 10, "objective": objective}


@pytest.fixture
def results():
    rows = []
    for attack, (_, _, left) in ATTACKS.items():
        changes = []
        for (task, (metric, upward, clean)), value in zip(TASKS.items(), left, strict=True):
            rows.append(row(task, attack, value, metric, upward))
            changes.append((value - clean) / clean if upward else (clean - value) / value)
        if attack != "clean":
            rows.append(row("*", attack, sum(changes) / 2, "delta_mtl", True))
            rows.append(row("*", attack, max(changes), "delta_wor", True))
    names = ["group", "counterpart", "task", "attack", "metric", "difference", "low", "high", "p_values", "b", "c"]
    facts = {"name": "test"}
    study = Study("s", "S", (), "rooms", (Group("g", ("g-s0",), None, tuple(TASKS), ""),), facts, {}, 1.0, "")
    return Results(study, pl.DataFrame(rows), pl.DataFrame(schema=dict.fromkeys(names, pl.Float64)))


def attack(results, name):
    return next(a for a in results.attacks if a.name == name)


def test_changes_are_the_papers_deltas(results):
    """By hand: 0.5 to 0.2 is -60 %; an error of 1 that becomes 2 is -50 %."""
    both = attack(results, "both")
    assert results.change("g", "rooms", both) == pytest.approx(-0.6)
    assert results.change("g", "depth", both) == pytest.approx(-0.5)
    assert results.change("g", "depth", attack(results, "clean")) is None


def test_the_ceiling_is_the_task_that_its_own_attack_hurts_least(results):
    """Alone, rooms falls by 80 %, depth by 75 %."""
    assert results.ceiling("g", results.attacks) == pytest.approx(-0.75)
    assert results.ceiling("g", [attack(results, "a"), attack(results, "both")]) is None


def test_attacks_that_only_come_jointly_are_compared_too(results):
    assert [a.name for a in results.joint()] == ["clean", "a", "b", "both", "ours"]
    text = objectives_table(results).markdown()
    assert "Siege-10" in text
    assert "Δ −50.0" in text


def test_the_sentence_names_the_attack_that_leaves_no_task_unharmed(results):
    said = " ".join(sentence for finding in findings(results) for sentence in finding.sentences)
    assert "of 4 attacks, Siege-10 on rooms + depth with balance softmin does most harm" in said
    assert "the least hurt of them changes by −75.0" in said


def test_what_is_raised_tells_attacks_apart(results):
    """``by houdini`` is no task, and an attack of its own kind."""
    hard = results.summary.filter(attack="a").with_columns(attack=pl.lit("h"), objective=pl.lit("rooms by houdini"))
    more = Results(results.study, pl.concat([results.summary, hard]), results.comparisons)
    own, other = attack(more, "a"), attack(more, "h")
    assert more.aim("g", other) == ("rooms",)
    assert own.kind != other.kind
    assert (own.method, other.method) == ("PGD-10", "PGD-10 by houdini")
    assert more.headline("rooms") == [own, other]  # one eps: a column for each
