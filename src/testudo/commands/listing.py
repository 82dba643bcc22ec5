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
