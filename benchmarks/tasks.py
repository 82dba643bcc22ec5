"""What a step costs with K tasks, against a bare loop of one forward and one backward pass over the same copy."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import torch

import testudo as td
from benchmarks.timing import as_table, take_turns

STEPS, IMAGES = 10, 32
ARMS = ("bare", "softmin", "mgda features", "mgda input")


def scene(count: int) -> tuple[td.Model, td.Batch]:
    """A width-32 pre-activation ResNet-18 with ``count`` heads of 100 classes, and images for it."""
    draw = torch.Generator().manual_seed(0)
    tasks = [td.Classification(f"task{k}", classes=100) for k in range(count)]
    model = td.MultiTaskModel(td.PreActResNet18(width=32).build(3), tasks, [0.5] * 3, [0.25] * 3).eval()
    targets = {task.name: torch.randint(100, (IMAGES,), generator=draw) for task in tasks}
    return td.fast(model, "float32"), td.Batch(torch.rand(IMAGES, 3, 32, 32, generator=draw), targets)


def bare(model: td.Model, batch: td.Batch) -> torch.Tensor:
    """The floor: signed steps up the mean loss, and a last look."""
    images = batch.images
    for _ in range(STEPS):
        leaf = images.detach().requires_grad_()
        outputs = model(leaf)
        total = sum(model.tasks[name].loss(outputs[name], batch.targets[name]).sum() for name in model.tasks)
        (slope,) = torch.autograd.grad(total, leaf)
        images = torch.clamp(images + 2 / 255 * slope.sign(), batch.images - 8 / 255, batch.images + 8 / 255).clamp(
            0, 1
        )
    with torch.no_grad():
        model(images)
    return images


def arm(name: str, count: int) -> Callable[[], object]:
    """One of :data:`ARMS` on a model with ``count`` tasks."""
    model, batch = scene(count)
    if name == "bare":
        return lambda: bare(model, batch)
    balance = {
        "softmin": td.Softmin(),
        "mgda features": td.MGDA(gradients="features"),
        "mgda input": td.MGDA(),
    }[name]
    attack = td.PGD(steps=STEPS, random_start=False, objective=td.Objective(balance=balance))
    return lambda: attack(model, batch)


def run(turns: int = 7) -> list[str]:
    """Markdown lines with the result."""
    lines = [
        f"## A step with K tasks (width-32 ResNet-18, {IMAGES} images of 3x32x32, PGD-{STEPS})",
        "",
        "The floor is one forward pass of encoder and K heads and one backward pass, by hand, on the same frozen copy.",
        "Memory is the most that a process of its own held, less what it held before the attack.",
    ]
    for count in (1, 2, 4, 8):
        told = take_turns({name: arm(name, count) for name in ARMS}, turns)
        memory = ", ".join(f"{name} {_peak(name, count)} MiB" for name in ARMS)
        lines += ["", f"K = {count}; peak memory: {memory}.", "", *as_table(told, {"softmin": 1.05})]
    return lines


def _peak(name: str, count: int) -> int:
    """MiB that the attack adds to a process's peak."""
    command = [sys.executable, "-m", "benchmarks.tasks", name, str(count)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def held() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _most_held(work: Callable[[], object]) -> int:
    """Bytes that ``work`` adds at its peak, looked at every millisecond."""
    seen, over = [held()], threading.Event()

    def look() -> None:
        while not over.wait(0.001):
            seen.append(held())

    watcher = threading.Thread(target=look)
    watcher.start()
    work()
    over.set()
    watcher.join()
    return max(seen) - seen[0]


if __name__ == "__main__":
    print(_most_held(arm(sys.argv[1], int(sys.argv[2]))) >> 20)
