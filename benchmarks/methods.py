"""What a training step of every method costs, against the passes that it cannot avoid; and its memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import torch

import testudo as td
from benchmarks.timing import as_table, take_turns
from testudo.balance.gramian import MGDA
from testudo.data.batch import Batch
from testudo.models.multitask import MultiTaskModel
from testudo.models.prepare import reusing
from testudo.registry import METHODS
from testudo.training.methods.base import Method
from testudo.training.methods.gat import GAT
from testudo.training.methods.standard import Standard
from testudo.training.methods.trades import Trades
from testudo.training.update import update_of

BATCH, STEPS, WIDTH = 64, 2, 16
TASKS = (td.classification("kind", classes=10), td.classification("coarse", classes=2))


def network(method: Method) -> MultiTaskModel:
    """A pre-activation ResNet-18 of width 16 with a head for each task."""
    tasks = [*TASKS, *(pretext.task for pretext in method.pretexts)]
    return MultiTaskModel(td.PreActResNet18(width=WIDTH).build(3), tasks, [0.5] * 3, [0.25] * 3).train()


def images(count: int = BATCH) -> Batch:
    """Random images with labels."""
    draw = torch.Generator().manual_seed(0)
    labels = {"kind": torch.arange(count) % 10, "coarse": torch.arange(count) % 2}
    return Batch(torch.rand(count, 3, 32, 32, generator=draw), labels)


def stepped(method: Method, held: ExitStack) -> Callable[[], object]:
    """The package's steps of ``method`` over one batch, without the optimiser.

    Until ``held`` is closed they share a frozen copy for attacks, as in the trainer.
    """
    model, batch, states = network(method), images(), {}
    method.check(model.tasks)
    held.enter_context(reusing(model, "float32"))
    update = update_of(model, method, states)

    def steps() -> None:
        posed = method.pose(batch, model.tasks, torch.arange(len(batch)))
        found = method.steps(model, posed, states)
        while True:
            update.begin()
            with update.watching():
                terms = next(found, None)
            if terms is None:
                return
            update.add(terms, 1.0)
            update.finish()

    return steps


def floor(method: Method) -> Callable[[], object]:
    """The passes that ``method`` cannot avoid and nothing else, by hand.

    An attack's pass is forward and back to the images through a frozen copy in evaluation mode, an update's
    forward and back to the weights in training mode. An attack on a drift from the clean prediction needs that, too.
    """
    model = network(method)
    batch = method.pose(images(), model.tasks, torch.arange(BATCH))
    tasks = list(model.tasks.values())
    updates = method.updates(tasks)
    attacks = method.passes(tasks) - updates
    frozen, drifts = td.fast(model, "float32"), isinstance(method, Trades)

    def loss(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        outputs = net(x)
        return torch.stack([task.loss(outputs[task.name], batch.targets[task.name]).mean() for task in tasks]).sum()

    def passes() -> None:
        if drifts:
            with torch.no_grad():
                frozen(batch.images)
        for _ in range(attacks):
            x = batch.images.clone().requires_grad_()
            torch.autograd.grad(loss(frozen, x), x)
        for _ in range(updates):
            model.zero_grad(set_to_none=True)
            loss(model, batch.images).backward()

    return passes


def plain(backwards: int) -> Callable[[], object]:
    """One forward pass of both tasks and so many backward passes to the weights."""
    model, batch = network(Standard()), images()
    tasks = list(model.tasks.values())

    def passes() -> None:
        model.zero_grad(set_to_none=True)
        outputs = model(batch.images)
        loss = sum(task.loss(outputs[task.name], batch.targets[task.name]).mean() for task in tasks)
        for number in range(backwards):
            torch.autograd.backward(loss, retain_graph=number < backwards - 1)

    return passes


def small() -> dict[str, Method]:
    """Every method with an attack of two steps, so that what it adds itself shows."""
    found = {}
    for name in METHODS.names():
        method = METHODS.get(name)()
        attack = getattr(method, "attack", None)
        found[name] = replace(method, attack=replace(attack, steps=STEPS)) if hasattr(attack, "steps") else method
    return found


def run(turns: int = 5) -> list[str]:
    """Markdown lines with the result."""
    with ExitStack() as held:
        return _lines(turns, held)


def _lines(turns: int, held: ExitStack) -> list[str]:
    lines = [
        f"## A training step of every method (pre-activation ResNet-18 of width {WIDTH}, {BATCH} images of 3x32x32)",
        "",
        f"The floor is the forward and backward passes that the method cannot avoid (`passes`), by hand; attacks of "
        f"{STEPS} steps, so that what is added shows more than with ten. Two tasks; float32; no optimiser. The passes "
        "of GAT's curvature are counted as if they were of all images, and are of a share of them.",
        "",
    ]
    for name, method in small().items():
        arms = {f"{name}: floor": floor(method), name: stepped(method, held)}
        lines += as_table(take_turns(arms, turns), {name: 1.1})[0 if name == METHODS.names()[0] else 2 :]
    lines += ["", "### Balances: against one forward pass and one backward pass, two tasks", ""]
    arms = {
        "one backward pass": plain(1),
        "two backward passes": plain(2),
        "sum": stepped(Standard(), held),
        "mgda, features": stepped(Standard(balance=MGDA("features")), held),
        "mgda, exact": stepped(Standard(balance=MGDA()), held),
    }
    lines += as_table(take_turns(arms, turns), {"sum": 1.1, "mgda, features": 1.1})
    lines += ["", "### The curvature of GAT: against the step without it", ""]
    default = GAT()
    arms = {
        "gat without it": stepped(replace(default, curvature=replace(default.curvature, weight=0.0)), held),
        "gat": stepped(default, held),
    }
    return [*lines, *as_table(take_turns(arms, turns), {"gat": 1.35})]


def memory(name: str) -> None:
    """The most that one step of a method holds, in a process of its own."""
    method = small()[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ExitStack() as held:
        stepped(method, held)()
    print(f"| {name} | {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10} MiB |")


if __name__ == "__main__":
    memory(sys.argv[2]) if sys.argv[1:2] == ["memory"] else print("\n".join(run()))
