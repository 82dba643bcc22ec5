"""The studies of dense tasks: what they train and attack, and the way to their pages on tiny rooms."""

from __future__ import annotations

import json

import pytest
import tiny

from testudo import cli
from testudo.attacks.siege import Siege
from testudo.data.scenes import Scenes
from testudo.errors import TestudoError
from testudo.models.unet import UNet
from testudo.parts import build, dump
from testudo.studies.auxiliaries import Auxiliaries
from testudo.studies.joint import Joint
from testudo.studies.quickstart import Quickstart
from testudo.studies.runner import Runner

ROOMS = Scenes(size=(16, 24), rooms=(2, 1, 2), views=2)
TINY = {"model": UNet(width=2), "epochs": 1, "batch_size": 2}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run a study as its command does; the words of its page."""
    monkeypatch.setattr(Runner, "__call__", tiny.one_by_one)

    def call(name, *settings):
        words = ["study", name, "--data", "scenes", "--out", str(tmp_path / name)]
        data = ("data.size=[16,24]", "data.rooms=[2,1,2]", "data.views=2", "model.width=2", "epochs=1", "batch_size=2")
        for setting in (*data, *settings):
            words += ["--set", setting]
        assert cli.run(words) == 0
        return (tmp_path / name / "report.html").read_text()

    return call


def test_the_joint_study_holds_every_attack_in_every_ball():
    study = Joint(data=ROOMS, l2=(0.5,), **TINY)
    whole, *alone = study.variants()
    assert [variant.recipe.tasks for variant in alone] == [("segmentation",), ("depth",), ("normal",)]
    assert {variant.counterpart for variant in alone} == {whole.name}
    assert len(whole.recipe.suite) == 4 * (3 + 4 + 1)
    assert all(len(variant.recipe.suite) == 4 for variant in alone)
    for name, attack in whole.recipe.suite.items():
        ratio = 5 if attack.threat.p == 2 else 4
        assert isinstance(attack, Siege) or attack.step == pytest.approx(attack.threat.eps / ratio), name
        assert (attack.iterations, attack.runs) == (10, 1)
    assert not Joint(data=ROOMS, twins=False, **TINY).variants()[1:]
    assert build(Joint, dump(study)) == study


def test_the_joint_study_goes_the_whole_way(command, tmp_path):
    page = command("joint", "linf=[0.02]", "steps=1")
    assert page.count('<figure class="card">') == 6  # two rooms under three balances
    assert page.count('alt="normal of example') == 18
    assert "Siege" in page
    told = json.loads((tmp_path / "joint" / "study.json").read_text())
    assert told["target"] == "segmentation"
    assert len(told["groups"]) == 4


def test_auxiliaries_take_every_choice_of_the_others():
    study = Auxiliaries(data=Scenes(size=(16, 24), wanted=("segmentation", "depth", "image")), **TINY)
    assert [v.recipe.tasks for v in study.variants()] == [
        ("segmentation",), ("segmentation", "depth"), ("segmentation", "image"), ("segmentation", "depth", "image"),
    ]  # fmt: skip
    ((name, other),) = study.also.items()
    assert name == other.main == "depth"
    assert [v.recipe.tasks[0] for v in other.variants()] == ["depth"] * 4
    assert "houdini100" in study.variants()[0].recipe.suite
    assert "houdini100" not in other.variants()[0].recipe.suite
    for variant in (*study.variants(), *other.variants()):
        method = variant.recipe.method
        assert [method.weight(task) for task in variant.recipe.tasks] == [1] + [0.1] * (len(variant.recipe.tasks) - 1)
        *aimed, whole = variant.recipe.suite.values()
        assert all(attack.objective.tasks == variant.recipe.tasks[:1] for attack in aimed)
        assert not whole.objective.tasks
    assert build(Auxiliaries, dump(study)) == study
    assert len(study.every_run()) == 8


def test_auxiliaries_go_the_whole_way(command, tmp_path):
    page = command("auxiliaries", "steps=[1,2]", "eps=0.02")
    assert "Do auxiliary tasks harden &#39;segmentation&#39;?" in page
    assert "Do auxiliary tasks harden &#39;depth&#39;?" in page
    assert "PGD-2 by houdini" in page
    told = json.loads((tmp_path / "auxiliaries" / "depth" / "study.json").read_text())
    assert told["target"] == "depth"


def test_the_main_job_has_a_dense_half_on_digits():
    made = Quickstart.on(build(type(Quickstart().data), {}, "data"))
    assert list(made.also) == ["rooms"]
    assert Quickstart(seeds=(3,)).also == {}
    assert {name.partition("/")[0] for name in made.every_run() if "/" in name} == {"rooms"}
    assert build(Quickstart, dump(made)) == made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Joint(linf=()), r"linf must be rising radii above 0"),
        (lambda: Joint(l2=(2.0, 1.0)), r"l2 must be rising radii above 0, got \(2.0, 1.0\)"),
        (lambda: Joint(data=ROOMS, tasks=("depth",)).variants(), "needs at least two, got depth"),
        (lambda: Joint(data=ROOMS, tasks=("depth", "norml")).variants(), "unknown task 'norml'; did you mean 'normal'"),
        (lambda: Auxiliaries(eps=0.0), "eps must be above 0 and steps rising from 1"),
        (lambda: Auxiliaries(steps=(20, 10)), "eps must be above 0 and steps rising from 1"),
        (lambda: Auxiliaries(mains=("colour",)), "unknown main task 'colour'"),
        (lambda: Auxiliaries(mains=()), "mains must name at least one task"),
    ],
)
def test_mistakes_are_one_line(make, message):
    with pytest.raises(TestudoError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
