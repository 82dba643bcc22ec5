"""``testudo evaluate`` and ``testudo compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from testudo.errors import TestudoError
from testudo.evaluation.columns import ATTACK
from testudo.evaluation.evaluate import Evaluation
from testudo.evaluation.seal import sealed
from testudo.evaluation.significance import Comparison
from testudo.evaluation.significance import compare as compare_rows
from testudo.evaluation.summarise import summarise
from testudo.evaluation.worst import worst_case
from testudo.files import write_atomic
from testudo.progress import meter
from testudo.reports.wording import METRICS, between, number, p_values, signed
from testudo.run import Run
from testudo.suite import suite_of


def evaluate(
    run: Positional[Path],
    /,
    suite: str = "recipe",
    batch_size: int = 128,
    precision: Literal["auto", "float32", "bf16"] = "auto",
    compile: bool = False,
    device: str = "auto",
    out: Path | None = None,
) -> None:
    """Judge a trained run on its test split; attacks, and batches of them, already done are not done again.

    Args:
        run: the run folder.
        suite: recipe (its own, or fast where it has none); fast; standard (PGD-20 and AutoAttack, or APGD on several
            surrogates where the main task is no classification, in the ball of the recipe's validation attack, else
            of its suite's first, else Linf 8/255); paper-mao, paper-contrastive, paper-gat, paper-minmax; or a
            TOML file with [attacks.NAME] tables.
        batch_size: examples at a time.
        precision: of the search; scores are always float32.
        compile: compile the model first (slow to start, then faster).
        device: where to run, e.g. cpu or cuda:1 (auto: the GPU where there is one).
        out: also write the result rows to this Parquet file.
    """
    rows = _rows(Run(run), suite, Evaluation(batch_size, precision, compile, device))
    if out is not None:
        write_atomic(out, sealed(rows))
    summary = summarise(rows)
    table = Table(title=f"{run}: test split, {rows['example'].n_unique()} examples, 95 % bootstrap intervals")
    for name in ("attack", "task", "metric", "value", "95 % interval", "n"):
        table.add_column(name, justify="right" if name in ("value", "n") else "left")
    for row in summary.filter("primary").iter_rows(named=True):
        shown, span = number(row["metric"], row["value"]), between(row["metric"], row["low"], row["high"])
        table.add_row(row["attack"], row["task"].replace("*", "all"), row["metric"], shown, span, str(row["n"]))
    Console().print(table, *_further(summary), sep="\n")


def _further(summary: pl.DataFrame) -> list[Table]:
    """For each task with metrics beside its primary one a table of them, with their intervals."""
    tables = []
    for (task,), part in summary.filter(~pl.col("primary")).partition_by("task", as_dict=True).items():
        table = Table(title=f"{task}: further metrics")
        for name in ("attack", "metric", "value", "95 % interval", "n"):
            table.add_column(name, justify="right" if name in ("value", "n") else "left")
        for row in part.iter_rows(named=True):
            metric, span = row["metric"], between(row["metric"], row["low"], row["high"])
            words = METRICS.get(metric, metric)
            table.add_row(row["attack"], words, number(metric, row["value"]), span, str(row["n"]))
        tables.append(table)
    return tables


def compare(first: Positional[Path], second: Positional[Path], /, suite: str = "recipe") -> None:
    """The first run less the second on the attacks and tasks both have, with McNemar's exact p.

    Args:
        first: a run folder.
        second: another, trained on the same data.
        suite: as in evaluate.
    """
    runs = (Run(first), Run(second))
    if runs[0].facts["data"]["test"] != runs[1].facts["data"]["test"]:
        raise TestudoError(f"{first} and {second} have different test examples; a paired comparison needs the same")
    parts = [_rows(run, suite, Evaluation(device="auto")) for run in runs]
    names = ("first", "second")
    rows = pl.concat([part.with_columns(run=pl.lit(name)) for name, part in zip(names, parts, strict=True)])
    table = Table(title=f"{first} less {second}: paired on the same examples")
    for name in ("attack", "task", "first", "second", "difference", "95 % interval", "McNemar p"):
        table.add_column(name, justify="left" if name in ("attack", "task") else "right")
    kinds = [dict.fromkeys(part.select("attack", "task", *ATTACK).iter_rows()) for part in parts]
    shared = [kind for kind in kinds[0] if kind in kinds[1]]  # the very same attack: a name may mean two radii
    if not shared:
        raise TestudoError(f"{first} and {second} have no attack and task in common in suite {suite!r}")
    for attack, task, *_ in shared:
        table.add_row(attack, task, *_cells(compare_rows(rows, *names, task, attack)))
    Console().print(table)


def _cells(found: Comparison) -> tuple[str, ...]:
    metric = found.metric
    return (
        number(metric, found.value),
        number(metric, found.counterpart_value),
        signed(metric, found.difference),
        between(metric, found.low, found.high),
        p_values(found.p_values),
    )


def _rows(run: Run, suite: str, how: Evaluation) -> pl.DataFrame:
    """Result rows of a suite, and of the worst of its attacks wherever two share a ball."""
    attacks = {"clean": None, **suite_of(suite, run.recipe, run.tasks)}
    with meter(f"judging {run.folder.name}") as shown:
        rows = run.rows(attacks, how, lambda name, done: shown(done / len(attacks), name))
    return pl.concat([rows, worst_case(rows)])
