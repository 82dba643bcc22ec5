"""Checks of the form of facts that were read from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from testudo.errors import TestudoError


def words(told: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """``told[name]``, which must be a string; ``default`` where it is not there.

    Raises:
        TestudoError: it is of another kind, or is missing and has no default.

    >>> words({"title": "A"}, "title"), words({}, "title", "")
    ('A', '')
    """
    value = _part(told, name) if default is None else told.get(name, default)
    if not isinstance(value, str):
        raise TestudoError(f"study.json: {name!r} must be words, got {value!r:.60}")
    return value


def several(told: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """``told[name]``, which must be a list of strings; empty where it is not there."""
    value = listed(told, name)
    if not all(isinstance(each, str) for each in value):
        raise TestudoError(f"study.json: {name!r} must be a list of words, got {list(value)!r:.60}")
    return value


def listed(told: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """``told[name]``, which must be a list; empty where it is not there."""
    value = told.get(name, ())
    if not isinstance(value, list | tuple):
        raise TestudoError(f"study.json: {name!r} must be a list, got {value!r:.60}")
    return tuple(value)


def facts(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """``told[name]``, which must have names for its parts."""
    value = _part(told, name)
    if not isinstance(value, Mapping):
        raise TestudoError(f"study.json: {name!r} must be facts by name, got {value!r:.60}")
    return value


def number(told: Mapping[str, Any], name: str) -> float:
    """``told[name]``, which must be a finite number."""
    value = _part(told, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TestudoError(f"study.json: {name!r} must be a number, got {value!r:.60}")
    return float(value)


def _part(told: Mapping[str, Any], name: str) -> Any:
    if not isinstance(told, Mapping):
        raise TestudoError(f"study.json holds {told!r:.60} in place of facts by name")
    if name not in told:
        raise TestudoError(f"study.json lacks {name!r}")
    return told[name]
