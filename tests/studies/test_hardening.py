"""The study of training methods: equal steps, equal passes, twins, and the way to its page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import tiny

from testudo import cli
from testudo.attacks.ensemble import AutoAttack
from testudo.data.digits import Digits
from testudo.errors import TestudoError
from testudo.parts import build, dump
from testudo.studies.hardening import METHODS, Hardening
from testudo.studies.runner import Runner

SEARCH = AutoAttack.search


def quick(attack, problem):
    """AutoAttack in a few steps."""
    return SEARCH(replace(attack, steps=2, queries=10), problem)


def steps(variant, examples=6400):
    """Optimiser steps of the whole training, epochs being whole numbers."""
    trainer, method = variant.recipe.trainer, variant.recipe.method
    tasks = list(variant.recipe.learnt().values())
    return trainer.epochs * examples / trainer.batch_size * method.steps_of(tasks)


def passes(variant):
    """Passes over the whole training, in examples."""
    method = variant.recipe.method
    return variant.recipe.trainer.epochs * method.images * method.passes(list(variant.recipe.learnt().values()))


def test_at_equal_steps_everyone_makes_as_many():
    study = Hardening()
    assert {steps(variant) for variant in study.variants()} == {2000.0}
    seen = {variant.recipe.trainer.batch_size * variant.recipe.method.images for variant in study.variants()}
    assert seen == {64}


def test_at_equal_passes_everyone_makes_nearly_as_many():
    study = Hardening(budget="passes", epochs=60)
    assert all(passes(variant) == pytest.approx(60 * 8, rel=0.06) for variant in study.variants())


def test_twins_learn_the_main_task_alone_in_the_same_way():
    found = {variant.name: variant for variant in Hardening().variants()}
    assert set(METHODS) == {name.partition(",")[0] for name in found}
    for variant in found.values():
        if variant.counterpart is None:
            assert list(variant.recipe.learnt()) == ["digit"]
            continue
        twin = found[variant.counterpart]
        assert len(variant.recipe.learnt()) > 1
        assert steps(twin) == steps(variant)
        mine, its = (getattr(v.recipe.method, "attack", None) for v in (variant, twin))
        assert mine == its
    alone = {variant.name for variant in Hardening(methods=("hendrycks", "contrastive")).variants()}
    assert {"hendrycks, alone", "contrastive, alone"} < alone


def test_everyone_is_judged_by_the_strongest_attack_in_the_same_ball():
    for variant in Hardening().variants():
        pgd, whole = variant.recipe.suite.values()
        assert isinstance(whole, AutoAttack)
        assert pgd.threat == whole.threat
        assert float(pgd.threat.eps) == 0.15
        assert pgd.objective.tasks == ("digit",)


def test_both_budgets_on_one_page():
    study = Hardening.on(Digits())
    assert {name: part.budget for name, part in study.also.items()} == {"passes": "passes"}
    assert build(Hardening, dump(study)) == study
    assert len(study.every_run()) == 2 * 3 * len(study.variants())


@pytest.mark.slow
def test_the_whole_way(tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "__call__", tiny.one_by_one)
    monkeypatch.setattr(AutoAttack, "search", quick)
    file = tiny.images(tmp_path / "images", 48)
    words = ["study", "hardening", "--data", "manifest", "--data-dir", file, "--out", str(tmp_path / "study")]
    settings = (
        "seeds=[0]",
        "epochs=1",
        "steps=1",
        "model.width=2",
        "both=false",
        "tiles=2",
        "eps=0.05",
        "batch_size=16",
        "few=2",
    )
    for setting in (*settings, "augment.flip=false", 'methods=["trades","gat"]'):
        words += ["--set", setting]
    assert cli.run(words) == 0
    page = (tmp_path / "study" / "report.html").read_text()
    assert "gat, with parity and rotation" in page
    told = json.loads((tmp_path / "study" / "study.json").read_text())
    assert told["target"] == "digit"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hardening(methods=("madri",)), r"unknown method \(of this study\) 'madri'; did you mean 'madry'"),
        (lambda: replace(Hardening(), budget="time"), "unknown budget 'time'"),
    ],
)
def test_mistakes_are_one_line(make, message):
    with pytest.raises(TestudoError, match=message):
        make()
