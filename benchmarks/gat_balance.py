"""Which balance GAT should have: each against single-task twins that make as many steps and attack passes.

``python -m benchmarks.gat_balance --seeds 0 1 2`` trains every arm on the digits (16x16, preact_resnet18 of width 16,
Linf 0.15, PGD-7) and prints a Markdown table. Run folders are kept (``--out``): what was trained is not trained again,
so that seeds and arms can be added. ``--epochs 1 --only sum`` is a quick look.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

import testudo as td

BALL = td.Linf(0.15)
INNER = td.PGD(BALL, steps=7, keep="last")
MAIN = "digit"
TASKS = (MAIN, "parity", "loop")
JUDGE = {"clean": None, "pgd20": td.PGD(BALL, td.Objective((MAIN,)), steps=20)}


def gat(balance: td.Balance | None = None, weight: float = 0.0, main: float = 1.0, **fields: object) -> td.Method:
    """GAT with that balance, the curvature at ``weight`` and the main task's adversarial loss times ``main``."""
    values: dict = {"attack": INNER, "balance": balance, "curvature": td.CurvatureTerms(weight), **fields}
    values["adversarial_weight"] = main
    return td.GAT(**values)


def twins() -> dict[str, td.Method]:
    """Single-task opponents: one PGD-7 on the main task and one step for every batch, as the arms have."""
    alone = replace(INNER, objective=td.Objective((MAIN,)))
    return {
        "single: adversarial": td.Madry(attack=alone),
        "single: clean + adversarial": gat(),
        "single: clean + 3 x adversarial": gat(main=3.0),
        "single: clean + 6 x adversarial": gat(main=6.0),
        "single: half clean, half adversarial": td.Madry(attack=alone, clean=0.5),
    }


def arms() -> dict[str, td.Method]:
    """GAT on the main task, parity and loop; without the curvature unless its name says so."""
    main, hurt = (f"{MAIN}.adv",), ("*.adv",)
    found: dict[str, td.Balance | None] = {
        "sum": None,
        "equal": td.Equal(),
        "MGDA, raw (the paper's)": td.MGDA(normalise="none"),
        "MGDA, l2": td.MGDA(),
        "MGDA, loss+": td.MGDA(normalise="loss+"),
        "MGDA, raw, floor 0.5 for digit.adv": td.FlooredMGDA(named=main),
        "MGDA, raw, floor 0.5 for *.adv": td.FlooredMGDA(named=hurt),
        "MGDA, raw, floor 0.8 for digit.adv": td.FlooredMGDA(named=main, share=0.8),
        "MGDA, l2, floor 0.5 for digit.adv": td.FlooredMGDA(named=main, normalise="l2"),
        "MGDA, l2, floor 0.5 for *.adv": td.FlooredMGDA(named=hurt, normalise="l2"),
        "MGDA, l2, digit.adv preferred 5": td.PreferredMGDA(preferences={main[0]: 5.0}),
        "even progress": td.EvenProgress(),
        "normalised": td.Normalised(),
        "softmin": td.Softmin(),
        "PCGrad": td.PCGrad(),
        "GradVac": td.GradVac(),
        "IMTL-G": td.IMTLG(),
        "UPGrad": td.UPGrad(),
        "AlignedMTL": td.AlignedMTL(),
    }
    return {name: gat(balance) for name, balance in found.items()} | _weighed()


def _weighed() -> dict[str, td.Method]:
    """Other weights of the terms, other attacks, the regulariser."""
    few = {"parity": 0.1, "loop": 0.1}
    main = (f"{MAIN}.adv",)
    return {
        "sum, lambda 0.1": gat(weights=few),
        "sum, main adversarial x 3": gat(main=3.0),
        "sum, main adversarial x 6": gat(main=6.0),
        "sum, main adversarial x 3, lambda 0.03": gat(main=3.0, weights={"parity": 0.03, "loop": 0.03}),
        "sum, main adversarial x 3, lambda 0.1": gat(main=3.0, weights=few),
        "sum, main adversarial x 3, lambda 0.3": gat(main=3.0, weights={"parity": 0.3, "loop": 0.3}),
        "sum, main adversarial x 3, curvature 0.01": gat(main=3.0, weight=0.01),
        "sum, all tasks attacked": gat(attacked="both"),
        "all adversarial x 3": gat(td.Fixed(_adversarial(3.0))),
        "all adversarial x 3, lambda 0.3": gat(td.Fixed(_adversarial(3.0)), weights={"parity": 0.3, "loop": 0.3}),
        "all adversarial x 3, all attacked": gat(td.Fixed(_adversarial(3.0)), attacked="both"),
        "tasks joined, MGDA, raw (the code's)": gat(td.MGDA(normalise="none"), joined=True),
        "tasks joined, MGDA, l2": gat(td.MGDA(), joined=True),
        "sum, curvature 0.01": gat(weight=0.01),
        "sum, curvature 0.1": gat(weight=0.1),
        "sum, curvature 1": gat(weight=1.0),
        "sum, lambda 0.1, curvature 0.01": gat(weight=0.01, weights=few),
        "MGDA, raw, floor 0.5 for digit.adv, curvature 0.01": gat(td.FlooredMGDA(named=main), 0.01),
    }


def _adversarial(factor: float) -> dict[str, float]:
    """Weight ``factor`` for every task's adversarial term, 1 for the clean ones."""
    return {f"{name}.{kind}": factor if kind == "adv" else 1.0 for name in TASKS for kind in ("clean", "adv")}


def recipe(name: str, method: td.Method, tasks: Sequence[str], seed: int, epochs: int) -> td.Recipe:
    """A run of one arm; the last weights count."""
    trainer = td.Trainer(
        epochs=epochs,
        batch_size=64,
        optimiser=td.Optimiser(lr=0.1),
        schedule=td.Schedule("cosine", warmup=0.1),
        precision="float32",
        validate_every=epochs,
    )
    data, model = td.Digits(size=16), td.PreActResNet18(width=16)
    return td.Recipe(name, data, model, method, tuple(tasks), trainer=trainer, seed=seed)


def judged(made: td.Recipe, folder: Path) -> dict[str, float]:
    """Accuracy of the main task in percent, clean and attacked, and seconds of training."""
    run = td.train(made, folder)
    found = run.rows(JUDGE).filter(pl.col("task") == MAIN).group_by("attack").agg(pl.col("score").mean())
    scores = {row["attack"]: 100 * row["score"] for row in found.iter_rows(named=True)}
    return {**scores, "seconds": run.log[-1]["seconds"]}


def table(results: dict[str, list[dict[str, float]]]) -> list[str]:
    """Markdown lines, the best under attack first."""
    lines = ["| arm | clean | PGD-20 | seeds | seconds a run |", "| --- | --- | --- | --- | --- |"]
    ordered = sorted(results.items(), key=lambda item: -statistics.fmean(run["pgd20"] for run in item[1]))
    for name, runs in ordered:
        cells = [_mean([run[key] for run in runs]) for key in ("clean", "pgd20")]
        seconds = statistics.fmean(run["seconds"] for run in runs)
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {len(runs)} | {seconds:.0f} |")
    return lines


def _mean(values: Sequence[float]) -> str:
    """Mean and, of several, standard deviation."""
    spread = f" +- {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=[], help="arms whose names begin so")
    parser.add_argument("--out", type=Path, default=Path("runs/gat-balance"))
    return parser.parse_args()


def main() -> None:
    """Train, judge and print."""
    how, results = options(), {}
    both = [(TASKS[:1], twins()), (TASKS, arms())]
    for seed in how.seeds:
        for tasks, methods in both:
            for name, method in methods.items():
                if how.only and not name.startswith(tuple(how.only)):
                    continue
                plain = "".join(c if c.isalnum() else "-" for c in name)
                made = recipe(plain, method, tasks, seed, how.epochs)
                results.setdefault(name, []).append(judged(made, how.out / f"{how.epochs}-{plain}-{seed}"))
                print(name, seed, results[name][-1], flush=True)
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
