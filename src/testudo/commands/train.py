"""``testudo train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from testudo.overrides import parse_override
from testudo.progress import Bar, meter
from testudo.run import train as train_run
from testudo.run import wanted
from testudo.training.journal import Watcher

Overrides = UseAppendAction[tuple[str, ...]]


def train(
    recipe: Positional[Path],
    /,
    out: Path | None = None,
    set: Annotated[Overrides, arg(metavar="PATH=VALUE")] = (),
    device: Literal["auto", "cpu", "cuda"] = "auto",
    seed: int | None = None,
    tensorboard: bool = False,
) -> None:
    """Train a recipe into a run folder; the same command goes on where it was stopped.

    Args:
        recipe: a TOML recipe, or a run folder to go on with.
        out: the run folder (default: runs/NAME, NAME being the recipe's).
        set: put a value over the recipe's, e.g. --set trainer.epochs=5; may be given several times.
        device: where to train.
        seed: of weights, order and random starts (default: the recipe's).
        tensorboard: also write curves for TensorBoard into the run folder.
    """
    overrides = dict(parse_override(text) for text in set)
    if seed is not None:
        overrides["seed"] = seed
    if device != "auto":
        overrides["trainer.device"] = device
    made, folder = wanted(recipe, out, overrides)
    for line in made.data.describe():
        print(line)
    with meter(f"training {folder.name}") as shown:
        watchers: tuple[Watcher, ...] = (Bar(shown),)
        if tensorboard:
            from testudo.training.tensorboard import TensorBoard

            watchers += (TensorBoard(folder),)
        run = train_run(made, folder, watchers=watchers)
    last, best = run.log[-1], next(record for record in reversed(run.log) if record.get("best"))
    scores = ", ".join(f"{name} {value:.3f}" for name, value in best["validation"].items() if name != "score")
    print(f"{run.folder}: {last['epoch']} epochs in {last['seconds']:.0f} s")
    print(f"best on validation, and kept: epoch {best['epoch']} ({scores})")
    print(f"judge it with: testudo evaluate {run.folder}")
