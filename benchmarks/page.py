"""What a page of a million result rows costs: seconds and memory of ``testudo report``, in a process of its own.

``python -m benchmarks.page [SHAPE ...]`` prints Markdown, for ``page.md``. The rows are made up, of the schema and the
size that studies have; a study folder holds them with claims and published numbers, as a study leaves it.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

from testudo.evaluation.columns import ROWS
from testudo.evaluation.seal import sealed

ROUNDS = 3
TELL = """
import resource, sys, time
began = time.perf_counter()
from pathlib import Path
from testudo.studies.publish import tell
tell(Path(sys.argv[1]))
used, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
most = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(wall, used.ru_utime + used.ru_stime, int(most) / 1024, int("torch" in sys.modules))
"""  # getrusage's own peak would count the parent's memory from before exec


@dataclass(frozen=True)
class Shape:
    """A study of a million rows.

    Args:
        variants, seeds, attacks, examples: how many; the first attack is none, the second half of the variants has the
            first half as counterparts.
        tasks: their metrics, by name, with how many numbers a row keeps of a prediction.
    """

    variants: int
    seeds: int
    attacks: int
    examples: int
    tasks: dict[str, tuple[str, int]]

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.variants * self.seeds * self.attacks * self.examples * len(self.tasks)

    def __str__(self) -> str:
        tasks = ", ".join(metric for metric, _ in self.tasks.values())
        counts = f"{self.variants} variants, {self.seeds} seeds, {self.attacks - 1} attacks and none"
        return f"{counts}; {self.examples:,} examples; {tasks}"


DIGIT, SIGN = ("accuracy", 2), ("accuracy", 2)
SHAPES = {
    "classes": Shape(10, 2, 5, 5_000, {"digit": DIGIT, "sign": SIGN}),
    "few": Shape(25, 2, 20, 500, {"digit": DIGIT, "sign": SIGN}),
    "numbers": Shape(10, 2, 5, 5_000, {"digit": DIGIT, "angle": ("error", 2)}),
    "rooms": Shape(19, 2, 20, 654, {"segmentation": ("miou", 169), "depth": ("aerr", 4)}),
    "findings": Shape(10, 2, 5, 5_000, {"findings": ("auroc", 10), "sex": SIGN}),
}


def attack(shape: Shape, number: int) -> dict[str, object]:
    """The columns that describe one."""
    eps = number / 255
    told: dict[str, object] = {"attack": f"pgd linf {number}/255", "family": "pgd", "norm": "linf", "eps": eps}
    told |= {"steps": 20, "objective": "all" if number % 2 else next(iter(shape.tasks))}
    clean = {"attack": "clean", "family": "clean", "norm": "", "eps": 0.0, "steps": 0, "objective": ""}
    return told if number else clean


def records(metric: str, width: int, n: int, shift: float, draw: np.random.Generator) -> np.ndarray:
    """(n, width) what rows keep of predictions that get worse as ``shift`` goes from 0 to 1."""
    if metric == "miou":  # rows of the confusion matrix
        side = math.isqrt(width)
        return draw.poisson(100 * (1 - shift) * np.eye(side) + 10, (n, side, side)).reshape(n, width)
    if metric == "aerr":  # sums over pixels, and their number
        return np.concatenate([1000 * (shift + draw.random((n, width - 1))), np.full((n, 1), 1000)], 1)
    truth = draw.integers(0, 2, (n, width // 2))
    if metric == "accuracy":
        return np.concatenate([np.where(draw.random((n, 1)) < 0.9 - 0.6 * shift, truth, 1 - truth), truth], 1)
    return np.concatenate([truth + draw.normal(shift, 1, truth.shape), truth], 1)


def part(shape: Shape, run: str, task: str, number: int, draw: np.random.Generator) -> pl.DataFrame:
    """The rows of one run under one attack on one task: worse, the stronger it is."""
    (metric, width), n = shape.tasks[task], shape.examples
    kept = records(metric, width, n, number / shape.attacks, draw).astype(np.float32)
    record, score = pl.Series(kept).arr.to_list(), kept[:, 0]
    told = {"run": run, "task": task, "metric": metric, **attack(shape, number), "linf": number / 255, "l2": 0.1}
    values = {"example": np.arange(n), "score": score, "loss": draw.random(n), "record": record}
    rows = pl.DataFrame(values).with_columns(**{name: pl.lit(value) for name, value in told.items()})
    return rows.with_columns(further=pl.lit([], ROWS["further"])).select(*ROWS).cast(dict(ROWS))


def groups(shape: Shape) -> list[dict[str, object]]:
    """As study.json tells them."""
    half = shape.variants // 2
    return [
        {"name": f"variant {number}", "runs": [f"variant-{number}-s{seed}" for seed in range(shape.seeds)],
         "counterpart": f"variant {number - half}" if half <= number < 2 * half else None,
         "tasks": list(shape.tasks), "training": "none", "recipe": f'name = "{number}"\n'}
        for number in range(shape.variants)
    ]  # fmt: skip


def facts(shape: Shape) -> dict[str, object]:
    """study.json: every variant claimed to be better than its counterpart on every task and in Delta_MTL."""
    hard, made = str(attack(shape, 1)["attack"]), groups(shape)
    pairs = [[[each["name"], hard], [each["counterpart"], hard]] for each in made if each["counterpart"]]
    claims = [
        {"text": f"better in {task}", "source": "made up", "task": task, "share": 1.0, "pairs": pairs}
        for task in (*shape.tasks, "delta_mtl")
    ]
    target = next(iter(shape.tasks))
    told = {"name": "million", "title": "A million rows", "intro": [], "target": target, "groups": made}
    told |= {"data": {"name": "made up", "note": "", "fingerprint": "", "train": 0, "val": 0, "test": shape.examples}}
    return told | {"environment": {}, "claims": claims, "minutes": 0.0, "created": "2026-11-21T00:00:00+00:00"}


def make(shape: Shape, folder: Path) -> None:
    """A study folder."""
    draw = np.random.default_rng(0)
    runs = [run for group in groups(shape) for run in group["runs"]]
    parts = [part(shape, *of, draw) for of in product(runs, shape.tasks, range(shape.attacks))]
    (folder / "rows.parquet").write_bytes(sealed(pl.concat(parts)))
    (folder / "study.json").write_text(json.dumps(facts(shape)))


def cost(folder: Path) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of computing and MiB at most, of a process that makes the page."""
    done = subprocess.run([sys.executable, "-c", TELL, str(folder)], capture_output=True, text=True, check=True)
    wall, computing, most, torch = map(float, done.stdout.split())
    if torch:
        raise RuntimeError("the page needs no torch, and it was imported")
    return wall, computing, most


def main(names: list[str]) -> None:
    """Measure and tell."""
    print("| rows | study | wall, s | computing, s | most memory, MiB | rows.parquet, MB | page, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        shape = SHAPES[name]
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make(shape, folder)
            wall, computing, most = (min(each) for each in zip(*(cost(folder) for _ in range(ROUNDS)), strict=True))
            sizes = [(folder / each).stat().st_size / 1e6 for each in ("rows.parquet", "report.html")]
        numbers = [f"{wall:.1f}", f"{computing:.1f}", f"{most:.0f}", *(f"{size:.1f}" for size in sizes)]
        print(f"| {shape.rows:,} | {shape} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SHAPES))
