"""Changes of nested values by dotted paths, as the command line takes them."""

from __future__ import annotations

import tomllib
from typing import Any

from testudo.errors import TestudoError


def override(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``a.b.c`` in nested tables, making those that are missing.

    >>> values = {"trainer": {"epochs": 30}}
    >>> override(values, "trainer.epochs", 5)
    >>> values
    {'trainer': {'epochs': 5}}
    """
    *parents, last = dotted.split(".")
    if not all((*parents, last)):
        raise TestudoError(f"cannot set {dotted!r}: a path is names with a dot between")
    inner = values
    for name in parents:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise TestudoError(f"cannot set {dotted}: {name} is no table")
    inner[last] = value


def parse_override(text: str) -> tuple[str, Any]:
    """``"a.b=value"`` as a dotted path and a TOML value; what is no TOML is taken as a string.

    >>> parse_override("trainer.epochs=5"), parse_override("data.root=~/cifar")
    (('trainer.epochs', 5), ('data.root', '~/cifar'))
    """
    dotted, equals, value = text.partition("=")
    if not equals or not dotted.strip():
        raise TestudoError(f"an override is written path=value, got {text!r}")
    try:
        return dotted.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return dotted.strip(), value
