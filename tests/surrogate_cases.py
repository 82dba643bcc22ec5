"""Tasks, predictions and labels on which surrogates are tried."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from testudo.attacks.houdini import Houdini
from testudo.attacks.number_surrogates import Cosine
from testudo.attacks.surrogates import Custom, kind
from testudo.registry import SURROGATES
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.depth import Depth
from testudo.tasks.normals import Normals
from testudo.tasks.regression import Regression
from testudo.tasks.segmentation import Segmentation

N = 6

CLASS = Classification("t", classes=4)
THREE = Classification("t", classes=3)
FOUND = MultiLabel("t", labels=("a", "b", "c"))
GAZE = Regression("t", outputs=3, mean=0.5, std=2.0)
PIXELS, NORMALS, DEPTH = Segmentation("t", classes=4), Normals("t"), Depth("t")
TASKS = {"class": CLASS, "three": THREE, "pixels": PIXELS, "labels": FOUND, "numbers": GAZE, "normals": NORMALS}
SHAPES = {"class": (4,), "three": (3,), "pixels": (4, 3, 2), "labels": (3,), "numbers": (3,), "normals": (3, 3, 2)}
VARIANTS = [
    *(SURROGATES.get(name)() for name in SURROGATES.names()),
    Houdini("loss"),
    Houdini("iou"),
    Cosine(angular=True),
    Custom(lambda task, prediction, target: prediction.flatten(1).square().sum(1)),
]
FITTING = [
    (surrogate, name)
    for surrogate in VARIANTS
    for name, task in TASKS.items()
    if kind(task) in surrogate.fits and (surrogate != Houdini("iou") or name == "pixels")
]


def tag(value):
    """A test's id."""
    if isinstance(value, str | int | float):
        return str(value)
    return type(value).__name__ + "".join(f"-{getattr(value, f.name)}" for f in fields(value) if f.name != "function")


every = pytest.mark.parametrize(("surrogate", "name"), FITTING, ids=tag)


def outputs(name, seed=0, dtype=torch.float64, n=N):
    """(n, C, ...) standard normal."""
    return torch.randn(n, *SHAPES[name], generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels(name, seed=0, n=N):
    """Targets of which the second is unknown, and part of the third where it has parts."""
    g = torch.Generator().manual_seed(seed + 100)
    shape = (n, *SHAPES[name])
    if kind(TASKS[name]) == "classes":
        target = torch.randint(0, shape[1], (n, *shape[2:]), generator=g)
        unknown = 255 if name == "pixels" else -1
    elif name == "labels":
        target, unknown = torch.randint(0, 2, shape, generator=g).double(), torch.nan
    else:
        target, unknown = torch.randn(shape, generator=g, dtype=torch.float64), torch.nan
    target[1] = unknown
    if target.dim() > 1:
        target[2].flatten()[:2] = unknown  # numbers of one vector: that vector is unknown
    return target


def slope(function, prediction):
    """The values at ``prediction`` and the gradient of their sum."""
    leaf = prediction.detach().requires_grad_()
    values = function(leaf)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient
