"""``testudo list``."""

from __future__ import annotations

import inspect
from typing import Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from testudo.registry import FAMILIES

Family = Literal["attacks", "threats", "surrogates", "balances", "tasks", "data", "models", "methods", "studies"]


def listing(family: Positional[Family], /) -> None:
    """List what there is of one kind, by the names that recipes use.

    Args:
        family: what to list.
    """
    registry = FAMILIES[family]
    table = Table("name", "what it is")
    for name in registry.names():
        table.add_row(name, (inspect.getdoc(registry.get(name)) or "").split("\n\n")[0].replace("\n", " "))
    Console().print(table)
