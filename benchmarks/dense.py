"""What a training step costs with 1, 3 and 5 dense tasks, against the sum of its parts; and its memory.

``python -m benchmarks.dense memory`` trains 200 steps at 288 x 384 and prints the memory held on the way.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

import testudo as td
from benchmarks.tasks import held
from benchmarks.timing import as_table, take_turns
from testudo.data.dataset import Examples
from testudo.models.multitask import MultiTaskModel
from testudo.training.journal import Journal
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

TASKS = ("segmentation", "depth", "normal", "reshading", "image")
BATCH, BATCHES = 8, 32


def scene(names: tuple[str, ...], size: tuple[int, int], images: int) -> tuple[MultiTaskModel, Examples]:
    """A U-Net of width 32 with a head for each task, and rooms."""
    data = td.Scenes(size=size, rooms=(images // 4, 1, 1), views=4, wanted=names)
    model = MultiTaskModel(td.UNet(width=32).build(3), data.tasks(), [0.5] * 3, [0.25] * 3)
    return model, data.load("train")


def by_hand(model: MultiTaskModel, examples: Examples) -> Callable[[], object]:
    """Encoder once, every head by itself, encoder back once, update: nothing else."""
    model = model.train()
    adam = torch.optim.AdamW(model.parameters(), 1e-3)

    def epoch() -> None:
        for batch in td.Loader(examples, BATCH)():
            size = batch.images.shape[-2:]
            features = model.features(batch.images)
            leaf = features.detach().requires_grad_()
            for name, task in model.tasks.items():
                task.loss(model.decode(leaf, (name,), size)[name], batch.targets[name]).mean().backward()
            features.backward(leaf.grad)
            adam.step()
            adam.zero_grad(set_to_none=True)

    return epoch


def trained(model: MultiTaskModel, examples: Examples) -> Callable[[], object]:
    """The package's trainer over the same batches, checkpoint included."""
    trainer = Trainer(
        epochs=1,
        batch_size=BATCH,
        optimiser=Optimiser("adamw", lr=1e-3),
        schedule=Schedule("constant"),
        precision="float32",
        validate_every=1000,
    )

    def epoch() -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer.fit(model, Standard(), examples, lambda _: {"score": 0.0}, Journal(Path(folder)))

    return epoch


def run(turns: int = 3) -> list[str]:
    """Markdown lines with the result."""
    lines = [
        f"## A training step with K dense tasks (U-Net of width 32, {BATCH} images of 3x96x128)",
        "",
        f"{BATCHES} steps. The floor is the sum of the parts by hand: the encoder forward and back once, each head "
        "forward and back by itself, the update; the trainer adds its terms, its log and a checkpoint.",
    ]
    for count in (1, 3, 5):
        arms = {}
        for name, make in (("parts by hand", by_hand), ("trainer", trained)):
            arms[name] = make(*scene(TASKS[:count], (96, 128), BATCH * BATCHES))
        lines += ["", f"K = {count}.", "", *as_table(take_turns(arms, turns), {"trainer": 1.1})]
    return lines


class _Memory:
    """Prints what the process holds at some of the steps."""

    def step(self, done: int, total: int) -> None:
        """``done`` of ``total`` batches are behind us."""
        if done in (10, 50, 100, 150, 200):
            print(f"after {done} of {total} steps: {held() >> 20} MiB", flush=True)

    def epoch(self, record: dict[str, object]) -> None:
        """Nothing."""


def memory(steps: int = 200) -> None:
    """Train at 288 x 384, batch 4, three tasks."""
    model, examples = scene(TASKS[:3], (288, 384), 40)
    print(f"before: {held() >> 20} MiB", flush=True)
    trainer = Trainer(
        epochs=steps // 10,
        batch_size=4,
        optimiser=Optimiser("adamw", lr=1e-3),
        precision="float32",
        validate_every=1000,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer.fit(model, Standard(), examples, lambda _: {"score": 0.0}, Journal(Path(folder), (_Memory(),)))


if __name__ == "__main__":
    memory() if sys.argv[1:] == ["memory"] else print("\n".join(run()))
