"""The names a user types lead somewhere, and what they lead to is what the house says it is."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest

import testudo
from testudo.registry import FAMILIES

ENTRIES = [(family, name) for family, registry in FAMILIES.items() for name in registry.names()]


@pytest.mark.parametrize("name", testudo.__all__)
def test_public_names_resolve(name):
    found = getattr(testudo, name)
    assert inspect.getdoc(found)
    assert name in dir(testudo)


def test_other_names_do_not():
    with pytest.raises(AttributeError, match="module 'testudo' has no attribute 'PDG'"):
        _ = testudo.PDG
    assert testudo.__version__ in (Path(__file__).parents[1] / "pyproject.toml").read_text()


@pytest.mark.parametrize(("family", "name"), ENTRIES, ids=[f"{f}-{n}" for f, n in ENTRIES])
def test_registered_parts_are_frozen_dataclasses(family, name):
    cls = FAMILIES[family].get(name)
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}(")  # the one that dataclass writes itself
    assert not inspect.isabstract(cls)
    assert FAMILIES[family].name_of(cls) == name


def test_every_concrete_part_is_registered():
    """A class in a room of parts that nobody can name in a recipe is a part forgotten."""
    rooms = {"attacks": "Attack", "balances": "Balance", "methods": "Method", "partners": "Partner", "tasks": "Task"}
    files = {"attacks": "attacks", "balances": "balance", "tasks": "tasks"}
    files |= {"methods": "training/methods", "partners": "training/partners"}
    home = Path(testudo.__file__).parent
    for family, base in rooms.items():
        registered = {FAMILIES[family].get(name).__name__ for name in FAMILIES[family].names()}
        for path in (home / files[family]).glob("*.py"):
            for node in ast.parse(path.read_text()).body:
                bases = {b.id for b in getattr(node, "bases", []) if isinstance(b, ast.Name)}
                if base in bases and "ABC" not in bases and not node.name.startswith("_"):
                    assert node.name in registered
