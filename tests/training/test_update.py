"""From terms to gradients: each way against the definition, and against each other."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from testudo.balance.base import Balance
from testudo.balance.fixed import Fixed
from testudo.balance.gramian import IMTLG, MGDA, UPGrad
from testudo.balance.minnorm import min_norm
from testudo.balance.softmin import Softmin
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.models.multitask import OWN, MultiTaskModel
from testudo.models.resnet import ResNet18
from testudo.models.unet import UNet
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.training.methods.base import Method
from testudo.training.methods.standard import Standard
from testudo.training.update import AtFeatures, PerTerm, Summed, gramian, update_of

TASKS = (Classification("kind", classes=3), Classification("size", classes=2))


@dataclass(frozen=True)
class Apart(Standard):
    """Standard training whose second task stays out of the balance."""

    def unbalanced(self, name: str) -> bool:
        return name.startswith("size")


@pytest.fixture
def net() -> MultiTaskModel:
    return MultiTaskModel(ResNet18(width=4).build(1), TASKS, [0.5], [0.5]).double().train()


@pytest.fixture
def batch() -> Batch:
    draw = torch.Generator().manual_seed(0)
    labels = {"kind": torch.arange(8) % 3, "size": torch.arange(8) % 2}
    return Batch(torch.rand(8, 1, 8, 8, generator=draw, dtype=torch.float64), labels)


def step(model: Model, method: Method, batches: list[Batch], states: dict | None = None) -> dict[str, Tensor]:
    """The gradients of one step."""
    update = update_of(model, method, {} if states is None else states, len(batches))
    update.begin()
    for part in batches:
        with update.watching():
            terms = method.terms(model, part)
        assert update.add(terms, 1 / len(batches)) is None
    update.finish()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def by_term(model: Model, method: Method, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """Each term's own gradient, by autograd alone."""
    names = dict(model.named_parameters())
    terms = method.terms(model, batch)
    return {
        term: dict(
            zip(
                names,
                torch.autograd.grad(
                    value, list(names.values()), retain_graph=True, materialize_grads=True, allow_unused=True
                ),
                strict=True,
            )
        )
        for term, value in terms.items()
    }


def weighted(gradients: dict[str, dict[str, Tensor]], weights: list[float]) -> dict[str, Tensor]:
    names = next(iter(gradients.values()))
    return {name: sum(w * each[name] for w, each in zip(weights, gradients.values(), strict=True)) for name in names}


def test_without_a_balance_terms_are_summed(net, batch):
    method = Standard(weights={"size": 0.3})
    expected = weighted(by_term(net, method, batch), [1, 1])
    torch.testing.assert_close(step(net, method, [batch]), expected)


def test_weights_from_losses(net, batch):
    method = Standard(balance=Fixed({"kind.clean": 3.0, "size.clean": 1.0}))
    torch.testing.assert_close(step(net, method, [batch]), weighted(by_term(net, method, batch), [3, 1]))


@pytest.mark.parametrize("balance", [MGDA(normalise="none"), MGDA(), IMTLG(), UPGrad()], ids=repr)
def test_weights_from_gradients_of_the_shared_parameters(net, batch, balance):
    method = Standard(balance=balance)
    each = by_term(net, method, batch)
    shared = [name for name in each["kind.clean"] if not name.startswith(OWN)]
    flat = torch.stack([torch.cat([found[name].flatten() for name in shared]) for found in each.values()])
    losses = torch.stack([value.detach() for value in method.terms(net, batch).values()])
    weights, _ = balance.weigh(balance.start(losses), losses, flat @ flat.mT)
    torch.testing.assert_close(step(net, method, [batch]), weighted(each, weights.tolist()), rtol=1e-6, atol=1e-9)


def test_the_step_of_mgda_lowers_every_term(net, batch):
    method = Standard(balance=MGDA(normalise="none"))
    found, each = step(net, method, [batch]), by_term(net, method, batch)
    for own in each.values():
        product = sum(float((found[name] * own[name]).sum()) for name in own if not name.startswith(OWN))
        assert product > 0


def test_at_the_features_it_is_their_gramian(net, batch):
    balance = MGDA("features", normalise="none")
    method = Standard(balance=balance)
    features = net.features(batch.images)
    outputs = net.decode(features, list(net.tasks), (8, 8))
    losses = [net.tasks[name].loss(outputs[name], batch.targets[name]).mean() for name in net.tasks]
    flat = torch.stack([torch.autograd.grad(loss, features, retain_graph=True)[0].flatten() for loss in losses])
    expected = weighted(by_term(net, method, batch), min_norm(flat @ flat.mT).tolist())
    torch.testing.assert_close(step(net, method, [batch]), expected, rtol=1e-5, atol=1e-7)


@dataclass(frozen=True)
class Steep(Standard):
    """Standard training with a third term, of the gradient at the image."""

    def past_features(self, name: str) -> bool:
        return name == "slope.kind"

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        images = batch.images.clone().requires_grad_()
        loss = model.tasks["kind"].loss(model(images)["kind"], batch.targets["kind"]).sum()
        slope = torch.autograd.grad(loss, images, create_graph=True)[0]
        return super().terms(model, batch) | {"slope.kind": slope.square().sum()}


def test_a_term_past_the_features_is_followed_through_the_encoder(net, batch):
    net.eval()  # so that the sum of losses has each example's own gradient
    method = Steep(balance=Fixed({"kind.clean": 1.0, "size.clean": 2.0, "slope.kind": 0.5}))
    update = AtFeatures(net, method, {})
    update.begin()
    with update.watching():
        terms = method.terms(net, batch)
    assert update.add(terms, 1.0) is None
    update.finish()
    expected = weighted(by_term(net, method, batch), [1.0, 2.0, 0.5])
    torch.testing.assert_close({name: p.grad for name, p in net.named_parameters()}, expected)


def test_at_the_features_of_a_pyramid(batch):
    """With the same weights, one pass through the encoder gives what a pass for each term gives."""
    tasks = (Depth("near"), Depth("far"))
    model = MultiTaskModel(UNet(width=4).build(1), tasks, [0.5], [0.5]).double().eval()
    maps = {name: 1 + torch.rand(8, 1, 8, 8, dtype=torch.float64) for name in ("near", "far")}
    given = Batch(batch.images, maps)
    method = Standard(balance=MGDA("features"))
    states: dict[str, Tensor] = {}
    update = update_of(model, method, states)
    update.begin()
    with update.watching():
        terms = method.terms(model, given)
    update.weigh = lambda inner: {"near.clean": torch.tensor(0.7), "far.clean": torch.tensor(0.3)}
    update.add(terms, 1.0)
    update.finish()
    expected = weighted(by_term(model, method, given), [0.7, 0.3])
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found, {name: expected[name] for name in found})
    assert len(found) == len(expected)


@pytest.mark.parametrize("balance", [None, Fixed({"kind.clean": 0.2, "size.clean": 0.8}), Softmin(), MGDA()], ids=repr)
def test_a_batch_in_parts_is_the_batch(net, batch, balance):
    """Without batch norm's statistics, which are a part's own."""
    net.eval()
    method = Standard(balance=balance)
    parts = list(batch.split(2))
    torch.testing.assert_close(step(net, method, parts), step(net, method, [batch]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("place", ["exact", "features"])
def test_terms_outside_of_the_balance_count_fully(net, batch, place):
    method = Apart(balance=MGDA(place))
    expected = weighted(by_term(net, method, batch), [1, 1])  # of one balanced term the weight is 1
    torch.testing.assert_close(step(net, method, [batch]), expected)


def test_a_balance_remembers(net, batch):
    states: dict[str, Tensor] = {}
    step(net, Standard(balance=Softmin()), [batch], states)
    assert states
    assert all(key.startswith("balance.kind.clean+size.clean/") for key in states)


@pytest.mark.parametrize("balance", [None, Softmin(), MGDA(), MGDA("features")], ids=repr)
def test_a_term_that_is_not_finite_is_named(net, batch, balance):
    update = update_of(net, Standard(balance=balance), {})
    update.begin()
    good, bad = (net(batch.images)[name].sum() * x for name, x in (("kind", 1.0), ("size", torch.nan)))
    assert update.add({"a": good, "b": bad}, 1.0) == "b"
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("balance", [None, Softmin(), MGDA(), MGDA("features")], ids=repr)
def test_a_term_that_depends_on_nothing(net, batch, balance):
    update = update_of(net, Standard(balance=balance), {})
    update.begin()
    with update.watching():
        first = net(batch.images)["kind"].square().mean()
    update.add({"a": first, "b": torch.tensor(0.0)}, 1.0)
    update.finish()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_gramian_by_hand():
    one, two = (
        [torch.tensor([[1.0, 2.0]]), None, torch.tensor([3.0])],
        [torch.tensor([[1.0, 1.0]]), torch.ones(4), None],
    )
    assert gramian([one, two]).tolist() == [[14.0, 3.0], [3.0, 6.0]]


def test_which_way_is_taken(net):
    def way(balance: Balance | None, parts: int = 1) -> type:
        return type(update_of(net, Standard(balance=balance), {}, parts))

    assert way(None) is way(None, 2) is way(Softmin()) is Summed
    assert way(Softmin(), 2) is way(MGDA()) is way(MGDA(), 2) is PerTerm
    assert way(MGDA("features")) is AtFeatures


def test_what_cannot_be_is_refused(net):
    method = Standard(balance=MGDA("features"))
    with pytest.raises(TestudoError, match=r"one part, got accumulate = 2; use gradients = 'exact'"):
        update_of(net, method, {}, 2)
    with pytest.raises(TestudoError, match="need a MultiTaskModel, got Linear"):
        update_of(torch.nn.Linear(1, 1), method, {})
