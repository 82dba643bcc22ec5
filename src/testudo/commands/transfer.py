"""``testudo transfer``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional

from testudo.attacks.base import Attack
from testudo.commands.attack import Search
from testudo.crossed import transfer as cross
from testudo.errors import TestudoError
from testudo.evaluation.evaluate import Evaluation
from testudo.evaluation.seal import sealed
from testudo.evaluation.transfer import Transfer
from testudo.files import write_atomic
from testudo.progress import meter
from testudo.reports.figures import svg
from testudo.run import Run


def transfer(
    runs: Positional[tuple[Path, ...]],
    /,
    search: Annotated[Search, OmitArgPrefixes] = Search(),  # noqa: B008 (immutable)
    batch_size: int = 128,
    precision: Literal["auto", "float32", "bf16"] = "auto",
    device: str = "auto",
    out: Path | None = None,
) -> None:
    """Attack each run on its test split, and tell how many of the images fool each of the others.

    What is done is kept in the run folders and not done again.

    Args:
        runs: two or more run folders with the same test examples.
        search: which attack.
        batch_size: examples at a time.
        precision: of the search; scores are always float32.
        device: where to run, e.g. cpu or cuda:1 (auto: the GPU where there is one).
        out: also write rows.parquet, matrix.csv, transfer.md and a heat map for each task into this folder.
    """
    made, how = [Run(path) for path in runs], Evaluation(batch_size, precision, device=device)
    attack = _attack(search, made)
    with meter(f"transfer among {len(made)} runs") as shown:
        found = cross(made, attack, how, lambda name, done: shown(done / len(made), name))
    for table in found.tables():
        Console().print(table.rich())
    if out is not None:
        _write(found, out)
        print(f"rows, matrix and figures: {out}")


def _attack(search: Search, runs: Sequence[Run]) -> Attack:
    """The one attack that ``search`` means on every run; raises TestudoError where they differ."""
    if not runs:
        raise TestudoError("a transfer matrix needs two runs or more, got none")
    made = [search.build(run.recipe) for run in runs]
    for run, attack in zip(runs, made, strict=True):
        if attack != made[0]:
            raise TestudoError(
                f"{search.attack!r} is one attack in the suite of {runs[0].folder} and another in that of {run.folder}"
            )
    return made[0]


def _write(found: Transfer, out: Path) -> None:
    write_atomic(out / "rows.parquet", sealed(found.rows))
    write_atomic(out / "matrix.csv", found.matrix().write_csv())
    write_atomic(out / "transfer.md", found.markdown())
    for panel in found.figures():
        write_atomic(out / f"{panel.title.partition(':')[0]}.svg", svg(panel))
