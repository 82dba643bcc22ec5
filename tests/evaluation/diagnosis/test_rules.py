"""What each check makes of given outcomes: verdicts on both sides of its limits, and what it asks for to decide."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from testudo.attacks.threat import L1, L2, Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS
from testudo.evaluation.diagnosis.above_clean import AboveClean
from testudo.evaluation.diagnosis.autoattack_gap import AutoAttackGap
from testudo.evaluation.diagnosis.base import Finding, worst
from testudo.evaluation.diagnosis.battery import Battery, box
from testudo.evaluation.diagnosis.black_box import BlackBox
from testudo.evaluation.diagnosis.diagnosis import Diagnosis
from testudo.evaluation.diagnosis.evidence import Evidence
from testudo.evaluation.diagnosis.gradients import rise
from testudo.evaluation.diagnosis.more_search import MoreSearch
from testudo.evaluation.diagnosis.one_step import OneStep
from testudo.evaluation.diagnosis.surface import Surface, roughness
from testudo.evaluation.diagnosis.twin import Twin
from testudo.evaluation.diagnosis.unbounded import Unbounded
from testudo.tasks.classification import Classification
from testudo.tasks.regression import Regression

DIGIT, ANGLE = Classification("digit", classes=10), Regression("angle")


def rows(name, task, right, loss):
    """Result rows of one attack: ``right`` (n,) of a classification, and ``loss`` (n,)."""
    n, classes = len(loss), task is DIGIT
    record = np.stack([right, np.ones(n)], 1) if classes else np.stack([loss, np.zeros(n)], 1)
    facts = {"run": "", "task": task.name, "metric": task.metric_name, "attack": name, "family": name, "norm": "linf"}
    values = {"example": np.arange(n), "further": [[]] * n, "eps": 0.1, "steps": 1, "objective": "", "linf": 0.1}
    values |= {"score": right if classes else loss, "loss": loss, "l2": 0.1, "record": record.tolist()}
    return (
        pl.DataFrame({**values, **{key: pl.Series([value] * n) for key, value in facts.items()}})
        .select(*ROWS)
        .cast(dict(ROWS))
    )


def evidence(n=200, task=DIGIT, losses=None, twin=None, **standing):
    """Attacks that leave so many of ``n`` right, always the first; 'clean' all, any other half of them."""
    names = {name.replace("_", " "): count for name, count in standing.items()}

    def kept(name, key, make, watch):
        right = (np.arange(n) < names.get(name, n if name == "clean" else n // 2)).astype(float)
        return rows(name, task, right, (losses or {}).get(name, 1 - right))

    labels = torch.zeros(n, dtype=torch.int64) if task is DIGIT else torch.zeros(n, 1)
    batch = Batch(torch.zeros(n, 1, 4, 4), {task.name: labels})
    return Evidence(None, batch, task, Linf(0.1), Battery(), twin=twin, keep=kept)


LEADS = {  # who must not lead, in which check, over whom
    "fgsm": (OneStep(), "pgd"),
    "square": (BlackBox(), "pgd"),
    "noise": (BlackBox(), "pgd"),
    "transfer": (Twin(), "pgd"),
    "another image": (Unbounded(), "pgd box"),
    "pgd 2 eps": (Unbounded(), "pgd 4 eps"),
}


@pytest.mark.parametrize("name", LEADS)
@pytest.mark.parametrize(
    ("ahead", "n", "verdict"),
    [(0, 200, "pass"), (7, 200, "pass"), (8, 200, "warn"), (10, 200, "fail"), (8, 2000, "warn"), (7, 100, "warn")],
)
def test_a_lead_fails_where_it_is_no_chance_and_large(name, ahead, n, verdict):
    check, _ = LEADS[name]
    given = evidence(n, twin=object(), **{name: n // 2 - ahead, **({"pgd": n // 2} if name == "pgd 2 eps" else {})})
    assert check(given).verdict == verdict


def test_what_it_takes_to_decide_is_told():
    assert OneStep()(evidence(60, fgsm=30)).said == "not decided: it would take 104 examples"
    assert "it would take about 2" in OneStep()(evidence(100, fgsm=44)).said
    assert OneStep()(evidence(104, fgsm=52)).verdict == "pass"
    assert OneStep()(evidence(60, fgsm=60)).verdict == "pass"  # far weaker: that takes no more examples
    assert "not decided" in MoreSearch()(evidence(40)).said
    assert "not decided" in AutoAttackGap()(evidence(40)).said


@pytest.mark.parametrize(("found", "verdict"), [(0, "pass"), (12, "pass"), (22, "warn"), (40, "fail")])
def test_more_search(found, verdict):
    half = {"pgd longer": 100 - found // 2, "pgd restarts": 100 - found}
    said = MoreSearch()(evidence(**half))
    assert (said.verdict, said.numbers["count"]) == (verdict, found)


@pytest.mark.parametrize(("found", "verdict"), [(0, "pass"), (12, "pass"), (24, "warn"), (40, "fail")])
def test_autoattack_gap_counts_the_worst_of_its_parts(found, verdict):
    said = AutoAttackGap()(evidence(gradients=100 - found // 2, square=100 - found))
    assert (said.verdict, said.numbers["count"]) == (verdict, found)


def test_a_gap_at_a_lower_loss_is_no_masking():
    pgd, auto = np.full(200, 1.5), np.full(200, 1.2)
    said = AutoAttackGap()(evidence(gradients=40, square=40, losses={"pgd": pgd, "gradients": auto, "square": auto}))
    assert (said.verdict, said.numbers["gap"], said.numbers["count"]) == ("warn", 0.3, 0)
    assert "climbs the wrong loss" in said.said


def test_above_clean():
    assert AboveClean()(evidence(clean=180, fgsm=195)).verdict == "fail"
    assert AboveClean()(evidence(clean=180, fgsm=184)).verdict == "pass"
    assert AboveClean()(evidence()).verdict == "pass"


def test_tasks_of_numbers_are_compared_by_their_loss():
    one, two = np.ones(200), np.full(200, 2.0)
    losses = {"clean": 0 * one, "pgd": one, "fgsm": one, "square": one, "noise": 0 * one, "pgd box": two}
    losses |= dict.fromkeys(["pgd restarts", "pgd longer", "pgd 2 eps", "pgd 4 eps"], one) | {"another image": one}
    told, checks = {}, (OneStep(), BlackBox(), MoreSearch(), Unbounded(), AboveClean())
    for name, value in (("even", {}), ("fgsm", {"fgsm": 1.2 * one}), ("square", {"square": 1.04 * one})):
        given = evidence(task=ANGLE, losses=losses | value)
        told[name] = [check(given).verdict for check in checks]
    assert told["even"] == ["pass"] * 5
    assert told["fgsm"][0] == "fail"
    assert told["square"][1] == "warn"  # surely stronger, by less than 5 % of the harm
    more = evidence(task=ANGLE, losses=losses | {"pgd restarts": 1.3 * one})
    assert MoreSearch()(more).verdict == "fail"
    assert MoreSearch()(more).numbers["gain"] == pytest.approx(0.3)
    assert AutoAttackGap()(more).verdict == "skipped"
    assert Twin()(more).verdict == "skipped"


def test_roughness_of_known_lines():
    draw = np.random.default_rng(0)
    line, jumps = np.linspace(0, 1, 33)[None], (np.arange(33) // 9)[None].astype(float)
    assert roughness(line) == pytest.approx(0, abs=1e-6)
    assert roughness(jumps) == pytest.approx(2)
    assert roughness(np.ones((1, 33))) == 0
    assert roughness(1e6 + draw.normal(size=(1, 33)) * 1e-3) == 0  # less than a float32 tells
    assert roughness(draw.normal(size=(500, 33)).cumsum(1)).mean() == pytest.approx(2**0.5, rel=0.05)
    assert roughness(draw.normal(size=(500, 33))).mean() == pytest.approx(3**0.5, rel=0.05)


@pytest.mark.parametrize(("threat", "gain"), [(Linf(0.5), 3.5), (L2(0.5), 2.5), (L1(0.5), 2.0)])
def test_the_rise_promised_is_the_dual_norm(threat, gain):
    gradient = torch.tensor([[[[4.0, -3.0, 0.0]]]])
    assert rise(threat, gradient).item() == pytest.approx(gain)
    way = threat.direction(gradient, torch.full_like(gradient, 0.5)) * threat.eps
    assert float((gradient * way).sum()) == pytest.approx(gain)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.1), L1(0.1)])
def test_the_box_holds_any_two_images_and_no_smaller_ball_does(threat):
    black, white = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    whole = box(threat, 48)
    assert torch.equal(whole.project(white, black), white)
    smaller = replace(whole, eps=0.99 * whole.eps)
    assert not torch.equal(smaller.project(white, black), white)


def test_a_verdict_is_the_worst_and_the_json_has_no_nan():
    findings = tuple(
        Finding(name, "digit", name, "so | so", {"a": float("inf")}) for name in ("pass", "skipped", "warn")
    )
    diagnosis = Diagnosis(findings, "mine", "linf 0.1", 7)
    assert diagnosis.verdict == "warn"
    assert worst([]) == "skipped"
    told = json.loads(diagnosis.json())
    assert told["verdict"] == "warn"
    assert told["findings"][0]["numbers"] == {"a": None}
    assert diagnosis.markdown().count("so \\| so") == 3
    assert diagnosis.of("warn").verdict == "warn"
    with pytest.raises(KeyError):
        diagnosis.of("nothing")


def test_a_battery_and_a_surface_refuse_what_means_nothing():
    with pytest.raises(TestudoError, match="battery: queries must be at least 1, got 0"):
        Battery(queries=0)
    with pytest.raises(TestudoError, match="points must be at least 3"):
        Surface(points=2)
