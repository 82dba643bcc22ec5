"""What a diagnosis costs beside one AutoAttack of the same model on the same images.

``python -m benchmarks.diagnose [COUNT]`` prints Markdown, for ``diagnose.md``. Two models: one hardened, on which most
images stand to the end of every attack, and one trained as usual, which falls in AutoAttack's first steps, so that a
diagnosis, which does not stop there, costs more than that (and little). What is compared are seconds of computing, of
all threads of the process: other work on the machine makes the clock run on, but hardly those.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import torch

import testudo as td
from testudo.environment import environment
from testudo.evaluation.diagnosis.evidence import in_memory

HERE = Path(__file__).parent
RECIPES, BALL = HERE.parent / "recipes", td.Linf(0.2)
RUNS = {"hardened": "digits-madry", "as usual": "digits-standard"}
HEAD = (
    "| model | clean | AutoAttack | verdict | AutoAttack, s | diagnosis, s | ratio | its AutoAttack part, s "
    "| by the clock: AutoAttack, s | diagnosis, s | ratio |",
    "|" + " --- |" * 11,
)


class Clock:
    """Keeps no rows, and notes the seconds of computing that each attack took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(
        self, name: str, key: str, make: Callable[[int], Iterator[pl.DataFrame]], watch: Callable[[int], None]
    ) -> pl.DataFrame:
        """The rows, made here."""
        began = time.process_time()
        rows = in_memory(name, key, make, watch)
        self.seconds[name] = time.process_time() - began
        return rows


def line(name: str, run: td.Run, count: int) -> str:
    """Both on one model."""
    model, batch = run.model(), run.recipe.data.load("test").batch(range(count))
    task, clock = run.tasks[0].name, Clock()
    began = seconds()
    hit = td.AutoAttack(BALL, td.Objective((task,)))(model, batch)
    middle = seconds()
    found = td.diagnose(model, batch, BALL, (task,), how=td.Examination(count, keep=clock))
    costs = [(b - a, c - b) for a, b, c in zip(began, middle, seconds(), strict=True)]
    with torch.no_grad():
        said = [model(images, [task])[task].argmax(1) for images in (batch.images, hit.images)]
    clean, robust = (float((each == batch.targets[task]).double().mean()) for each in said)
    auto = clock.seconds["gradients"] + clock.seconds["square"]
    shares = f"{clean:.1%} | {robust:.1%} | {found.verdict}"
    computing, clocked = (f"{whole:.1f} | {spent:.1f} | {spent / whole:.2f}" for whole, spent in costs)
    return f"| {name} | {shares} | {computing} | {auto:.1f} | {clocked} |"


def seconds() -> tuple[float, float]:
    """Of computing, and by the clock."""
    return time.process_time(), time.perf_counter()


def main(count: int) -> None:
    """Train or load both models, and tell."""
    facts, runs = environment(), {}
    for name, recipe in RUNS.items():
        runs[name] = td.train(RECIPES / f"{recipe}.toml", HERE.parent / "runs" / f"bench-{recipe}")
    print(f"{facts['machine']}, {torch.get_num_threads()} threads, torch {facts['torch']}, testudo {facts['testudo']}.")
    print(f"Digits, {count} test images, ResNet-18 of width 16, Linf {BALL.eps}, default battery, no twin.")
    print("Seconds of computing, then by the clock.\n\n" + "\n".join(HEAD))
    for name, run in runs.items():
        print(line(name, run, count), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 32)
