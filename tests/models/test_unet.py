"""The U-Net: a feature for every pixel at any size, its dense heads, its frozen copy; it learns."""

from __future__ import annotations

import pytest
import torch

from testudo.errors import TestudoError
from testudo.models.fast import fast
from testudo.models.heads import DenseHead
from testudo.models.multitask import MultiTaskModel
from testudo.models.unet import UNet
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation

TASKS = [Segmentation("room", classes=5), Depth("depth"), Normals("normal"), Classification("kind", classes=3)]


def model(width=4, tasks=TASKS, seed=0):
    return MultiTaskModel(UNet(width).build(3, seed), tasks, [0.5] * 3, [0.25] * 3, seed)


def test_a_million_parameters_at_width_32():
    with torch.device("meta"):
        found = sum(p.numel() for p in UNet().build(3).parameters())
    assert found == 1_053_024


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (96, 128), (16, 5), (1, 1)])
def test_every_task_has_a_prediction_for_every_pixel_at_any_size(height, width):
    outputs = model().eval()(torch.rand(2, 3, height, width))
    shapes = {name: tuple(out.shape) for name, out in outputs.items()}
    assert shapes == {
        "room": (2, 5, height, width),
        "depth": (2, 1, height, width),
        "normal": (2, 3, height, width),
        "kind": (2, 3),
    }


def test_a_pixel_is_seen_from_far_away_and_stays_where_it_is():
    net = model(8, TASKS[:1]).eval()
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 96, 128, generator=draw).requires_grad_()  # in one alone a unit may be off
    (gradient,) = torch.autograd.grad(net(images)["room"][:, 0, 48, 64].sum(), images)
    seen = gradient.abs().sum((0, 1))
    assert seen[46:51, 62:67].min() > 0
    assert seen[80, 64] > 0  # beyond the reach of the fine levels alone
    near = seen[44:53, 60:69].mean()
    assert near > 5 * seen.mean()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_its_frozen_copy_has_no_norms_and_the_same_outputs_in_float32(precision):
    net = model(8).train()
    net(torch.rand(8, 3, 32, 32))  # statistics that are not the identity
    net.eval()
    frozen, images = fast(net, precision), torch.rand(3, 3, 34, 47)
    assert frozen.folded == 15  # the stem's, eight in blocks, three on shortcuts, three in merges
    assert not [m for m in frozen.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert frozen.precision == precision
    exact, found = net(images), frozen(images)
    assert frozen.precision == precision  # it ran in it
    for name, output in found.items():
        assert output.dtype == torch.float32
        scale = exact[name].abs().max()
        assert (output - exact[name]).abs().max() < (1e-5 if precision == "float32" else 0.1) * scale
    frozen.refresh()


def test_dense_heads_are_one_linear_layer_at_every_pixel_in_float32():
    head, features = DenseHead(6, 2), torch.rand(2, 6, 4, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = head(features)
    weight, bias = head.conv.weight[:, :, 0, 0], head.conv.bias
    expected = torch.einsum("oc,nchw->nohw", weight, features.float()) + bias[:, None, None]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_the_seed_alone_decides_the_weights():
    state = torch.get_rng_state()
    first, again, other = model(seed=1), model(seed=1), model(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.encoder.stem[0].weight, other.encoder.stem[0].weight)
    assert not torch.equal(first.heads["task_depth"].conv.weight, other.heads["task_depth"].conv.weight)


def test_it_learns_a_few_images_by_heart():
    """Colours decide the class, brightness the depth: four images, three tasks, forty steps."""
    g = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 4, 4, generator=g)
    images = torch.nn.functional.interpolate(coarse, size=(32, 32))
    tasks = [Segmentation("room", classes=3), Depth("depth"), Normals("normal")]
    targets = {"room": images.argmax(1), "depth": images.mean(1, keepdim=True) + 1}
    targets["normal"] = tasks[2].as_label(images - 0.5)
    net = model(8, tasks).train()
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        outputs = net(images)
        loss = sum(task.loss(outputs[task.name], targets[task.name]).mean() for task in tasks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    outputs = net.eval()(images)
    scores = {task.name: task.score(outputs[task.name], targets[task.name]).mean().item() for task in tasks}
    assert scores["room"] > 0.9
    assert scores["depth"] < 0.1
    assert scores["normal"] < 15


def test_a_network_needs_a_width():
    with pytest.raises(TestudoError, match="width must be at least 1, got 0"):
        UNet(0)
