"""Encoders: published parameter counts, shapes at any size, initialisation from the seed alone."""

import random

import pytest
import torch
from torch import nn

from testudo.errors import TestudoError
from testudo.models.encoder import Encoder
from testudo.models.resnet import PreActResNet18, ResNet18, ResNet34, ResNet50v2
from testudo.models.wide_resnet import WRN28x10, WRN70x16
from testudo.registry import MODELS

TINY = [ResNet18(width=4), ResNet34(width=4), PreActResNet18(width=4), ResNet50v2(width=4)]


def count(encoder: Encoder, classes: int) -> int:
    with torch.device("meta"):
        body = encoder.build(3)
        head = nn.Linear(body.features, classes)
    return sum(p.numel() for module in (body, head) for p in module.parameters())


@pytest.mark.parametrize(
    ("encoder", "classes", "published"),
    [
        (ResNet18(), 10, 11_173_962),  # kuangliu/pytorch-cifar
        (ResNet34(), 10, 21_282_122),  # kuangliu/pytorch-cifar
        (ResNet18(stem="large"), 1000, 11_689_512),  # torchvision
        (ResNet34(stem="large"), 1000, 21_797_672),  # torchvision
        (ResNet50v2(stem="large"), 1000, 25_549_352),  # timm resnetv2_50
        (WRN28x10(), 10, 36_479_194),  # 36.5 M in the paper, this in RobustBench
        (WRN70x16(), 10, 266_796_506),  # 266.8 M, Gowal et al. 2020
    ],
    ids=repr,
)
def test_parameter_counts_are_the_published_ones(encoder: Encoder, classes: int, published: int) -> None:
    assert count(encoder, classes) == published


def test_preactivation_moves_norms_but_keeps_every_convolution() -> None:
    """No norm on the three shortcuts (128, 256, 512 channels); those of the stem and the blocks only shift."""
    assert count(ResNet18(), 10) - count(PreActResNet18(), 10) == 2 * (128 + 256 + 512)


@pytest.mark.parametrize("encoder", [*TINY, WRN28x10(), WRN70x16()], ids=repr)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 16), (33, 47), (224, 224), (1, 1)])
def test_shapes(encoder: Encoder, height: int, width: int) -> None:
    with torch.device("meta"):
        body = encoder.build(5)
        found = body(torch.zeros(2, 5, height, width)).shape
    halvings = len(body.stages) - 1
    scale = 2**halvings
    assert found == (2, body.features, -(-height // scale), -(-width // scale))
    assert body.channels == 5


@pytest.mark.parametrize("encoder", [*TINY, WRN28x10()], ids=repr)
def test_large_stem_is_four_times_coarser(encoder: Encoder) -> None:
    with torch.device("meta"):
        body = type(encoder)(stem="large").build(3)
        found = body(torch.zeros(1, 3, 224, 224)).shape
    assert found[2:] == (224 // 4 // 2 ** (len(body.stages) - 1),) * 2


@pytest.mark.parametrize("encoder", TINY, ids=repr)
def test_the_seed_alone_decides_the_weights(encoder: Encoder) -> None:
    state, plain = torch.get_rng_state(), random.getstate()
    first = encoder.build(3, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == plain
    torch.rand(7)
    again, other = encoder.build(3, seed=1).state_dict(), encoder.build(3, seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


@pytest.mark.parametrize("encoder", TINY, ids=repr)
def test_activations_neither_vanish_nor_explode_and_everything_learns(encoder: Encoder) -> None:
    body = encoder.build(3)
    out = body(torch.rand(8, 3, 16, 16))
    assert bool((out >= 0).all())
    assert 0.05 < float(out.detach().std()) < 20
    out.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in body.parameters())


def test_registered_encoders_build() -> None:
    for name in MODELS.names():
        with torch.device("meta"):
            assert isinstance(MODELS.get(name)().build(1), nn.Module)


def test_mistakes_are_one_line() -> None:
    with pytest.raises(TestudoError, match="at least 1 input channel, got 0"):
        ResNet18(width=4).build(0)
    with pytest.raises(TestudoError, match="width must be at least 1, got 0"):
        ResNet18(width=0).build(3)
    with pytest.raises(TestudoError, match="unknown stem 'smal'; did you mean 'small'"):
        ResNet18(stem="smal").build(3)  # type: ignore[arg-type]
