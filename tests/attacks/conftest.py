"""A small network that resists a little, for comparisons with other people's attacks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from testudo.data.batch import Batch
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification

TRAIN, TEST = 1400, 360  # images


@pytest.fixture(scope="session")
def robust():
    """(wrapped model, the network itself, 360 test images); trained on digits with PGD-3 in Linf 0.15, in seconds."""
    with seeded(0):
        net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        net = nn.Sequential(*net, nn.Flatten(), nn.Linear(256, 10))
        order = torch.randperm(1797)
    images = torch.from_numpy(load_digits().images).float()[order, None] / 16
    labels = torch.from_numpy(load_digits().target)[order]
    adam = torch.optim.Adam(net.parameters(), 5e-3)
    for step in range(8 * 14):
        rows = torch.arange(step * 100, step * 100 + 100) % TRAIN
        clean, target = images[rows], labels[rows]
        hit = clean
        for _ in range(3):
            hit = hit.detach().requires_grad_()
            (slope,) = torch.autograd.grad(F.cross_entropy(net(hit), target), hit)
            hit = torch.clamp(hit + 0.08 * slope.sign(), clean - 0.15, clean + 0.15).clamp(0, 1)
        adam.zero_grad()
        F.cross_entropy(net(hit.detach()), target).backward()
        adam.step()
    net = net.eval().requires_grad_(False)
    part = slice(TRAIN, TRAIN + TEST)
    return wrap(net, [Classification("digit", classes=10)]), net, Batch(images[part], {"digit": labels[part]})
