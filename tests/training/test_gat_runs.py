"""GAT in runs and recipes: resumed, its heads dropped, its names, its twin, mistakes told before any work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch

from testudo.balance.floored import FlooredMGDA
from testudo.data.rotation import Rotation
from testudo.errors import TestudoError
from testudo.parts import build, dump
from testudo.run import train
from testudo.tasks.classification import Classification
from testudo.training import journal
from testudo.training.curvature import CurvatureTerms
from testudo.training.methods.base import Method
from testudo.training.methods.gat import GAT, GATCode, GATPaper

TASKS = (Classification("digit", classes=3), Classification("parity", classes=2))
TURN = Rotation()


SMALL = GAT(
    attack=tiny.INNER,
    balance=FlooredMGDA(named=("digit.adv",)),
    pretexts=(TURN,),
    curvature=CurvatureTerms(share=0.5, every=2, form="paper"),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny.images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def trained(file, tmp_path_factory):
    """A finished run with a relabelled and a self-supervised auxiliary task."""
    return train(tiny.recipe(file, SMALL), tmp_path_factory.mktemp("runs") / "run")


def test_a_run_goes_on_as_if_nothing_had_been(trained, file, tmp_path, monkeypatch):
    """The count of batches is in the checkpoint: stopped between two curvatures."""
    monkeypatch.setattr(journal, "SAVE_EVERY", -1.0)
    for batch in (2, 3):
        with pytest.raises(tiny.Stop):
            train(trained.recipe, tmp_path / str(batch), watchers=(tiny.Stopper(batch),))
        assert tiny.same_run(trained, train(trained.recipe, tmp_path / str(batch))) is None
    assert "curvature.rotation" in trained.log[0]["terms"]


def test_auxiliary_heads_are_dropped_and_the_main_outputs_stay_bit_by_bit(trained):
    whole, dropped = trained.model(pretexts=True), trained.model()
    assert list(whole.tasks) == ["digit", "parity", "rotation"]
    assert list(dropped.tasks) == ["digit", "parity"]
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = whole(images)
        assert torch.equal(dropped(images)["digit"], before["digit"])
        for name in ("parity", "rotation"):
            whole.drop_head(name)
        assert torch.equal(whole(images)["digit"], before["digit"])
    assert not [name for name, _ in whole.named_parameters() if "parity" in name or "rotation" in name]


def test_a_recipe_names_them():
    for kind, cls in (("gat", GAT), ("gat_paper", GATPaper), ("gat_code", GATCode)):
        values = {"kind": kind, "attacked": "both", "curvature": {"every": 2}, "attack": {"kind": "pgd", "steps": 3}}
        made = build(Method, values)
        assert type(made) is cls
        assert (made.attacked, made.curvature.every, made.attack.steps) == ("both", 2, 3)
        assert build(Method, dump(made)) == made


def test_passes_and_the_single_task_twin():
    method = GAT(curvature=CurvatureTerms(1.0, share=1.0, every=2))
    assert method.passes(TASKS) == 10 + 2 + 3  # 5 in every second batch, rounded up
    assert method.passes(TASKS[:1]) == 12
    twin = replace(method, attacked="auxiliary", weights={"digit": 2.0, "parity": 1.0}, pretexts=(TURN,)).alone("digit")
    assert (twin.attacked, twin.weights, twin.pretexts) == ("main", {"digit": 2.0}, ())
    twin.check({"digit": TASKS[0]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attacked": "all"}, "unknown attacked 'all'"),
        ({"attacked": "auxiliary", "pretexts": (TURN,)}, "attacked = 'auxiliary' with pretexts alone needs"),
        ({"adversarial_pretexts": True, "pretexts": (TURN,)}, "adversarial_pretexts needs main_sees = 'transformed'"),
        ({"balance": FlooredMGDA(named=("*.hurt",))}, "no term fits '*.hurt' (the balance has: digit.clean"),
        ({"balance": FlooredMGDA(), "joined": True}, "no term fits '*.adv' (the balance has: digit.joint"),
    ],
)
def test_mistakes_are_told_before_any_work(fields, message):
    single = {task.name: task for task in (TASKS[0], TURN.task)}
    with pytest.raises(TestudoError) as caught:
        GAT(**{"pretexts": (TURN,), **fields}).check(single)
    assert str(caught.value).startswith(message)


def test_a_model_without_auxiliaries():
    tasks = {"digit": TASKS[0]}
    GAT().check(tasks)
    with pytest.raises(TestudoError, match="needs an auxiliary task, and the model has the main one alone"):
        GAT(attacked="auxiliary").check(tasks)
    with pytest.raises(TestudoError, match="can have no task of such a name"):
        GAT().check({"digit": TASKS[0], "adv": Classification("adv", classes=2)})
