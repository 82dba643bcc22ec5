"""Tiny models, batches and attacks that the tests share."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from testudo.attacks.objective import Objective
from testudo.attacks.surrogates import Margin
from testudo.balance.fixed import Fixed
from testudo.balance.floored import FlooredMGDA
from testudo.balance.minmax import MinMax
from testudo.balance.stealthy import Stealthy
from testudo.data.batch import Batch
from testudo.models.encoder import seeded
from testudo.models.fast import fast
from testudo.models.wrap import wrap
from testudo.registry import ATTACKS, BALANCES, THREATS
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression

SHAPE = (2, 5, 4)
TASKS = (
    Classification("digit", classes=3),
    Regression("angle", outputs=2, mean=1.0, std=2.0),
    MultiLabel("signs", labels=("a", "b", "c")),
)
NAMES = tuple(task.name for task in TASKS)
EPS = {"linf": 0.06, "l2": 0.3, "l1": 0.35}


class Heads(nn.Module):
    """A convolution with batch norm, and one linear head per task."""

    def __init__(self, tasks=TASKS, width=4):
        super().__init__()
        self.conv = nn.Conv2d(SHAPE[0], width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.heads = nn.ModuleDict({task.name: nn.Linear(4 * width, task.channels) for task in tasks})

    def forward(self, x):
        x = torch.nn.functional.adaptive_avg_pool2d(self.norm(self.conv(x)).tanh(), 2).flatten(1)
        return {name: head(x) for name, head in self.heads.items()}


class Scaled(nn.Module):
    """Another module's first output times a factor: 0 is a constant model, 1e4 a saturated one."""

    def __init__(self, inner, factor):
        super().__init__()
        self.inner = inner
        self.factor = factor

    def forward(self, x):
        return {name: out * self.factor for name, out in self.inner(x).items()}


def network(seed=0, tasks=TASKS):
    """The multi-head network with running statistics unlike the initial ones, in eval mode."""
    with seeded(seed):
        module = Heads(tasks)
        for p in module.parameters():
            p.data.add_(torch.randn_like(p) * 0.3)
        module.norm.running_mean.normal_(0, 0.2)
        module.norm.running_var.uniform_(0.3, 1.0)
    return module.eval()


def multi(seed=0):
    """A wrapped model with a classification, a regression and a multi-label task, normalising its input."""
    return wrap(network(seed), TASKS, mean=[0.4, 0.5], std=[0.3, 0.2])


def linear(seed=0):
    """Flattened pixels to three logits."""
    with seeded(seed):
        return wrap(nn.Sequential(nn.Flatten(), nn.Linear(40, 3)), TASKS[:1])


def conv(seed=0):
    """A single-task convolutional model."""
    return wrap(network(seed, TASKS[:1]), TASKS[:1])


MODELS = {"linear": linear, "conv": conv, "multi": multi}


def batch(n=6, seed=0, dtype=torch.float32):
    """Images with some values on the box's faces, labels for every task of which some are unknown."""
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(n, *SHAPE, generator=g).mul(1.2).sub(0.1).clamp(0, 1).to(dtype)
    digit = torch.randint(0, 3, (n,), generator=g)
    angle = torch.randn(n, 2, generator=g).to(dtype)
    signs = torch.randint(0, 2, (n, 3), generator=g).to(dtype)
    if n > 3:
        digit[1], angle[2, 0], signs[3, 1] = -1, torch.nan, torch.nan
    return Batch(images, {"digit": digit, "angle": angle, "signs": signs}, torch.arange(n) * 7 + 3)


def unlabelled(n=4):
    """A batch in which nothing is known."""
    full = batch(n)
    targets = {"digit": torch.full((n,), -1), "angle": torch.full((n, 2), torch.nan)}
    return Batch(full.images, {**targets, "signs": torch.full((n, 3), torch.nan)}, full.ids)


def balance(name):
    """The registered balance, on the shared tasks."""
    if name == "fixed":
        return Fixed(dict(zip(NAMES, (1.0, 0.5, 2.0), strict=True)))
    if name == "mgda_floored":
        return FlooredMGDA(named=NAMES[:1])
    return Stealthy(NAMES[:1]) if name == "stealthy" else BALANCES.get(name)()


OBJECTIVES = {
    "single": Objective(("digit",)),
    "minmax-raw": Objective(balance=MinMax(scale="raw", rate=0.3, gamma=0.1)),
    "margin": Objective(("digit",), surrogate=Margin()),
    "targeted": Objective(("angle", "digit"), targeted=True),
    **{name: Objective(balance=balance(name)) for name in BALANCES.names()},
}


def objective(kind, model):
    """One of :data:`OBJECTIVES`, cut to the tasks that ``model`` has."""
    found = OBJECTIVES[kind]
    names = tuple(name for name in found.tasks or NAMES if name in model.tasks)
    return dataclasses.replace(found, tasks=names)


def named(how):
    """The objective with its tasks written out."""
    return dataclasses.replace(how, tasks=how.tasks or NAMES)


def threat(norm, eps=None):
    """The registered threat with a radius that leaves some pixels at the box's faces."""
    return THREATS.get(norm)(EPS.get(norm, 0.1) if eps is None else eps)


ONE_TASK = ("autoattack", "fab")  # attacks that take one classification task and no other
BLIND = ("square", "noise")  # attacks that take no gradients


def attack(name, **fields):
    """A registered attack with few steps, whatever it is; fields that it lacks are left out."""
    given = {"steps": 4, "queries": 30, "draws": 4, **fields}
    if name in ONE_TASK:
        given = {"objective": Objective(("digit",)), **given}
    if name == "worst_case":
        given["attacks"] = {member: attack(member, **given) for member in ("pgd", "mim")}
    cls = ATTACKS.get(name)
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{key: value for key, value in given.items() if key in known})


def random_attacks():
    """Names of the attacks whose result depends on the seed by their fields' defaults."""
    return [name for name in ATTACKS.names() if getattr(attack(name), "random_start", False)]


def exact(model):
    """The frozen copy in full precision, whatever the machine prefers."""
    return fast(model, "float32")


def fresh_losses(model, hit, data, how):
    """{task: (N,)} surrogate values of ``hit.images`` by a forward of the model itself, in eval mode."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    with torch.no_grad():
        outputs = model(hit.images, how.tasks)
    for part, mode in modes:
        part.training = mode
    sign = -1 if how.targeted else 1
    return {n: sign * how.surrogate(model.tasks[n], outputs[n], data.targets[n]) for n in how.tasks}


def snapshot(model):
    """All that an attack must leave alone: modes, flags, gradients, values, hooks."""
    parts = {
        name: (part.training, tuple(part._forward_hooks), tuple(part._forward_pre_hooks), tuple(part._backward_hooks))
        for name, part in model.named_modules()
    }
    tensors = {
        name: (id(t), t.detach().clone(), t.requires_grad, None if t.grad is None else t.grad.clone())
        for name, t in [*model.named_parameters(), *model.named_buffers()]
    }
    return parts, tensors


def assert_unchanged(model, before):
    """The model is as it was, bit by bit."""
    parts, tensors = snapshot(model)
    assert parts == before[0]
    assert tensors.keys() == before[1].keys()
    for name, (key, value, flag, grad) in tensors.items():
        old_key, old_value, old_flag, old_grad = before[1][name]
        assert (key, flag) == (old_key, old_flag), name
        assert torch.equal(value, old_value), name
        assert (grad is None) == (old_grad is None), name
        assert grad is None or torch.equal(grad, old_grad), name


def assert_inside(images, clean, ball):
    """Inside ball and box to 1e-6, and finite."""
    assert images.isfinite().all()
    assert images.min() >= 0
    assert images.max() <= 1
    eps = torch.as_tensor(ball.eps, dtype=torch.float64)
    size = torch.linalg.vector_norm((images.double() - clean.double()).flatten(1), ball.p, dim=1)
    assert (size <= eps + 1e-6).all(), (size - eps).max()
