"""Every table and figure of the papers that is a study."""

from __future__ import annotations

from importlib import import_module

from testudo.errors import unknown
from testudo.registry import STUDIES
from testudo.studies.entry import Entry, Scale

MODULES = (
    "contrastive",
    "gat",
    "gat_first",
    "gat_measured",
    "gat_others",
    "gat_strong",
    "gat_xray",
    "mao",
    "mao_outputs",
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


def without(data: str, name: str, scale: Scale) -> str:
    """In a few words, what of the catalogue runs where a data set is missing.

    Args:
        data: the name of the data set.
        name: the study that wanted it.
        scale: and at which scale.
    """
    found, wanted = entries(), entry(name)
    scales = [other for other in wanted.settings if data not in wanted.needs(other)]
    own = f"{name} runs without it at scale {' and '.join(scales)}" if scales else f"{name} does not run without it"
    there = [each for each in found.values() if scale in each.settings]
    others = [each.name for each in there if data not in each.needs(scale)]
    needy = [each.name for each in there if data in each.needs(scale)]
    if len(needy) < len(others):
        but = ", ".join(each for each in needy if each != name)
        return f"{own}; at {scale} all others do{f' but {but}' if but else ''}"
    return f"{own}; at {scale} run: {', '.join(others) or 'none'}"
