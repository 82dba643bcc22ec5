"""AutoAttack against the published code, and against the same algorithm run plainly; results side by side.

``python -m benchmarks.autoattack [COUNT]`` writes ``autoattack.md``. It needs ``pyautoattack``, the authors' code as a
package, which ``make bench`` installs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from pyautoattack import AutoAttack as Published
from torch import Tensor, nn

import testudo as td
from testudo.attacks.problem import Problem
from testudo.environment import environment
from testudo.reports.wording import radius

HERE = Path(__file__).parent
BALLS = (td.Linf(8 / 255), td.L2(0.5), td.L1(12.0))
WHOLE = "all four, in order"
HEAD = (
    "| component | testudo | published code | testudo, s | published, s | ratio |",
    "| --- | --- | --- | --- | --- | --- |",
)
SMALL = {"model.width": 8, "trainer.epochs": 8, "method.attack.steps": 4, "method.attack.step": 4 / 255}


class Logits(nn.Module):
    """The logits of one task."""

    def __init__(self, model: td.Model, task: str) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, images: Tensor) -> Tensor:
        """(N, classes)."""
        return self.model(images, [self.task])[self.task]


def published(net: nn.Module, ball: td.Threat, names: list[str], images: Tensor, labels: Tensor) -> Tensor:
    """What the authors' code finds with these components, with AutoAttack's settings for the norm."""
    norm, sparse = type(ball).__name__, ball.p == 1
    theirs = Published(net, attacks=names, version="custom", eps=float(ball.eps), norm=norm, seed=0)
    theirs.apgd.n_restarts, theirs.fab.n_restarts = 5 if sparse else 1, 1
    theirs.apgd_targeted.n_target_classes, theirs.fab.n_target_classes = 5 if sparse else 9, 9
    theirs.apgd.use_largereps = theirs.apgd_targeted.use_largereps = sparse
    found = theirs.run_standard_evaluation(images, labels, batch_size=len(images))
    return found[0] if isinstance(found, tuple) else found


def _right(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((net(images).argmax(1) == labels).double().mean())


def plainly(attack: td.AutoAttack, model: td.Model, batch: td.Batch) -> Tensor:
    """The same attack with every image searched to the end, decided or not, in every member."""
    with (
        mock.patch.object(Problem, "_shrink", return_value=None),
        mock.patch.object(Problem, "drop", lambda self, *tensors, share=0: list(tensors)),
    ):
        return attack(model, batch).images


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What it returns, and seconds."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def main(count: int) -> None:
    """Run all and write the page."""
    run = td.train(HERE.parent / "recipes" / "cifar10-madry.toml", HERE.parent / "runs" / "bench-cifar10-madry", SMALL)
    net = Logits(run.model(), run.tasks[0].name).eval()
    batch = run.recipe.data.load("test").batch(range(count))
    clean, facts = _right(net, batch.images, batch.targets[run.tasks[0].name]), environment()
    text = [
        "# AutoAttack",
        "",
        f"`python -m benchmarks.autoattack {count}`; {facts['machine']}, {torch.get_num_threads()} threads, torch "
        f"{facts['torch']}, testudo {facts['testudo']}.",
        f"CIFAR-10 sample, {count} test images, one ResNet-18 of width 8 adversarially trained in Linf 8/255; clean "
        f"accuracy {clean:.1%}.",
        "Robust accuracy of each component by itself, on all images, and seconds:",
    ]
    for ball in BALLS:
        text += section(net, ball, batch)
        (HERE / "autoattack.md").write_text("\n".join(text) + "\n")


def section(net: Logits, ball: td.Threat, batch: td.Batch) -> list[str]:
    """Our attack and theirs in one ball; in Linf the plain run too."""
    images, labels = batch.images, batch.targets[net.task]
    ours = td.AutoAttack(ball, td.Objective((net.task,)))
    members = ours.members({net.task: net.model.tasks[net.task]})
    lines, quick = [f"## {type(ball).__name__} {radius(float(ball.eps))}", "", *HEAD], 0.0
    for name, attack in {**members, WHOLE: ours}.items():
        names = [name] if name in members else [*members]
        found, quick = timed(partial(_found, attack, net.model, batch))
        theirs, slow = timed(partial(published, net, ball, names, images, labels))
        accuracies = f"{_right(net, found, labels):.1%} | {_right(net, theirs, labels):.1%}"
        lines.append(f"| {name} | {accuracies} | {quick:.0f} | {slow:.0f} | {slow / quick:.1f} |")
        print(lines[-1], flush=True)
    if ball != BALLS[0]:
        return ["", *lines]
    found, plain = timed(partial(plainly, ours, net.model, batch))
    told = f"{_right(net, found, labels):.1%}, {plain:.0f} s, {plain / quick:.1f} times ours."
    return ["", *lines, "", f"The same four run plainly, every image searched to the end of every member: {told}"]


def _found(attack: td.Attack, model: td.Model, batch: td.Batch) -> Tensor:
    return attack(model, batch).images


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 128)
