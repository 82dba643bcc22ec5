"""``testudo list``."""

from __future__ import annotations

import inspect
from typing import Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from testudo.registry import FAMILIES

Family = Literal[
    "attacks",
    "threats",
    "surrogates",
    "balances",
    "tasks",
    "data",
    "derived",
    "pretexts",
    "partners",
    "models",
    "methods",
    "studies",
]


def listing(family: Positional[Family | Literal["all"]] = "all", /) -> None:
    """List what there is, by the names that recipes use.

    Args:
        family: of what kind; all lists the names of every kind.
    """
    if family == "all":
        for plural, registry in FAMILIES.items():
            print(f"{plural}: {', '.join(registry.names())}")
        return
    registry = FAMILIES[family]
    table = Table("name", "what it is")
    for name in registry.names():
        table.add_row(name, (inspect.getdoc(registry.get(name)) or "").split("\n\n")[0].replace("\n", " "))
    Console().print(table)
    if family == "studies":
        Console().print(_papers())


def _papers() -> Table:
    """The papers' tables and figures."""
    from testudo.studies.papers import entries  # their recipes, which nothing else here needs

    table = Table("name", "from", "it asks", "scale: data, runs, minutes of two cores", title="with --scale")
    for name, each in entries().items():
        lines = []
        for scale in each.settings:
            minutes = f", {each.minutes[scale]:g} min" if scale in each.minutes else ""
            lines.append(f"{scale}: {' and '.join(each.needs(scale))}, {len(each.at(scale).every_run())}{minutes}")
        table.add_row(name, each.source, each.asks, "\n".join(lines))
    return table
