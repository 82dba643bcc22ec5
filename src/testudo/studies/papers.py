"""Every table and figure of the papers that is a study."""

from __future__ import annotations

from importlib import import_module

from testudo.errors import unknown
from testudo.registry import STUDIES
from testudo.studies.entry import Entry

MODULES = (
    "contrastive",
    "gat",
    "gat_measured",
    "mao",
    "mao_pairs",
    "minmax",
)


def entries() -> dict[str, Entry]:
    """The catalogue, by name."""
    modules = (import_module(f"testudo.studies.catalogue.{name}") for name in MODULES)
    return {entry.name: entry for module in modules for entry in module.ENTRIES}


def entry(name: str) -> Entry:
    """One of them; raises TestudoError where there is none of that name."""
    found = entries()
    if name not in found:
        raise unknown("study", name, [*STUDIES.names(), *found])
    return found[name]
