"""Which attack hurts several tasks at once: balances at equal passes on NYUv2, CIFAR-100 and NIH X-rays.

``python -m benchmarks.multitask [nyuv2|cifar100|nih]...`` trains what it attacks (minutes each; kept in
``runs/``) and writes ``multitask.md`` beside this file. Result rows are kept too: what was judged is not again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

import testudo as td
from testudo.environment import environment
from testudo.evaluation.columns import read_rows
from testudo.evaluation.metrics import METRICS, delta
from testudo.evaluation.seal import sealed
from testudo.files import write_atomic

HERE = Path(__file__).parent
STEPS = 10
COLOURS = ("#3b6fb6", "#d1812a", "#4f9d69")
BASE, OURS = "min-max, raw losses (the paper's)", "Siege (ours)"


@dataclass(frozen=True)
class Case:
    """A data set: its recipe with overrides, how many test images, and radii."""

    recipe: str
    tasks: tuple[str, ...]
    count: int
    radii: tuple[str, ...]
    overrides: Mapping[str, object] = field(default_factory=dict)


CASES = {
    "nyuv2": Case("nyuv2", ("segmentation", "depth", "normal"), 192, ("2/255", "4/255")),
    "cifar100": Case(
        "cifar100-multitask",
        ("fine", "coarse"),
        916,
        ("1/255",),
        {"model.width": 16, "trainer.epochs": 60, "trainer.batch_size": 64, "trainer.optimiser.lr": 1e-3},
    ),
    "nih": Case("nih", ("pathology", "age", "gender"), 200, ("1/255",)),
}


def arms(eps: float, tasks: tuple[str, ...]) -> dict[str, td.Attack]:
    """The attacks; all but those of gradients spend the same passes."""

    def pgd(balance: td.Balance, names: tuple[str, ...] = tasks) -> td.PGD:
        how = td.Objective(names, balance)
        return td.PGD(td.Linf(eps), how, steps=STEPS, step=eps / 4, random_start=False)

    found: dict[str, td.Attack] = {
        "PGD, equal": pgd(td.Equal()),
        "PGD, normalised": pgd(td.Normalised()),
        f"PGD, {BASE}": pgd(td.MinMax(scale="raw")),
        "PGD, min-max, relative": pgd(td.MinMax(floor=1e-3)),
        "PGD, Pareto ascent (MGDA: K backwards a step)": pgd(td.MGDA()),
        "PGD, softmin 1": pgd(td.Softmin(1.0)),
        "PGD, softmin 4": pgd(td.Softmin(4.0)),
        "APGD, softmin 6": td.APGD(td.Linf(eps), td.Objective(tasks, td.Softmin(6.0)), steps=STEPS, random_start=False),
        OURS: td.Siege(td.Linf(eps), td.Objective(tasks, td.Softmin(6.0)), steps=STEPS),
    }
    for name in tasks:
        found[f"PGD on {name} alone"] = pgd(td.Equal(), (name,))
    for name in tasks:
        found[f"Siege on {name} alone"] = td.Siege(td.Linf(eps), td.Objective((name,)), steps=STEPS)
    return found


def judged(name: str, case: Case) -> pl.DataFrame:
    """Result rows of every arm at every radius, one file per arm."""
    run = td.train(
        HERE.parent / "recipes" / f"{case.recipe}.toml", HERE.parent / "runs" / f"bench-{name}", case.overrides
    )
    examples = run.recipe.data.load("test")
    every = len(examples) / min(case.count, len(examples))
    batch = examples.batch([int(i * every) for i in range(min(case.count, len(examples)))])
    frozen, parts = td.fast(run.model(), "float32"), []
    attacks: dict[str, td.Attack | None] = {"clean": None}
    for eps in case.radii:
        above, below = map(float, eps.split("/"))
        attacks |= {f"{arm} @ {eps}": attack for arm, attack in arms(above / below, case.tasks).items()}
    for arm, attack in attacks.items():
        path = run.folder / "bench" / f"{arm.replace('/', '_')}.parquet"
        if not path.exists():
            rows = td.evaluate(frozen, batch, {arm: attack}, name, td.Evaluation(16))
            write_atomic(path, sealed(rows))
            print(name, arm, flush=True)
        parts.append(read_rows(path))
    return pl.concat(parts)


def table(name: str, case: Case) -> list[str]:
    """Markdown lines for one data set."""
    found = td.summarise(judged(name, case)).filter("primary")
    value = {(r["attack"], r["task"], r["metric"]): r for r in found.iter_rows(named=True)}
    clean = [r for r in found.iter_rows(named=True) if r["attack"] == "clean"]
    told = ", ".join(f"{r['task']} {r['metric']} {r['value']:.3g} [{r['low']:.3g}, {r['high']:.3g}]" for r in clean)
    lines = [f"## {name}", "", f"n = {clean[0]['n']} test images; clean: {told}.", ""]
    for eps in case.radii:
        lines += _radius(eps, case, clean, value)
    return lines


def _changes(arm: str, eps: str, clean: list[dict], value: dict) -> dict[str, float]:
    """Delta of each task in percent."""
    found = {}
    for row in clean:
        attacked = value[f"{arm} @ {eps}", row["task"], row["metric"]]["value"]
        found[row["task"]] = 100 * float(delta(row["value"], attacked, METRICS[row["metric"]].higher_is_better))
    return found


def _radius(eps: str, case: Case, clean: list[dict], value: dict) -> list[str]:
    """The table of one radius: Delta of each task, MTL, Wor with intervals, and the share of the gap recovered."""
    each = {arm: _changes(arm, eps, clean, value) for arm in arms(1.0, case.tasks)}
    ceilings = [max(each[f"{how} on {task} alone"][task] for task in case.tasks) for how in ("PGD", "Siege")]
    base = value[f"PGD, {BASE} @ {eps}", "*", "delta_wor"]
    noise = 100 * base["low"] < min(ceilings)  # the ceiling lies inside the interval: no gap to speak of
    lines = [
        f"Linf {eps}, {STEPS} steps. Ceiling of Delta_Wor (each task attacked alone, the least damaged of them): "
        f"{ceilings[0]:.1f} by PGD, {ceilings[1]:.1f} by Siege.",
        "",
        f"| attack | {' | '.join(case.tasks)} | Delta_MTL | Delta_Wor | of the gap to the ceilings |",
        f"| --- |{' --- |' * (len(case.tasks) + 3)}",
    ]
    for arm, changes in each.items():
        pair = [value[f"{arm} @ {eps}", "*", f"delta_{which}"] for which in ("mtl", "wor")]
        gained = 100 * (base["value"] - pair[1]["value"])
        shares = [f"{gained / (100 * base['value'] - ceiling):.0%}" for ceiling in ceilings]
        spans = [f"{100 * r['value']:.1f} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]" for r in pair]
        numbers = [f"{changes[task]:.1f}" for task in case.tasks]
        lines.append(f"| {' | '.join([arm, *numbers, *spans, 'no gap' if noise else ', '.join(shares)])} |")
    return [*lines, ""]


def picture(name: str, case: Case, path: Path) -> None:
    """What each attack does to each task at the largest radius, as bars."""
    from matplotlib.figure import Figure

    found = td.summarise(judged(name, case)).filter("primary")
    eps = case.radii[-1]
    kept = [arm for arm in arms(1.0, case.tasks) if not arm.startswith("Siege on")]
    value = {(r["attack"], r["task"]): r["value"] for r in found.iter_rows(named=True) if r["task"] != "*"}
    better = {r["task"]: r["higher_is_better"] for r in found.iter_rows(named=True)}
    figure = Figure(figsize=(8, 0.5 * len(kept) + 1.2), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(case.tasks)
    for index, (task, colour) in enumerate(zip(case.tasks, COLOURS, strict=True)):
        clean = value["clean", task]
        harm = [-100 * float(delta(clean, value[f"{arm} @ {eps}", task], better[task])) for arm in kept]
        places = [row + (index - 1) * height for row in range(len(kept))]
        axes.barh(places, harm, height * 0.92, color=colour, label=task)
    axes.set_yticks(range(len(kept)), kept)
    axes.invert_yaxis()
    axes.set_xlabel(f"damage to the task's metric, % (Linf {eps}, {STEPS} steps, n = {case.count})")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main(names: list[str]) -> None:
    """Write the page; only what has been judged or is named appears in it."""
    facts = environment()
    lines = [
        "# Several tasks at once",
        "",
        f"`python -m benchmarks.multitask`; {facts['machine']}; testudo {facts['testudo']}, torch {facts['torch']}.",
        "Every attack of a table but MGDA spends 11 forward and 10 backward passes an image, and keeps the best image",
        "by its own merit. Delta in percent of the clean metric, lower is worse for the model; brackets are 95 %",
        "bootstrap intervals over images.",
        "",
    ]
    for name in names:
        lines += table(name, CASES[name])
        if name == "nyuv2":
            picture(name, CASES[name], HERE.parent / "docs" / "images" / "balances.png")
    (HERE / "multitask.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
