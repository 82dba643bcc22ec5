"""What a diagnosis costs beside one AutoAttack of the same model on the same images.

``python -m benchmarks.diagnose [COUNT]`` writes ``diagnose.md``. Two models: one hardened, on which most images stand
to the end of every attack, and one trained as usual, which falls in AutoAttack's first steps, so that a diagnosis,
which does not stop there, costs more than that (and little).
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
RECIPE, BALL = HERE.parent / "recipes" / "cifar10-madry.toml", td.Linf(8 / 255)
SMALL = {"model.width": 8, "trainer.epochs": 8}
RUNS = {  # folder, changes; the first is that of benchmarks/autoattack.py
    "hardened": ("bench-cifar10-madry", {**SMALL, "method.attack.steps": 4, "method.attack.step": 4 / 255}),
    "as usual": ("bench-cifar10-standard", {**SMALL, "method": {"kind": "standard"}}),
}
HEAD = (
    "| model | clean | AutoAttack | verdict | AutoAttack, s | diagnosis, s | ratio | its AutoAttack part, s |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)


class Clock:
    """Keeps no rows, and notes the seconds that each attack took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(
        self, name: str, key: str, make: Callable[[int], Iterator[pl.DataFrame]], watch: Callable[[int], None]
    ) -> pl.DataFrame:
        """The rows, made here."""
        began = time.perf_counter()
        rows = in_memory(name, key, make, watch)
        self.seconds[name] = time.perf_counter() - began
        return rows


def line(name: str, run: td.Run, count: int) -> str:
    """Both on one model."""
    model, batch = run.model(), run.recipe.data.load("test").batch(range(count))
    task, clock = run.tasks[0].name, Clock()
    began = time.perf_counter()
    hit = td.AutoAttack(BALL, td.Objective((task,)))(model, batch)
    middle = time.perf_counter()
    found = td.diagnose(model, batch, BALL, (task,), how=td.Examination(count, keep=clock))
    whole, spent = middle - began, time.perf_counter() - middle
    with torch.no_grad():
        said = [model(images, [task])[task].argmax(1) for images in (batch.images, hit.images)]
    clean, robust = (float((each == batch.targets[task]).double().mean()) for each in said)
    auto = clock.seconds["gradients"] + clock.seconds["square"]
    shares = f"{clean:.1%} | {robust:.1%} | {found.verdict}"
    return f"| {name} | {shares} | {whole:.0f} | {spent:.0f} | {spent / whole:.2f} | {auto:.0f} |"


def main(count: int) -> None:
    """Train or load both models, and write the page."""
    facts = environment()
    text = [
        "# The cost of a diagnosis",
        "",
        f"`python -m benchmarks.diagnose {count}`; {facts['machine']}, {torch.get_num_threads()} threads, torch "
        f"{facts['torch']}, testudo {facts['testudo']}.",
        f"CIFAR-10 sample, {count} test images, ResNet-18 of width 8, Linf 8/255, default battery, no twin.",
        "",
        *HEAD,
    ]
    for name, (folder, changes) in RUNS.items():
        text.append(line(name, td.train(RECIPE, HERE.parent / "runs" / folder, changes), count))
        print(text[-1], flush=True)
        (HERE / "diagnose.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
