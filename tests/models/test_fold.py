"""Folding batch norm: the same function with fewer norms, and hands off where it would not be."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from testudo.models.fold import Affine, fold


class Forward(nn.Module):
    """Parts by name and a forward written as a function of self and the images."""

    def __init__(self, forward: Callable[["Forward", Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.how = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def conv(**options) -> nn.Conv2d:
    return nn.Conv2d(3, 6, 3, padding=1, **options)


def hooked() -> nn.Conv2d:
    layer = conv()
    layer.register_forward_hook(lambda _module, _args, out: out * 2)
    return layer


def alias() -> nn.Module:
    layer = nn.Conv2d(3, 3, 1)
    return nn.Sequential(layer, nn.BatchNorm2d(3), layer, nn.BatchNorm2d(3))


def same_norm() -> nn.Module:
    norm = nn.BatchNorm2d(6)
    return nn.Sequential(conv(), norm, nn.Conv2d(6, 6, 1), norm)


def tied() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    net[3].weight = net[0].weight
    return net


def bn() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(6)


PARAMETRISED = torch.nn.utils.parametrizations.weight_norm
CASES: dict[str, tuple[Callable[[], nn.Module], int, int, int]] = {  # build, folded, affine, norms that stay
    "conv": (lambda: nn.Sequential(conv(), bn(), nn.ReLU()), 1, 0, 0),
    "without bias": (lambda: nn.Sequential(conv(bias=False), bn()), 1, 0, 0),
    "grouped, strided": (lambda: nn.Sequential(conv(groups=3, stride=2), bn()), 1, 0, 0),
    "circular": (lambda: nn.Sequential(conv(padding_mode="circular"), bn()), 1, 0, 0),
    "no affine": (lambda: nn.Sequential(conv(), nn.BatchNorm2d(6, affine=False)), 1, 0, 0),
    "momentum None": (lambda: nn.Sequential(conv(), nn.BatchNorm2d(6, momentum=None)), 1, 0, 0),
    "sync": (lambda: nn.Sequential(conv(), nn.SyncBatchNorm(6)), 1, 0, 0),
    "functional": (lambda: Forward(lambda m, x: F.relu(m.b(m.a(x))), a=conv(), b=bn()), 1, 0, 0),
    "tied weights": (tied, 2, 0, 0),
    "batch statistics": (lambda: nn.Sequential(conv(), nn.BatchNorm2d(6, track_running_stats=False)), 0, 0, 1),
    "norm first": (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv()), 0, 1, 0),
    "activation between": (lambda: nn.Sequential(conv(), nn.ReLU(), bn()), 0, 1, 0),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 6, 2), bn()), 0, 1, 0),
    "two consumers": (lambda: Forward(lambda m, x: (y := m.a(x)) + m.b(y), a=conv(), b=bn()), 0, 1, 0),
    "shared layer": (alias, 0, 2, 0),
    "shared norm": (same_norm, 0, 1, 0),
    "hooked layer": (lambda: nn.Sequential(hooked(), bn()), 0, 1, 0),
    "hooked norm": (lambda: nn.Sequential(conv(), hook(bn())), 0, 0, 1),
    "parametrised": (lambda: nn.Sequential(PARAMETRISED(conv()), bn()), 0, 1, 0),
    "weight read": (lambda: Forward(lambda m, x: m.b(m.a(x)) + m.a.weight.sum(), a=conv(), b=bn()), 0, 1, 0),
    "norm read": (lambda: Forward(lambda m, x: m.b(m.a(x)) + m.b.weight.sum(), a=conv(), b=bn()), 0, 0, 1),
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.BatchNorm1d(5)), 1, 0, 0),
    "linear, chained": (
        lambda: Forward(
            lambda m, x: m.d(m.c(F.relu(m.b(m.a(torch.flatten(x, 1)))))),
            a=nn.Linear(192, 5),
            b=nn.BatchNorm1d(5),
            c=nn.Linear(5, 4),
            d=nn.BatchNorm1d(4),
        ),
        2,
        0,
        0,
    ),
    "sequence": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 3), nn.BatchNorm1d(3)), 0, 1, 0),
    "control flow": (lambda: Forward(lambda m, x: m.b(m.a(x)) if x.sum() > 0 else x, a=conv(), b=bn()), 0, 0, 1),
    "noise": (lambda: Forward(lambda m, x: m.b(m.a(x)) + 0 * torch.rand(1), a=conv(), b=bn()), 0, 0, 1),
    "keyword": (lambda: Forward(lambda m, x: m.b(input=m.a(x)), a=conv(), b=bn()), 0, 0, 1),
    "hooked container": (lambda: nn.Sequential(hook(nn.Sequential(conv(), bn()))), 0, 0, 1),
}


def hook(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda _module, _args, out: out + 1)
    return module


def shaken(module: nn.Module) -> nn.Module:
    """``module`` in eval mode with statistics and affine parts far from the identity."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            if part.running_mean is not None:
                part.running_mean.normal_()
                part.running_var.uniform_(0.1, 3)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module.double().eval().requires_grad_(False)


def count(module: nn.Module, kind: type) -> int:
    return sum(isinstance(part, kind) for part in module.modules())


@pytest.mark.parametrize("name", CASES)
def test_same_function_same_input_gradient(name: str) -> None:
    torch.manual_seed(0)
    build, folded, affine, norms = CASES[name]
    source = shaken(build())
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    expected = source(images)
    direction = torch.rand_like(expected)
    gradient = torch.autograd.grad(expected, images, direction)[0]
    weights = {key: value.clone() for key, value in source.state_dict().items()}

    network, folds, _ = fold(source)

    found = network(images)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, images, direction)[0], gradient)
    assert sum(pair.layer is not None for pair in folds) == folded
    assert count(network, Affine) == affine
    assert count(network, nn.modules.batchnorm._BatchNorm) == norms
    assert all(torch.equal(weights[key], value) for key, value in source.state_dict().items())


def test_tracing_draws_no_global_numbers() -> None:
    state = torch.get_rng_state()
    fold(CASES["noise"][0]().eval())
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    CASES["noise"][0]()  # what building it draws
    assert torch.equal(torch.get_rng_state(), after)


def test_norms_in_training_mode_stay() -> None:
    network, folds, _ = fold(nn.Sequential(conv(), bn()).train())
    assert (len(folds), count(network, nn.BatchNorm2d)) == (0, 1)


def test_says_where_the_layout_matters() -> None:
    assert fold(nn.Sequential(conv(), nn.Flatten(1)).eval()).any_layout
    assert not fold(Forward(lambda m, x: m.a(x).view(len(x), -1), a=conv()).eval()).any_layout
    assert not fold(CASES["control flow"][0]().eval()).any_layout


def test_affine_follows_the_rank_of_its_input() -> None:
    part = Affine(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0]))
    for shape in [(4, 2), (4, 2, 3), (4, 2, 3, 5), (0, 2, 1, 1)]:
        out = part(torch.ones(shape))
        assert out.shape == shape
        assert bool((out[:, 0] == 2).all())
        assert bool((out[:, 1] == 4).all())
