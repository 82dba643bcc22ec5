"""The frozen copy: the same outputs and gradients, the source left exactly as found, refreshed in place."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from testudo.errors import TestudoError
from testudo.models.fast import _faster_in_bf16, fast
from testudo.models.fold import Affine
from testudo.models.multitask import MultiTaskModel
from testudo.models.resnet import PreActResNet18, ResNet18, ResNet50v2
from testudo.tasks.classification import Classification

DIGIT, PARITY = Classification("digit", classes=10), Classification("parity", classes=2)
ENCODERS = [ResNet18(width=4), PreActResNet18(width=4), ResNet50v2(width=4)]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def trained(encoder=ENCODERS[1]) -> MultiTaskModel:
    """A model in training mode with lived-in statistics."""
    torch.manual_seed(0)
    model = MultiTaskModel(encoder.build(3), [DIGIT, PARITY], [0.5] * 3, [0.25] * 3)
    for _ in range(3):
        step(model)
    return model


def step(model: nn.Module) -> None:
    """One optimiser step, which also moves the running statistics."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    outputs = model.train()(torch.rand(8, 3, 8, 8))
    F.cross_entropy(outputs["digit"], torch.arange(8)).backward()
    optimiser.step()
    optimiser.zero_grad()


def in_eval(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    return copy.deepcopy(model).eval()(images)


def snapshot(model: nn.Module) -> list[Any]:
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return [
        [(name, part.training, type(part), id(part)) for name, part in model.named_modules()],
        [(name, id(p), p.requires_grad, p.is_leaf, p._version) for name, p in model.named_parameters()],
        [(name, value.tolist()) for name, value in model.state_dict().items()],
        [None if g is None else g.tolist() for g in grads],
        [len(part._forward_hooks) for part in model.modules()],
        torch.get_rng_state().tolist(),
    ]


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_exact_is_the_source_in_eval_mode(encoder, precision: str) -> None:
    model, images = trained(encoder), torch.rand(5, 3, 8, 8)
    frozen = fast(model, precision)
    torch.testing.assert_close(frozen.exact(images), in_eval(model, images), **CLOSE)
    for name, output in frozen(images).items():
        assert output.dtype == torch.float32
        scale = float(frozen.exact(images)[name].abs().max())
        gap = float((output - frozen.exact(images)[name]).abs().max())
        assert gap <= (1e-5 if precision == "float32" else 0.1) * scale
        assert (gap > 0) == (precision == "bf16")


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_input_gradient_is_the_sources(encoder) -> None:
    model = trained(encoder)
    images, labels = torch.rand(5, 3, 8, 8), torch.arange(5)
    gradients = []
    for net in (copy.deepcopy(model).eval(), fast(model, "float32")):
        point = images.clone().requires_grad_()
        gradients.append(torch.autograd.grad(F.cross_entropy(net(point)["digit"], labels), point)[0])
    expected, found = gradients
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("precision", ["auto", "float32", "bf16"])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen norms"])
def test_source_is_left_exactly_as_found(precision: str, mode: str) -> None:
    model = trained().train(mode != "eval")
    if mode == "frozen norms":
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval().requires_grad_(False)
    model(torch.rand(2, 3, 8, 8))["digit"].sum().backward()
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    before = snapshot(model)
    frozen = fast(model, precision)
    frozen(images)["digit"].sum().backward()
    frozen.exact(images)
    frozen.refresh()
    frozen.train()
    assert snapshot(model) == before


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_ambient_autocast_changes_nothing(mode: str) -> None:
    frozen, images = fast(trained().train(mode == "train"), "float32"), torch.rand(2, 3, 8, 8)
    expected = frozen(images)["digit"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(frozen(images)["digit"], expected)
        assert torch.equal(frozen.exact(images)["digit"], expected)


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_refresh_follows_training_and_nothing_else_does(encoder, precision: str) -> None:
    model, images = trained(encoder), torch.rand(5, 3, 8, 8)
    frozen = fast(model, precision)
    before = frozen(images)
    step(model)
    assert torch.equal(frozen(images)["digit"], before["digit"])
    frozen.refresh()
    torch.testing.assert_close(frozen.exact(images), in_eval(model, images), **CLOSE)
    rebuilt = fast(model, precision)
    for name in before:
        assert torch.equal(frozen(images)[name], rebuilt(images)[name])
        assert not torch.equal(frozen(images)[name], before[name])


def test_nothing_in_the_copy_learns_or_changes_mode() -> None:
    frozen = fast(trained(), "bf16").train()
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not any(part.training for part in frozen.modules())
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    frozen(torch.rand(4, 3, 8, 8))
    assert all(torch.equal(before[name], value) for name, value in frozen.state_dict().items())


def test_every_norm_is_gone() -> None:
    """Post-activation: all 20 go into convolutions. Pre-activation: those on the residual sum cannot."""
    for encoder, folded, affine in [(ENCODERS[0], 20, 0), (ENCODERS[1], 8, 9), (ENCODERS[2], 33, 16)]:
        frozen = fast(trained(encoder), "float32")
        kinds = [type(part) for part in frozen._exact.modules()]
        assert (frozen.folded, kinds.count(Affine), kinds.count(nn.BatchNorm2d)) == (folded, affine, 0)


def test_a_subset_of_tasks_and_an_empty_batch() -> None:
    for precision in ("float32", "bf16"):
        frozen = fast(trained(), precision)
        assert list(frozen(torch.rand(2, 3, 8, 8), ["parity"])) == ["parity"]
        assert frozen(torch.rand(0, 3, 8, 8))["digit"].shape == (0, 10)
        with pytest.raises(TestudoError, match="unknown task 'digi'; did you mean 'digit'"):
            frozen(torch.rand(2, 3, 8, 8), ["digi"])
        with pytest.raises(TestudoError, match=r"shape \(N, 3, H, W\)"):
            frozen(torch.rand(2, 1, 8, 8))
        assert frozen.precision == precision


def test_auto_is_decided_by_the_device() -> None:
    expected = "bf16" if _faster_in_bf16(torch.device("cpu")) else "float32"
    assert fast(trained()).precision == expected
    assert fast(trained()).precision == expected


@pytest.mark.parametrize("precision", ["auto", "float32", "bf16"])
def test_a_float64_model_stays_float64(precision: str) -> None:
    model = trained().double()
    images = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    frozen = fast(model, precision)
    assert frozen.precision == "float64"
    torch.testing.assert_close(frozen(images), in_eval(model, images), rtol=1e-10, atol=1e-10)
    frozen.refresh()
    torch.testing.assert_close(frozen.exact(images), in_eval(model, images), rtol=1e-10, atol=1e-10)


def test_neighbours_change_nothing_in_float64() -> None:
    """To rounding: a matrix product may sum in another order for one row than for seven."""
    frozen = fast(trained().double())
    images = torch.rand(7, 3, 8, 8, dtype=torch.float64)

    def both(part: Tensor) -> list[Tensor]:
        point = part.clone().requires_grad_()
        outputs = frozen(point)["digit"]
        return [outputs, *torch.autograd.grad(outputs.square().sum(), point)]

    order = torch.randperm(7)
    for whole, one, moved in zip(both(images), both(images[2:3]), both(images[order]), strict=True):
        torch.testing.assert_close(whole[2:3], one, rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(whole[order], moved, rtol=1e-11, atol=1e-13)


def test_a_half_precision_model_is_scored_in_float32() -> None:
    model, images = trained(), torch.rand(3, 3, 8, 8)
    half = copy.deepcopy(model).bfloat16()
    frozen = fast(half, "float32")
    frozen.refresh()
    torch.testing.assert_close(frozen(images), in_eval(copy.deepcopy(half).float(), images), **CLOSE)


def test_mistakes_are_one_line() -> None:
    with pytest.raises(TestudoError, match="unknown precision 'bf61'; did you mean 'bf16'"):
        fast(trained(), "bf61")  # type: ignore[arg-type]
    with pytest.raises(TestudoError, match="Linear has no tasks"):
        fast(nn.Linear(2, 2))
    model = trained()
    frozen = fast(model)
    model.drop_head("parity")
    with pytest.raises(TestudoError, match="tasks or parts changed since"):
        frozen.refresh()
    other = trained()
    frozen = fast(other)
    other.encoder.stages[0][0].conv1 = nn.Conv2d(4, 5, 3, padding=1, bias=False)
    with pytest.raises(TestudoError, match="tasks or parts changed since"):
        frozen.refresh()
