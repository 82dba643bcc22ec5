"""Gradients at a pyramid: each map's own, which together lead to the images; MGDA against brute force."""

from __future__ import annotations

import pytest
import torch

from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.threat import L2
from testudo.balance.gramian import MGDA
from testudo.data.batch import Batch
from testudo.models.aspp import ResNet50ASPP
from testudo.models.encoder import seeded
from testudo.models.fast import fast
from testudo.models.multitask import MultiTaskModel
from testudo.models.pyramid import apart, maps
from testudo.models.resnet import ResNet18
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.segmentation import Segmentation

TASKS = (Segmentation("room", classes=3), Depth("depth"), Classification("kind", classes=3))
EPS = 0.01


def model(encoder):
    net = MultiTaskModel(encoder.build(3), TASKS, [0.5] * 3, [0.25] * 3)
    with seeded(1):
        net.train()(torch.rand(4, 3, 17, 23))
    return net.double().eval()


def batch():
    draw = torch.Generator().manual_seed(2)
    images = torch.rand(3, 3, 17, 23, generator=draw, dtype=torch.float64) * 0.6 + 0.2
    depth = torch.rand(3, 1, 17, 23, generator=draw, dtype=torch.float64) + 1
    room = torch.randint(0, 3, (3, 17, 23), generator=draw)
    return Batch(images, {"room": room, "depth": depth, "kind": torch.arange(3)})


def losses(net, outputs, data):
    return torch.stack([task.loss(outputs[name], data.targets[name]) for name, task in net.tasks.items()], 1)


def gradients(each, leaves):
    """(N, K, numbers) for every leaf: the gradient of each example's own losses."""
    found = [
        torch.autograd.grad(loss.sum(), leaves, retain_graph=True, materialize_grads=True) for loss in each.unbind(1)
    ]
    return [torch.stack([part.flatten(1) for part in parts], 1) for parts in zip(*found, strict=True)]


def step(net, data, cut):
    """The direction of MGDA's step by hand: where the maps are cut apart, or each one's total derivative is taken."""
    images = data.images.clone().requires_grad_()
    features = net.features(images)
    leaves = [one.detach().requires_grad_() for one in maps(features)] if cut else list(maps(features))
    each = losses(net, net.decode(tuple(leaves), net.tasks, images.shape[-2:]), data)
    parts = gradients(each, leaves)
    gramian = sum(part @ part.mT for part in parts)
    balance = MGDA(gradients="features")
    weights, _ = balance.weigh(balance.start(each.detach()), each.detach(), gramian)
    mixed = [(weights[:, :, None] * part).sum(1).reshape(one.shape) for part, one in zip(parts, leaves, strict=True)]
    (moved,) = torch.autograd.grad(maps(features), images, mixed)
    return moved / moved.flatten(1).norm(dim=1)[:, None, None, None]


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("encoder", [ResNet18(width=2, decoder="unet"), ResNet50ASPP(width=1)], ids=repr)
def test_mgda_at_the_features_of_a_pyramid_is_brute_force(encoder, samples):
    net, data = model(encoder), batch()
    how = Objective(balance=MGDA(gradients="features"))
    hit = FGSM(L2(EPS), how, "last", samples=samples)(net, data)
    wanted = step(net, data, cut=True)
    torch.testing.assert_close((hit.images - data.images) / EPS, wanted, rtol=0, atol=1e-9)
    assert (step(net, data, cut=False) - wanted).abs().max() > 1e-3  # counted twice, it would be another step
    assert hit.backwards == samples


@pytest.mark.parametrize("encoder", [ResNet18(width=2, decoder="unet"), ResNet50ASPP(width=1)], ids=repr)
def test_gradients_at_maps_kept_apart_add_up_to_the_gradient_at_the_images(encoder):
    net, data = model(encoder), batch()
    for one in (net, fast(net)):
        images = data.images.clone().requires_grad_()
        (whole,) = torch.autograd.grad(losses(net, one(images), data).sum(), images)
        features = apart(one.features(images))
        loss = losses(net, one.decode(features, tuple(net.tasks), images.shape[-2:]), data).sum()
        parts = torch.autograd.grad(loss, maps(features), retain_graph=True)
        assert len(parts) == len(maps(features)) > 1
        (through,) = torch.autograd.grad(maps(features), images, parts)
        torch.testing.assert_close(through, whole, rtol=1e-9, atol=1e-14)


def test_one_map_stays_one():
    x = torch.rand(2, 3, 4, 5)
    assert torch.equal(apart(x), x)
    assert isinstance(apart((x, x)), tuple)
    assert maps(x) == (x,)
