"""AutoAttack against the published code, and against the same algorithm run plainly; results side by side.

``python -m benchmarks.autoattack [COUNT]`` writes ``autoattack.md``. It needs ``pyautoattack``, the authors' code as a
package, which ``make bench`` installs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from pyautoattack import AutoAttack as Published
from torch import Tensor, nn

import testudo as td
from testudo.attacks.problem import Problem
from testudo.environment import environment

HERE = Path(__file__).parent
EPS = 8 / 255
WHOLE = "all four, in order"
SMALL = {"model.width": 8, "trainer.epochs": 8, "method.attack.steps": 4, "method.attack.step": 4 / 255}


class Logits(nn.Module):
    """The logits of one task."""

    def __init__(self, model: td.Model, task: str) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, images: Tensor) -> Tensor:
        """(N, classes)."""
        return self.model(images, [self.task])[self.task]


def published(net: nn.Module, names: list[str], images: Tensor, labels: Tensor) -> Tensor:
    """What the authors' code finds with these components, with AutoAttack's settings."""
    theirs = Published(net, attacks=names, version="custom", eps=EPS, norm="Linf", seed=0)
    theirs.apgd.n_restarts = theirs.fab.n_restarts = 1
    theirs.apgd_targeted.n_target_classes = theirs.fab.n_target_classes = 9
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
    model, task = run.model(), run.tasks[0]
    batch = run.recipe.data.load("test").batch(range(count))
    images, labels, net = batch.images, batch.targets[task.name], Logits(model, task.name).eval()
    ours = td.AutoAttack(td.Linf(EPS), td.Objective((task.name,)))
    members = ours.members({task.name: task})
    lines, quick = [], 0.0
    for name, attack in {**members, WHOLE: ours}.items():
        found, quick = timed(lambda attack=attack: attack(model, batch).images)
        theirs, slow = timed(
            lambda name=name: published(net, [name] if name in members else [*members], images, labels)
        )
        accuracies = f"{_right(net, found, labels):.1%} | {_right(net, theirs, labels):.1%}"
        lines.append(f"| {name} | {accuracies} | {quick:.0f} | {slow:.0f} | {slow / quick:.1f} |")
        print(lines[-1], flush=True)
    found, plain = timed(lambda: plainly(ours, model, batch))
    facts = environment()
    text = [
        "# AutoAttack",
        "",
        f"`python -m benchmarks.autoattack {count}`; {facts['machine']}, {torch.get_num_threads()} threads, torch "
        f"{facts['torch']}, testudo {facts['testudo']}.",
        f"CIFAR-10 sample, {count} test images, Linf 8/255, one adversarially trained ResNet-18 of width 8; clean "
        f"accuracy {_right(net, images, labels):.1%}.",
        "Robust accuracy of each component by itself, on all images, and seconds:",
        "",
        "| component | testudo | published code | testudo, s | published, s | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
        *lines,
        "",
        "The same four run plainly, every image searched to the end of every member: "
        f"{_right(net, found, labels):.1%}, {plain:.0f} s, {plain / quick:.1f} times ours.",
    ]
    (HERE / "autoattack.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 128)
