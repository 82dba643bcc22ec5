"""GAT: its terms written out, whom it attacks, whose labels count, its presets, its heads dropped."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from types import SimpleNamespace

import helpers
import pytest
import torch

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.balance.gramian import MGDA
from testudo.data.batch import Batch
from testudo.data.rotation import Rotation
from testudo.errors import TestudoError
from testudo.models.multitask import MultiTaskModel
from testudo.models.resnet import ResNet18
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.maps import Autoencoder
from testudo.training.curvature import CurvatureTerms
from testudo.training.methods.base import Method
from testudo.training.methods.gat import COUNT, GAT, GATCode, GATPaper
from testudo.training.methods.standard import Standard
from testudo.training.update import update_of

TASKS = (Classification("digit", classes=3), Classification("parity", classes=2))
TURN = Rotation()
INNER = PGD(Linf(0.1), steps=2, keep="last")
NONE = CurvatureTerms(weight=0.0)
WHOLE = CurvatureTerms(weight=1.0, share=1.0)


@dataclass(frozen=True)
class Watched(PGD):
    """Writes down what it was asked to attack, and how many images."""

    def perturb(self, model, batch):
        seen.append((self.objective.tasks, len(batch)))
        return super().perturb(model, batch)


seen = []


def network(*more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MultiTaskModel(ResNet18(width=4).build(1), (*TASKS, *more), [0.5], [0.5])
    return net.train()


def plain(n=6):
    draw = torch.Generator().manual_seed(0)
    labels = {"digit": torch.arange(n) % 3, "parity": torch.arange(n) % 2}
    return Batch(torch.rand(n, 1, 8, 8, generator=draw), labels, torch.arange(n) * 5)


def posed(method, net, batch):
    return method.pose(batch, net.tasks, torch.arange(len(batch)))


def names(terms):
    return list(terms)


def test_the_terms_are_clean_and_adversarial_losses_and_the_curvature():
    net, data = network().eval(), plain()
    method = GAT(attack=INNER, weights={"parity": 0.5}, adversarial_weight=1.0, curvature=WHOLE)
    found = method.terms(net, data)
    hurt = data.with_images(replace(INNER, objective=replace(INNER.objective, tasks=("digit",)))(net, data).images)
    for suffix, batch in (("clean", data), ("adv", hurt)):
        for name, term in Standard(weights=method.weights).terms(net, batch).items():
            torch.testing.assert_close(found[name.replace("clean", suffix)], term)
    want = WHOLE.terms(net, data, {"digit": 1.0, "parity": 0.5})
    torch.testing.assert_close(found["curvature.parity"], want["curvature.parity"])
    assert len(found) == 3 * 2 - 1
    joint = replace(method, joined=True).terms(net, data)
    assert set(joint) == {"digit.joint", "parity.joint", "curvature.parity"}
    for task in net.tasks:
        torch.testing.assert_close(joint[f"{task}.joint"], (found[f"{task}.clean"] + found[f"{task}.adv"]) / 2)


def test_the_adversarial_weight_is_a_factor_of_the_main_tasks_adversarial_loss_alone():
    net, data = network().eval(), plain()
    method = GAT(attack=INNER, weights={"digit": 0.5, "parity": 0.5}, adversarial_weight=1.0, curvature=NONE)
    once, thrice = method.terms(net, data), replace(method, adversarial_weight=3.0).terms(net, data)
    for name, term in once.items():
        torch.testing.assert_close(thrice[name], 3 * term if name == "digit.adv" else term)
    assert replace(method, adversarial_weight=3.0).alone("digit").adversarial_weight == 3.0  # its twin has it, too
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(TestudoError, match="adversarial_weight must be at least 0 and finite"):
            GAT(adversarial_weight=wrong)


@pytest.mark.parametrize(
    ("attacked", "tasks"),
    [("main", ("digit",)), ("both", ("digit", "parity", "rotation")), ("auxiliary", ("parity", "rotation"))],
)
def test_whom_the_inner_attack_raises(attacked, tasks):
    seen.clear()
    net = network(TURN.task)
    method = GAT(attack=Watched(steps=1, keep="last"), attacked=attacked, pretexts=(TURN,), main_sees="transformed")
    method.check(net.tasks)
    method.terms(net, posed(method, net, plain()))
    assert seen == [(tasks, 6)]


def test_images_as_they_are_alone_are_attacked():
    seen.clear()
    net = network(TURN.task)
    method = GAT(attack=Watched(steps=1, keep="last"), pretexts=(TURN,), curvature=NONE)
    data = posed(method, net, plain())
    assert len(data) == 12
    found = names(method.terms(net, data))
    assert found == ["digit.clean", "parity.clean", "rotation.clean", "digit.adv", "parity.adv"]
    both = replace(method, attacked="both", adversarial_pretexts=True)
    assert "rotation.adv" in both.terms(net, data)
    assert [count for _, count in seen] == [6, 12]
    views = replace(method, pretexts=(Rotation(every=True),))
    views.terms(net, posed(views, net, plain()))
    assert seen[-1][1] == 6


def test_attacked_images_stay_in_the_ball_and_hurt():
    net, data = network(), plain(12)
    method = GAT(attack=replace(INNER, steps=5))
    hurt = method._hurt(net, data)
    helpers.assert_inside(hurt.images, data.images, Linf(0.1))
    losses = [Standard().terms(net.eval(), batch)["digit.clean"] for batch in (data, hurt)]
    assert losses[1] > losses[0]


def test_changed_images_have_the_labels_of_their_originals_for_the_curvature():
    """Those of the image itself too, but no other dense ones; and only where the original had one."""
    method = GAT(pretexts=(Rotation(every=True),))
    tasks = {task.name: task for task in (*TASKS, Autoencoder("image"), Depth("depth"), TURN.task)}
    batch = plain()
    labels = {"image": batch.images.clone(), "depth": torch.rand(6, 1, 8, 8)}
    labels["image"][2] = torch.nan
    batch.targets["digit"][1] = -1
    data = method.pose(replace(batch, targets={**batch.targets, **labels}), tasks, torch.arange(6))
    full = method._labelled(SimpleNamespace(tasks=tasks), data)
    assert len(data) == 30
    assert (data.targets["digit"][6:] == -1).all()
    assert torch.equal(full.targets["digit"], batch.targets["digit"].repeat(5))
    known = tasks["image"].valid(full.targets["image"])
    assert torch.equal(known, (torch.arange(30) % 6) != 2)
    assert torch.equal(full.targets["image"][known], full.images[known])
    assert tasks["depth"].valid(full.targets["depth"]).sum() == 6
    assert (full.images == data.images).all()
    assert all(full.targets[name] is data.targets[name] for name in ("rotation", "depth"))


def test_with_the_images_as_they_are_the_curvature_of_a_pretext_is_not_empty():
    net = network(TURN.task)
    method = GAT(attack=INNER, pretexts=(TURN,), curvature=WHOLE)
    terms = method.terms(net, posed(method, net, plain()))
    assert terms["curvature.rotation"] > 0
    assert terms["curvature.parity"] > 0


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_curvature_is_taken_in_every_so_many_batches(every):
    net, data, state = network(), plain(), {}
    method = GAT(attack=INNER, curvature=replace(WHOLE, every=every))
    steps = [list(method.steps(net, data, state)) for _ in range(6)]
    taken = ["curvature.parity" in terms for (terms,) in steps]
    assert taken == [count % every == 0 for count in range(6)]
    assert state == ({} if every == 1 else {COUNT: torch.tensor(6)})


@pytest.mark.parametrize("make", [GATPaper, GATCode, lambda **f: GAT(balance=MGDA(normalise="none"), **f)])
def test_the_step_of_mgda_lowers_every_balanced_term(make):
    """All terms of the presets, curvature included; the paper's with gradients of the shared parameters, and exact."""
    net = network(TURN.task).double()
    method = make(attack=INNER, pretexts=(TURN,))
    if isinstance(method, GATPaper):
        method = replace(method, balance=MGDA(normalise="none"))
    data = posed(method, net, Batch(plain().images.double(), plain().targets))
    update = update_of(net, method, {})
    update.begin()
    terms = method.terms(net, data)
    shared = [p for name, p in net.named_parameters() if name.startswith("encoder.")]
    balanced = {name: term for name, term in terms.items() if not method.unbalanced(name)}
    each = {name: torch.autograd.grad(term, shared, retain_graph=True) for name, term in balanced.items()}
    fixed = [term for name, term in terms.items() if name not in balanced]
    rest = (
        torch.autograd.grad(sum(fixed), shared, retain_graph=True) if fixed else [torch.zeros_like(p) for p in shared]
    )
    assert update.add(terms, 1.0) is None
    update.finish()
    step = [p.grad - own for p, own in zip(shared, rest, strict=True)]
    length = sum((part * part).sum() for part in step)
    for gradients in each.values():
        along = sum((own * part).sum() for own, part in zip(gradients, step, strict=True))
        assert along >= (1 - 1e-6) * length > 0


def test_the_paper_s_step_is_the_weighted_sum_of_whole_gradients():
    """At the features, too: the curvature reaches the encoder's weights by ways that do not lead through its output."""
    net = network(TURN.task).double()
    method = GATPaper(attack=INNER, pretexts=(TURN,), curvature=replace(GATPaper().curvature, weight=30.0))
    data = posed(method, net, Batch(plain().images.double(), plain().targets))
    update, weights = update_of(net, method, {}), {}
    weigh = update.weigh
    update.weigh = lambda inner: weights.update(weigh(inner)) or dict(weights)
    update.begin()
    with update.watching():
        terms = method.terms(net, data)
    parameters = list(net.parameters())
    each = {
        name: torch.autograd.grad(term, parameters, retain_graph=True, materialize_grads=True, allow_unused=True)
        for name, term in terms.items()
    }
    assert update.add(terms, 1.0) is None
    update.finish()
    for place, parameter in enumerate(parameters):
        want = sum(weights[name] * each[name][place] for name in terms)
        torch.testing.assert_close(parameter.grad, want, rtol=1e-6, atol=1e-9)


def test_the_regulariser_is_outside_the_balance_unless_it_is_to_be_inside():
    assert GAT().unbalanced("curvature.parity")
    assert not GAT().unbalanced("parity.adv")
    assert not GAT(curvature=CurvatureTerms(inside=True)).unbalanced("curvature.parity")
    for name in ("curvature.clean", "curvature.adv", "curvature.joint"):  # of a task called "curvature"
        assert not GAT().unbalanced(name)


def test_presets_are_what_their_sources_say():
    paper, code = GATPaper(), GATCode()
    assert isinstance(paper, Method)
    common = {"attacked": "main", "main_sees": "transformed"}
    for preset in (paper, code):
        assert {name: getattr(preset, name) for name in common} == common
        assert preset.curvature == CurvatureTerms(1.0, "paper", share=1.0, every=1, inside=True)
        assert preset.attack.threat == Linf(8 / 255)
        assert (preset.attack.steps, preset.attack.random_start, preset.attack.keep) == (10, True, "last")
    assert (paper.attack.step, code.attack.step) == (2 / 255, 1 / 255)
    assert (paper.joined, code.joined) == (False, True)
    assert (paper.adversarial_pretexts, code.adversarial_pretexts) == (True, False)
    assert paper.balance == MGDA("features", "frank_wolfe", "none", 250)
    assert code.balance == MGDA("exact", "exact", "none")
    net = network(TURN.task)
    found = []
    for preset in (paper, code):
        method = replace(preset, pretexts=(TURN,), attack=INNER)
        found.append(set(method.terms(net, posed(method, net, plain()))))
    tasks = ("digit", "parity", "rotation")
    want = {f"{task}.{suffix}" for task, suffix in itertools.product(tasks, ("clean", "adv"))}
    curved = {"curvature.parity", "curvature.rotation"}
    assert found == [want | curved, {f"{task}.joint" for task in tasks} | curved]
