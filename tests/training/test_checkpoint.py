"""A model and its optimiser go on as if nothing had been; what does not fit is told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from testudo.errors import TestudoError
from testudo.training.checkpoint import load_weights, pack, unpack


def test_another_architecture_is_told_by_its_first_difference():
    weights = {f"model.{name}": value for name, value in nn.Linear(2, 3).state_dict().items()}
    with pytest.raises(TestudoError, match=r"'weight' is torch.float32 \(3, 2\) there, torch.float32 \(4, 2\) here"):
        load_weights(nn.Linear(2, 4), weights)
    with pytest.raises(TestudoError, match="only the checkpoint has 'bias'"):
        load_weights(nn.Linear(2, 3, bias=False), weights)
    with pytest.raises(TestudoError, match=r"only the model has '0\.weight'"):
        load_weights(nn.Sequential(nn.Linear(2, 3)), weights)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_model_and_optimiser_go_on_as_if_nothing_had_been(kind):
    def made():
        model = nn.Linear(3, 2)
        momentum = {"momentum": 0.9} if kind == "SGD" else {}
        return model, getattr(torch.optim, kind)(model.parameters(), lr=0.1, **momentum)

    def step(model, optimiser):
        optimiser.zero_grad()
        model(torch.ones(1, 3)).square().sum().backward()
        optimiser.step()

    first, second = made(), made()
    step(*first)
    unpack({name: tensor.clone() for name, tensor in pack(*first).items()}, *second)  # as if from a file
    for _ in range(3):
        step(*first)
        step(*second)
    assert torch.equal(first[0].weight, second[0].weight)
