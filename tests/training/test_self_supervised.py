"""Methods with self-supervised tasks: their terms by hand, and runs from a recipe to rows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest
import tiny
import torch
import torch.nn.functional as F

import testudo as td
from testudo.data.batch import Batch
from testudo.data.cifar import CIFAR10
from testudo.data.contrastive import ContrastiveViews
from testudo.data.jigsaw import Jigsaw
from testudo.data.pixel_labels import HogLabel, ImageLabel
from testudo.data.rotation import Rotation
from testudo.errors import TestudoError
from testudo.models.multitask import MultiTaskModel
from testudo.models.resnet import ResNet18
from testudo.recipe import Recipe
from testudo.run import train
from testudo.tasks.classification import Classification
from testudo.training.methods.contrastive import Contrastive
from testudo.training.methods.hendrycks import Hendrycks
from testudo.training.methods.madry import Madry
from testudo.training.methods.standard import Standard
from testudo.training.trainer import Trainer

writers = SimpleNamespace(**run_path(str(Path(__file__).resolve().parents[1] / "data" / "writers.py")))
KIND = Classification("kind", classes=3)
INNER = td.PGD(td.Linf(0.1), steps=2, keep="last")


def net(method):
    tasks = (KIND, *(pretext.task for pretext in method.pretexts))
    return MultiTaskModel(ResNet18(width=4).build(1), tasks, [0.5], [0.5]).eval()


def posed(method, model, count=8):
    draw = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.rand(count, 1, 8, 8, generator=draw), {"kind": torch.arange(count) % 3}, torch.arange(count) + 9
    )
    return batch, method.pose(batch, model.tasks, torch.arange(count))


def test_hendrycks_is_the_loss_at_images_each_attacked_on_its_own():
    method = Hendrycks(attack=INNER)
    model = net(method)
    batch, data = posed(method, model)
    assert len(data) == 5 * len(batch)
    terms = method.terms(model, data)
    first = replace(INNER, objective=td.Objective(("kind",))).perturb(model, batch)
    turned = torch.cat([torch.rot90(batch.images, turn, (2, 3)) for turn in range(4)])
    angles = torch.arange(4).repeat_interleave(8)
    copies = Batch(turned, {"rotation": angles}, data.ids[8:])
    second = replace(INNER, objective=td.Objective(("rotation",))).perturb(model, copies)
    torch.testing.assert_close(INNER.perturb(model, data), torch.cat([first, second]), rtol=0, atol=1e-6)
    want = F.cross_entropy(model(first)["kind"], batch.targets["kind"])
    torch.testing.assert_close(terms["kind.adv"], want, rtol=1e-4, atol=1e-5)
    want = 0.5 * F.cross_entropy(model(second)["rotation"], angles)
    torch.testing.assert_close(terms["rotation.adv"], want, rtol=1e-4, atol=1e-5)
    assert terms.keys() == {"kind.adv", "rotation.adv"}


def test_hendrycks_constants_are_those_of_the_released_code():
    method = Hendrycks()
    assert method.attack.threat == td.Linf(8 / 255)
    assert (method.attack.steps, method.attack.step, method.attack.random_start) == (10, 2 / 255, True)
    assert [method.weight(name) for name in ("kind", "rotation")] == [1.0, 0.5]
    assert replace(method, weights={"kind": 2.0}).weight("rotation") == 0.5
    method.check(net(method).tasks)
    alone = method.alone("kind")
    alone.check({"kind": KIND})
    assert alone.pretexts == ()


def test_contrastive_is_cross_entropy_on_both_views_and_nt_xent_between_them():
    method = Contrastive(weights={"contrastive": 0.25, "kind": 2.0})
    model = net(method)
    batch, data = posed(method, model)
    images, places = method.pretexts[0].pose(batch.images, batch.ids, torch.arange(8), torch.arange(8))
    assert torch.equal(data.images, images)
    terms = method.terms(model, data)
    want = 2 * F.cross_entropy(model(images)["kind"], batch.targets["kind"].repeat(2))
    torch.testing.assert_close(terms["kind.clean"], want)
    z = F.normalize(model(images)["contrastive"], dim=1)
    angles = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    want = 0.25 * F.cross_entropy(angles, torch.cat([places[8:] + 8, places[:8]]))  # the partner's row
    torch.testing.assert_close(terms["contrastive.clean"], want)
    assert terms.keys() == {"kind.clean", "contrastive.clean"}


def test_an_attack_on_every_task_is_refused_where_one_compares_images():
    method = Madry(pretexts=(ContrastiveViews(),))
    with pytest.raises(TestudoError, match=r"'contrastive' compares images .* \(allowed: kind\)"):
        method.check(net(method).tasks)
    named = replace(method, attack=replace(INNER, objective=td.Objective(("kind",))))
    named.check(net(named).tasks)
    model = net(named)
    _, data = posed(named, model)
    terms = named.terms(model, data)
    assert all(term.isfinite() for term in terms.values())
    assert terms["contrastive.adv"] > 0


METHODS = {
    "hendrycks": Hendrycks(attack=INNER),
    "contrastive": Contrastive(),
    "gat's algorithm": Standard(pretexts=(Jigsaw(permutations=4), Rotation()), main_sees="transformed"),
    "as they are": Standard(pretexts=(Jigsaw(permutations=4), ContrastiveViews(flip=False, temperature=0.2))),
}


@pytest.mark.parametrize("name", METHODS)
def test_runs_from_a_recipe_to_rows(tmp_path, name):
    method = METHODS[name]
    made = tiny.recipe(tiny.images(tmp_path / "images"), method, batch_size=20, epochs=1)
    run = train(tiny.saved(made, tmp_path / "recipe.toml"), tmp_path / "run")
    assert run.recipe == made
    terms = run.log[-1]["terms"]
    assert {term.partition(".")[0] for term in terms} == {*made.tasks, *(p.name for p in method.pretexts)}
    assert all(math.isfinite(term) and term > 0 for term in terms.values())
    model = run.model()
    assert list(model.tasks) == list(made.tasks)  # the other heads are gone
    images = made.data.load("test").batch(range(5)).images
    whole = run.model(pretexts=True)
    for task in made.tasks:
        assert torch.equal(whole(images)[task], model(images)[task])
    rows = run.rows({"clean": None, "fgsm": made.suite["fgsm"]})
    assert set(rows["task"].unique()) == set(made.tasks)
    for pretext in method.pretexts:
        assert run.facts.get("pretexts", {}).get(pretext.name, {}) == pretext.facts()


@pytest.mark.parametrize("sees", ["original", "transformed"])
def test_a_classification_with_dense_auxiliaries_trains(tmp_path, sees):
    """Object beside hog and the image itself; where the main task sees turned images, the image's target turns too."""
    hog, image = HogLabel("hog", "l2", cell=8), ImageLabel("image", "l2")
    tasks = ("object", "hog", "image") if sees == "original" else ("object", "image")
    made = Recipe(
        name="dense",
        data=CIFAR10(str(writers.cifar10_batches(tmp_path / "data")), val_share=0.1, derived=(hog, image)),
        model=ResNet18(width=2, decoder="unet"),
        method=Standard(dict.fromkeys(tasks[1:], 0.1), pretexts=(Rotation(),), main_sees=sees),
        tasks=tasks,
        trainer=Trainer(epochs=1, batch_size=90, precision="float32"),
        suite={"fgsm": td.FGSM(td.Linf(0.1), td.Objective(("object",)))},
    )
    run = train(made, tmp_path / "run")
    terms = run.log[-1]["terms"]
    assert terms.keys() == {f"{name}.clean" for name in (*tasks, "rotation")}
    assert all(math.isfinite(term) and term > 0 for term in terms.values())
    rows = run.rows({"clean": None, **made.suite})
    assert set(rows["task"].unique()) == set(tasks)
    assert rows.filter(task="object")["metric"].unique().to_list() == ["accuracy"]
