"""The curvature terms: a true double backward, against finite differences and loops; whom they count."""

from __future__ import annotations

import dataclasses

import helpers
import pytest
import torch
from torch import nn

from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.geometry import curvature
from testudo.models.encoder import seeded
from testudo.models.multitask import MultiTaskModel
from testudo.models.wrap import wrap
from testudo.registry import MODELS
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.training.curvature import CurvatureTerms, evaluating, input_gradients

TASKS = helpers.TASKS[:2]
WHOLE = CurvatureTerms(weight=1.0, share=1.0)
ONE = {"digit": 1.0, "angle": 1.0}


class Plain(nn.Module):
    """Smooth, without batch norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.heads = nn.ModuleDict({"digit": nn.Linear(60, 3), "angle": nn.Linear(60, 2)})

    def forward(self, x):
        x = self.conv(x).tanh().flatten(1)
        return {name: head(x) for name, head in self.heads.items()}


def network(norm):
    """In training, float64."""
    with seeded(3):
        module = helpers.network(0, TASKS) if norm else Plain()
    return wrap(module.double(), TASKS).train()


def batch(n=6):
    full = helpers.batch(n, dtype=torch.float64)
    return Batch(full.images, {name: full.targets[name] for name in ONE}, full.ids)


def total(terms, net, data):
    return sum(terms.terms(net, data, dict.fromkeys(net.tasks, 1.0)).values())


@pytest.mark.parametrize("form", ["paper", "sin4"])
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch norm"])
def test_its_gradient_for_the_weights_is_that_of_finite_differences(norm, form):
    """Every weight of the network, one by one."""
    net, data, terms = network(norm), batch(), dataclasses.replace(WHOLE, form=form)
    parameters = [p for p in net.parameters() if p.requires_grad]
    found = torch.autograd.grad(total(terms, net, data), parameters, materialize_grads=True, allow_unused=True)
    step, some = 1e-5, 0
    for parameter, slope in zip(parameters, found, strict=True):
        flat, slope = parameter.detach().flatten(), slope.flatten()
        for place in range(len(flat)):
            values, before = [], flat[place].item()
            for side in (1, -1):
                flat[place] = before + side * step
                values.append(total(terms, net, data).item())
            flat[place] = before
            assert slope[place].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-7)
            some += abs(slope[place].item()) > 1e-3
    assert some > 20


DENSE = ("unet", "drn_d_22", "drn_d_105", "resnet50_aspp")


def model(name):
    """A narrow network in training, float64, its running statistics those of real activations."""
    cls = MODELS.get(name)
    narrow = {"width": 4} if "width" in {field.name for field in dataclasses.fields(cls)} else {}
    tasks = [Classification("a", classes=3), Classification("b", classes=2), *([Depth("d")] if name in DENSE else [])]
    net = MultiTaskModel(cls(**narrow).build(3, 0), tasks, [0.5] * 3, [0.5] * 3).double().train()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        net(torch.rand(8, 3, 32, 32, generator=draw, dtype=torch.float64))
    return net


@pytest.mark.parametrize("name", [name for name in MODELS.names() if not name.startswith("wrn")])  # as preact_resnet18
def test_every_encoder_can_be_differentiated_twice(name):
    """Along a random direction of the weights, against a finite difference."""
    net, draw = model(name), torch.Generator().manual_seed(1)
    targets = {"a": torch.arange(3), "b": torch.arange(3) % 2, "d": torch.rand(3, 1, 32, 32, generator=draw).double()}
    images = torch.rand(3, 3, 32, 32, generator=draw, dtype=torch.float64)
    data = Batch(images, {task: targets[task] for task in net.tasks})
    parameters = [p for p in net.parameters() if p.requires_grad]
    way = [torch.randn(p.shape, generator=draw, dtype=p.dtype) * p.detach().std(correction=0) for p in parameters]
    slopes = torch.autograd.grad(total(WHOLE, net, data), parameters)
    want = sum((slope * part).sum() for slope, part in zip(slopes, way, strict=True)).item()
    step, values = 1e-8, []
    for side in (1, -2, 1):  # ahead, behind, and back
        with torch.no_grad():
            for parameter, part in zip(parameters, way, strict=True):
                parameter += side * step * part
        values.append(total(WHOLE, net, data).item())
    assert want == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-3, abs=1e-4)
    assert abs(want) > 1e-3


def test_input_gradients_are_each_example_s_own():
    net, data = network(norm=True), batch()
    found = input_gradients(net, data)
    for row in range(len(data)):
        for name, gradient in input_gradients(net, data[row : row + 1]).items():
            torch.testing.assert_close(found[name][row : row + 1], gradient)
    assert (found["digit"][1] == 0).all()  # unlabelled


def test_the_terms_are_means_over_the_examples_with_both_labels():
    """Three tasks, by a loop over examples and pairs."""
    net = wrap(helpers.network().double(), helpers.TASKS).train()
    data = helpers.batch(dtype=torch.float64)
    weights = {"digit": 1.0, "angle": 2.0, "signs": 0.5}
    found = dataclasses.replace(WHOLE, weight=3.0).terms(net, data, weights)
    gradients = {name: g.detach() for name, g in input_gradients(net, data).items()}
    names = list(net.tasks)
    for place, second in enumerate(names[1:], 1):
        want = 0.0
        for first in names[:place]:
            known = [net.tasks[name].valid(data.targets[name]) for name in (first, second)]
            rows = [i for i in range(len(data)) if known[0][i] and known[1][i]]
            each = [curvature(gradients[first][[i]], gradients[second][[i]], "sin4").item() for i in rows]
            want += sum(each) / len(each)
        assert found[f"curvature.{second}"].item() == pytest.approx(3 * weights[second] * want)
    assert found.keys() == {"curvature.angle", "curvature.signs"}


def test_the_network_is_left_as_it_was():
    net, data = network(norm=True), batch()
    net.module.norm.eval()
    before = helpers.snapshot(net)
    WHOLE.terms(net, data, ONE)
    helpers.assert_unchanged(net, before)
    with pytest.raises(RuntimeError), evaluating(net):
        raise RuntimeError
    helpers.assert_unchanged(net, before)


def test_descending_brings_the_gradients_together():
    net, data = network(norm=True), batch()
    optimiser, seen = torch.optim.SGD(net.parameters(), 0.05), []
    for _ in range(60):
        loss = total(WHOLE, net, data)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert seen[-1] < 0.5 * seen[0]


def test_a_share_of_the_examples_is_drawn_from_their_ids():
    """Whoever else is in the batch, and however it is cut into parts."""
    net, data, half = network(norm=True), batch(), dataclasses.replace(WHOLE, share=0.5)
    full = Batch.cat([data] * 20)
    full = Batch(full.images, full.targets, torch.arange(len(full)))
    whole = half.terms(net, full, ONE)["curvature.angle"]
    assert not torch.allclose(whole, WHOLE.terms(net, full, ONE)["curvature.angle"])
    order = torch.randperm(len(full), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(half.terms(net, full[order], ONE)["curvature.angle"], whole)
    seen = []
    net.register_forward_pre_hook(lambda part, given: seen.append(len(given[0])))
    half.terms(net, full, ONE)
    assert 40 < seen[0] < 80


def test_no_examples_no_labels_no_auxiliary_and_no_weight():
    net, data = network(norm=True), batch(2)
    never = dataclasses.replace(WHOLE, share=1e-12)
    unknown = {name: task.unknown(data.targets[name]) for name, task in net.tasks.items()}
    for terms, given in ((never, data), (WHOLE, Batch(data.images, unknown, data.ids))):
        found = terms.terms(net, given, ONE)["curvature.angle"]
        assert found.item() == 0
        found.backward()
        assert all(p.grad is None or (p.grad == 0).all() for p in net.parameters())
    assert WHOLE.terms(wrap(helpers.network(0, TASKS[:1]).double(), TASKS[:1]), data, ONE) == {}
    assert dataclasses.replace(WHOLE, weight=0.0).terms(net, data, ONE) == {}
    assert dataclasses.replace(WHOLE, weight=0.0).names(("a", "b")) == ()


def test_passes_are_counted():
    assert WHOLE.passes(2) == 5
    assert dataclasses.replace(WHOLE, share=0.5, every=2).passes(2) == 2  # 1.25, rounded up
    assert WHOLE.passes(1) == dataclasses.replace(WHOLE, weight=0.0).passes(3) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": "cos"}, "unknown form of the curvature 'cos'"),
        ({"weight": -1.0}, "curvature needs weight and tiny of at least 0 and finite, got -1.0"),
        ({"tiny": float("nan")}, "curvature needs weight and tiny"),
        ({"share": 0.0}, r"curvature: share must be in \(0, 1\], got 0.0"),
        ({"every": 0}, "curvature: every must be at least 1, got 0"),
    ],
)
def test_mistakes_are_told_in_one_line(fields, message):
    with pytest.raises(TestudoError, match=f"^{message}"):
        CurvatureTerms(**fields)
