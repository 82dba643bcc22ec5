"""``testudo search``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, UseAppendAction, arg

from testudo.errors import TestudoError
from testudo.overrides import parse_override
from testudo.progress import meter
from testudo.search import Found
from testudo.search import search as search_runs

Values = UseAppendAction[tuple[str, ...]]


def search(
    recipe: Positional[Path],
    /,
    over: Annotated[Values, arg(metavar="PATH=VALUE,VALUE,...")] = (),
    out: Path | None = None,
    set: Annotated[Values, arg(metavar="PATH=VALUE")] = (),
) -> None:
    """Train a recipe once for each value of a field, and tell which validates best; the same command goes on.

    Args:
        recipe: a TOML recipe.
        over: a field and its values, e.g. --over method.auxiliary_weight=0.1,0.01; given several times, every
            combination is trained.
        out: the folder of all runs (default: runs/NAME-search).
        set: put a value over every run's recipe, e.g. --set trainer.epochs=5; may be given several times.
    """
    grid: dict[str, list[Any]] = {}
    for text in over:
        path, values = parse_values(text)
        if path in grid:
            raise TestudoError(f"--over {path} is given twice; give all its values at once")
        grid[path] = values
    with meter(f"search {(out or recipe).stem}") as shown:
        found = search_runs(recipe, grid, out, dict(parse_override(text) for text in set), shown)
    Console().print(_table(found))
    print(f"best: {found.best.told}")
    print(f"judge it with: testudo evaluate {found.best.run.folder}")


def parse_values(text: str) -> tuple[str, list[Any]]:
    """``"a.b=1,2"`` as a dotted path and TOML values; what is no TOML is taken as words.

    >>> parse_values("method.auxiliary_weight=0.1,0.01"), parse_values("method.attack.threat.eps=4/255, 8/255")
    (('method.auxiliary_weight', [0.1, 0.01]), ('method.attack.threat.eps', ['4/255', '8/255']))
    """
    path, equals, values = text.partition("=")
    if not equals or not path.strip():
        raise TestudoError(f"--over is written path=value,value,..., got {text!r}")
    try:
        return path.strip(), tomllib.loads(f"values = [{values}]")["values"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return path.strip(), [parse_override(f"{path}={word.strip()}")[1] for word in values.split(",")]


def _table(found: Found) -> Table:
    """A line for each run: its values, the epoch that was kept, and how the main task validated then."""
    best = found.best
    main = best.run.tasks[0].name
    scores = [name for name in best.record["validation"] if name.startswith(f"{main}.")]
    table = Table(title=f"{found.folder}: {len(found.trials)} runs")
    for path in best.values:
        table.add_column(path, no_wrap=True)
    for name in (*scores, "epoch"):
        table.add_column(name, justify="right", overflow="fold")
    for trial in found.trials:
        record = trial.record
        told = [f"{record['validation'][name]:.3f}" for name in scores]
        row = [*map(str, trial.values.values()), *told, str(record["epoch"])]
        table.add_row(*row, style="bold" if trial is best else "")
    return table
