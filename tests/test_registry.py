"""Names: unknown, taken, lazy, from other packages."""

from __future__ import annotations

import sys
from fractions import Fraction
from importlib.metadata import EntryPoint

import pytest

from testudo import registry
from testudo.errors import TestudoError
from testudo.registry import FAMILIES, Registry


@pytest.fixture
def colours():
    return Registry("colour", "colours", {"red": "fractions:Fraction", "blue": "decimal:Decimal"})


def test_names_lead_to_classes_and_back(colours):
    assert colours.names() == ["blue", "red"]
    assert colours.name_of(Fraction) == "red"  # before it is asked for by name, and after
    assert colours.get("red") is Fraction
    assert colours.name_of(Fraction) == "red"


def test_nothing_is_imported_before_it_is_asked_for():
    sys.modules.pop("this", None)
    lazy = Registry("poem", "poems", {"zen": "wave:Wave_read"})
    sys.modules.pop("wave", None)
    lazy.names()
    assert "wave" not in sys.modules
    lazy.get("zen")
    assert "wave" in sys.modules


def test_unknown_names_suggest_the_nearest(colours):
    with pytest.raises(TestudoError, match=r"^unknown colour 'rde'; did you mean 'red'\? \(allowed: blue, red\)$"):
        colours.get("rde")
    for family in FAMILIES.values():
        name = family.names()[0]
        with pytest.raises(TestudoError, match=f"did you mean {name!r}"):
            family.get(name + "x")


def test_a_taken_name_is_refused_and_the_same_again_is_not(colours):
    colours.register("green", Fraction)
    colours.register("red", "fractions:Fraction")
    colours.get("red")
    colours.register("red", "fractions:Fraction")
    colours.register("red", Fraction)
    for target in ("decimal:Decimal", dict):
        with pytest.raises(TestudoError, match="colour 'red' is already taken by"):
            colours.register("red", target)


def test_classes_without_a_name(colours):
    with pytest.raises(TestudoError, match="dict is not a registered colour"):
        colours.name_of(dict)


def test_other_packages_add_to_it(colours, monkeypatch):
    def points(group):
        assert group == "testudo.colours"
        return [EntryPoint("mine", "fractions:Fraction", group)]

    monkeypatch.setattr(registry, "entry_points", points)
    other = Registry("colour", "colours", {})
    assert other.name_of(Fraction) == "mine"
    assert other.names() == ["mine"]
    assert Registry("colour", "colours", {}).get("mine") is Fraction
