from __future__ import annotations

import polars as pl
import pytest

from testudo.errors import TestudoError
from testudo.reports.findings import findings, verdict
from testudo.reports.results import Results


def told(results) -> str:
    return "\n".join(" ".join((f.title, f.badge, *f.sentences)) for f in findings(results))


def with_difference(results, low, high) -> Results:
    changed = results.comparisons.with_columns(difference=pl.lit((low + high) / 2), low=pl.lit(low), high=pl.lit(high))
    return Results(results.study, results.summary, changed)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.03, "under the strongest attack: better, with 2 seeds"),
        (-0.03, -0.01, "under the strongest attack: worse, with 2 seeds"),
        (-0.01, 0.03, "under the strongest attack: no difference shown"),
        (0.0, 0.03, "under the strongest attack: no difference shown"),
    ],
)
def test_the_verdict_follows_the_interval(results, low, high, expected):
    text = told(with_difference(results, low, high))
    assert text.count(expected) == 2
    assert ("the interval includes 0" in text) == ("no difference" in expected)
    assert ("multi-task are worse" in text) == ("worse" in expected)


def test_a_smaller_error_is_better():
    assert verdict({"low": 0.1, "high": 0.2}, higher_is_better=False) == "worse"
    assert verdict({"low": -0.2, "high": -0.1}, higher_is_better=False) == "better"


def test_every_variant_and_count_is_told(results):
    text = told(results)
    strongest = results.strongest("digit")
    assert (strongest.family, strongest.eps) == ("pgd", 0.2)
    for group in results.study.groups:
        for attack in (results.clean(), strongest):
            assert f"{100 * results.value(group.name, 'digit', attack)['value']:.1f}\N{NO-BREAK SPACE}%" in text
    said = [verdict(results.difference("standard, multi-task", "digit", a), True) for a in results.on("digit")]
    assert f"better in {said.count('better')}, worse in {said.count('worse')}" in text
    assert "Δ_Wor" in text


def test_an_attack_on_few_examples_says_so(results):
    n = results.value("standard, multi-task", "digit", results.clean())["n"]
    assert f"It was made on {n} test examples." in told(results)
    fewer = pl.when(pl.col("attack") == results.clean().name).then("n").otherwise(5)
    assert f"It was made on 5 of {n} test examples." in told(
        Results(results.study, results.summary.with_columns(n=fewer), results.comparisons)
    )


def test_attacks_on_the_target_alone_are_preferred(results):
    assert len(results.on("digit")) == 13
    assert {results.aim(g.name, a) for g in results.study.groups for a in results.on("digit")} == {("digit",)}
    assert {results.aim("standard, multi-task", a) for a in results.on("loop")} == {("digit", "parity", "loop")}


def test_a_study_without_attacks_or_pairs_still_speaks(study, frames):
    clean = frames[0].filter(family="clean")
    text = told(Results(study, clean, frames[1].clear()))
    assert "on clean images" in text
    assert "strongest" not in text


def test_frames_of_another_kind_are_refused(study, frames):
    summary, comparisons = frames
    with pytest.raises(TestudoError, match="the summary lacks the column 'value'"):
        Results(study, summary.drop("value"), comparisons)
    with pytest.raises(TestudoError, match="the comparisons lacks the column 'p_values'"):
        Results(study, summary, comparisons.drop("p_values"))
    with pytest.raises(TestudoError, match="holds nothing on the target 'digit'"):
        Results(study, summary.filter(task="loop"), comparisons)
