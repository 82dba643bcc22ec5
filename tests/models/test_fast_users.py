"""Frozen copies of users' own modules: traced or not, in bf16 or not, compiled."""

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from testudo.errors import TestudoError
from testudo.models.fast import fast
from testudo.models.wrap import Wrapped, wrap
from testudo.tasks.classification import Classification

DIGIT = Classification("digit", classes=10)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def step(model: nn.Module) -> None:
    """One optimiser step, which also moves the running statistics."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    outputs = model.train()(torch.rand(8, 3, 8, 8))
    F.cross_entropy(outputs["digit"], torch.arange(8)).backward()
    optimiser.step()


def in_eval(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    return copy.deepcopy(model).eval()(images)


class Plain(nn.Module):
    """A user's network, whose tail is given."""

    def __init__(self, tail, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), norm or nn.BatchNorm2d(4)
        self.out, self.tail = nn.Linear(256, 10), tail
        self.gain = torch.tensor(0.5)  # no buffer, as users' modules have it

    def forward(self, images: Tensor) -> Any:
        return self.tail(self, torch.relu(self.norm(self.conv(images))))


TAILS = {
    "flatten": (lambda m, x: m.out(x.flatten(1)), 1, "bf16"),
    "view": (lambda m, x: m.out(x.view(-1, 256)), 1, "bf16"),
    "dict": (lambda m, x: {"digit": m.out(x.flatten(1))}, 1, "bf16"),
    "control flow": (lambda m, x: m.out(x.flatten(1) if x.sum() > 0 else x.view(len(x), -1)), 0, "bf16"),
    "constant": (lambda m, x: F.linear(x.flatten(1), torch.ones(10, 256)), 1, "bf16"),
    "attribute": (lambda m, x: m.out(x.flatten(1) * m.gain), 1, "bf16"),
    "float32 inside": (lambda m, x: F.linear(x.flatten(1), torch.ones(10, 256)) if x.sum() else x, 0, "float32"),
}


@pytest.mark.parametrize("name", TAILS)
def test_users_modules(name: str) -> None:
    tail, folded, reached = TAILS[name]
    model = wrap(Plain(tail), [DIGIT], [0.5] * 3, [0.5] * 3)
    images = torch.rand(4, 3, 8, 8, requires_grad=True)
    for precision in ("float32", "bf16"):
        frozen = fast(model, precision)
        output = frozen(images)["digit"]
        torch.autograd.grad(output.sum(), images)
        assert (frozen.folded, output.dtype) == (folded, torch.float32)
        assert frozen.precision == (reached if precision == "bf16" else "float32")
        torch.testing.assert_close(frozen.exact(images), in_eval(model, images), **CLOSE)
        frozen.refresh()
        torch.testing.assert_close(frozen.exact(images), in_eval(model, images), **CLOSE)


def test_an_error_of_the_users_own_is_not_taken_for_lack_of_bf16() -> None:
    frozen = fast(wrap(Plain(TAILS["flatten"][0]), [DIGIT]), "bf16")
    with pytest.raises(RuntimeError):
        frozen(torch.rand(2, 3, 9, 9))
    assert frozen.precision == "bf16"


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(4, momentum=None), nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, track_running_stats=False)],
    ids=["cumulative", "no affine", "batch statistics"],
)
def test_unusual_norms(norm: nn.Module) -> None:
    model = wrap(Plain(TAILS["flatten"][0], norm), [DIGIT])
    for _ in range(2):
        step(model)
    images = torch.rand(4, 3, 8, 8)
    frozen = fast(model, "float32")
    assert frozen.folded == int(norm.track_running_stats)
    torch.testing.assert_close(frozen.exact(images), in_eval(model, images), **CLOSE)
    step(model)
    frozen.refresh()
    torch.testing.assert_close(frozen.exact(images), in_eval(model, images), **CLOSE)
    assert fast(model, "bf16")(images)["digit"].isfinite().all()


def test_tensors_kept_by_layers_are_copied() -> None:
    module = Plain(TAILS["flatten"][0])
    module(torch.rand(2, 3, 8, 8))
    module.last = module.conv.weight * 2  # computed, so that deepcopy alone refuses it
    model = wrap(module, [DIGIT])
    assert fast(model, "float32")(torch.rand(2, 3, 8, 8))["digit"].shape == (2, 10)
    assert module.last.requires_grad


def test_a_module_without_parameters_computes_in_the_images_precision() -> None:
    model = wrap(nn.Flatten(), [Classification("pixel", classes=4)])
    for dtype in (torch.float32, torch.float64):
        images = torch.rand(2, 1, 2, 2, dtype=dtype)
        assert torch.equal(fast(model, "float32")(images)["pixel"], images.flatten(1))


def test_a_class_of_ones_own_with_the_seam_runs_as_it_is() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tasks, self.layer = {"digit": DIGIT}, nn.Linear(12, 10)

        def forward(self, images: Tensor, tasks=None) -> dict[str, Tensor]:
            return {"digit": self.layer(images.flatten(1))}

    model, images = Own(), torch.rand(2, 3, 2, 2)
    frozen = fast(model, "bf16")
    assert (frozen.precision, frozen.folded) == ("float32", 0)
    assert torch.equal(frozen(images)["digit"], model(images)["digit"])
    nn.init.zeros_(model.layer.weight)
    frozen.refresh()
    assert torch.equal(frozen(images)["digit"], model.layer.bias.expand(2, 10))


def test_what_cannot_be_copied_is_told() -> None:
    module = Plain(TAILS["flatten"][0])
    module.handle = (number for number in range(3))
    with pytest.raises(TestudoError, match="cannot be copied to be attacked: cannot pickle 'generator'"):
        fast(wrap(module, [DIGIT]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on importing its compiler
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_compiled(precision: str) -> None:
    """Forward and back to the images at two batch sizes, and after a refresh."""
    model: Wrapped = wrap(Plain(TAILS["flatten"][0]), [DIGIT], [0.5] * 3, [0.5] * 3)
    compiled, eager = fast(model, precision, compile=True), fast(model, precision)
    for size in (4, 3):
        images = torch.rand(size, 3, 8, 8, requires_grad=True)
        outputs = [net(images)["digit"] for net in (compiled, eager)]
        gradients = [torch.autograd.grad(F.cross_entropy(o, torch.arange(size)), images)[0] for o in outputs]
        tolerance = 1e-5 if precision == "float32" else 0.03
        for found, expected in (outputs, gradients):
            assert math.isclose(
                float((found - expected).detach().norm() / expected.detach().norm()), 0, abs_tol=tolerance
            )
    step(model)
    compiled.refresh()
    assert compiled.precision == precision
    torch.testing.assert_close(compiled.exact(images), in_eval(model, images), **CLOSE)
    torch.testing.assert_close(compiled(images), in_eval(model, images), rtol=0.05, atol=0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, on importing its compiler and on doing without a cache
def test_compiled_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    for precision in ("float32", "bf16"):
        compiled = fast(wrap(Plain(TAILS["flatten"][0]), [DIGIT], [0.5] * 3, [0.5] * 3), precision, compile=True)
        with pytest.raises(TestudoError, match=r"leave it off: .*no-such") as caught:
            compiled(torch.rand(2, 3, 8, 8))
        assert "\n" not in str(caught.value)
        with pytest.raises(TestudoError, match="unknown task 'digt'; did you mean 'digit'"):
            compiled(torch.rand(2, 3, 8, 8), ["digt"])
        with pytest.raises(TestudoError, match=r"shape \(N, 3, H, W\), got \(2, 1, 8, 8\)"):
            compiled(torch.rand(2, 1, 8, 8))
        assert compiled.precision == precision
