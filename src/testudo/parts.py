"""Parts of a recipe from plain values, as TOML holds them, and back."""

from __future__ import annotations

import dataclasses
import functools
import operator
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import tomlkit
import torch
from pydantic import TypeAdapter, ValidationError

from testudo.attacks.base import Attack
from testudo.attacks.surrogates import Surrogate
from testudo.attacks.threat import Threat
from testudo.balance.base import Balance
from testudo.data.dataset import DataSet
from testudo.data.derived import Derived
from testudo.data.pretext import Pretext
from testudo.errors import TestudoError, nearest
from testudo.models.encoder import Encoder
from testudo.registry import (
    ATTACKS,
    BALANCES,
    DATA,
    DERIVED,
    METHODS,
    MODELS,
    PARTNERS,
    PRETEXTS,
    SURROGATES,
    TASKS,
    THREATS,
    Registry,
)
from testudo.tasks.task import Task
from testudo.training.methods.base import Method
from testudo.training.partners.base import Partner

REGISTRIES: dict[type, Registry] = {
    Attack: ATTACKS,
    Balance: BALANCES,
    DataSet: DATA,
    Derived: DERIVED,
    Encoder: MODELS,
    Method: METHODS,
    Partner: PARTNERS,
    Pretext: PRETEXTS,
    Surrogate: SURROGATES,
    Task: TASKS,
    Threat: THREATS,
}

RULES = {  # pydantic's error types in the words of TOML
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
}


def build(cls: type, values: Any, where: str = "", path: str = "") -> Any:
    """An instance of ``cls`` (or of the registered part that ``kind`` names) from plain values.

    >>> from testudo.attacks.base import Attack
    >>> build(Attack, {"kind": "pgd", "steps": 20, "threat": {"kind": "linf", "eps": "8/255"}}).steps
    20
    """
    if not isinstance(values, dict):
        raise _wrong(where, path, f"must be a table, got {values!r}")
    values, registry = dict(values), REGISTRIES.get(cls)
    if registry is not None:
        kind = values.pop("kind", None)
        if not isinstance(kind, str):
            allowed = ", ".join(registry.names())
            raise _wrong(where, _join(path, "kind"), f"names the {registry.kind}; got {kind!r} (allowed: {allowed})")
        try:
            cls = registry.get(kind)
        except TestudoError as error:
            raise _wrong(where, _join(path, "kind"), str(error)) from None
        path = _join(path, kind) if path else path
    parts: Any = cls  # dataclasses.fields asks for a dataclass, which every part is
    fields = {f.name: f for f in dataclasses.fields(parts) if f.init}
    for name in values:
        if name not in fields:
            guess = nearest(name, fields)
            hint = f"; did you mean {guess!r}?" if guess else ";"
            raise _wrong(where, _join(path, name), f"unknown field{hint} (allowed: {', '.join(fields)})")
    for name, f in fields.items():
        if name not in values and f.default is f.default_factory is dataclasses.MISSING:
            raise _wrong(where, _join(path, name), "is missing")
    hints = get_type_hints(cls)
    given = {name: _value(hints[name], value, where, _join(path, name)) for name, value in values.items()}
    try:
        return cls(**given)
    except TestudoError as error:
        raise _wrong(where, path, str(error)) from None


def _value(hint: Any, value: Any, where: str, path: str) -> Any:
    """``value`` as the type ``hint``; parts of the package are built, leaves are checked by pydantic."""
    options = get_args(hint) if get_origin(hint) in (types.UnionType, Union) else (hint,)
    part = next((option for option in options if dataclasses.is_dataclass(option)), None)
    by_name = next((option for option in options if get_origin(option) is dict), None)
    if part is not None and by_name is not None and isinstance(value, dict) and "kind" not in value:
        hint, part = by_name, None  # one part for each name, where one for all may stand too
    if part is not None:
        return build(part, value, where, path)
    inner = (*get_args(hint), None)[-2 if get_origin(hint) is dict else 0]
    if get_origin(hint) is tuple and dataclasses.is_dataclass(inner):
        if not isinstance(value, list):
            raise _wrong(where, path, f"must be a list of tables, got {value!r}")
        return tuple(build(inner, item, where, f"{path}[{i}]") for i, item in enumerate(value))
    if get_origin(hint) is dict and dataclasses.is_dataclass(inner):
        if not isinstance(value, dict):
            raise _wrong(where, path, f"must be a table of tables, got {value!r}")
        return {name: build(inner, item, where, _join(path, name)) for name, item in value.items()}
    kept = tuple(option for option in options if option is not torch.Tensor)  # tensors are for Python alone
    return _leaf(kept, _fraction(value) if float in (*kept, *get_args(hint)) else value, where, path)


def _leaf(options: tuple[Any, ...], value: Any, where: str, path: str) -> Any:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(
            functools.reduce(operator.or_, options), config={"arbitrary_types_allowed": True}
        )
        return adapter.validate_python(_tuples(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        inner = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
        rule = RULES.get(first["type"], first["msg"].replace("Input should be", "must be"))
        raise _wrong(where, path + inner, f"{rule}, got {first['input']!r}") from None


def _tuples(value: Any) -> Any:
    """Lists, which are all that TOML has, as the tuples that frozen dataclasses hold; in tables too."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _fraction(value: Any) -> Any:
    """``"8/255"`` as a number, also inside lists and tables; anything else as it is."""
    if isinstance(value, list):
        return [_fraction(item) for item in value]
    if isinstance(value, dict):
        return {name: _fraction(item) for name, item in value.items()}
    if isinstance(value, str) and value.count("/") == 1:
        over, under = value.split("/")
        try:
            return float(over) / float(under)
        except (ValueError, ZeroDivisionError):
            return value
    return value


def dump(part: Any) -> Any:
    """Plain values from which :func:`build` makes an equal ``part``; fields that are None are left out.

    >>> from testudo.attacks.threat import Linf
    >>> dump(Linf(0.25))
    {'kind': 'linf', 'eps': 0.25}

    Raises:
        TestudoError: a field holds a tensor of several numbers (a mask, an eps per example).
    """
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        registry = next((r for base, r in REGISTRIES.items() if isinstance(part, base)), None)
        kind = {"kind": registry.name_of(type(part))} if registry else {}
        values = {f.name: dump(getattr(part, f.name)) for f in dataclasses.fields(part) if f.init}
        return kind | {name: value for name, value in values.items() if value is not None}
    if isinstance(part, Mapping):
        return {name: dump(value) for name, value in part.items()}
    if isinstance(part, tuple | list):
        return [dump(item) for item in part]
    if isinstance(part, torch.Tensor) and part.dim():
        shape = tuple(part.shape)
        raise TestudoError(f"a tensor (here one of shape {shape}) is for Python alone; no recipe or run can hold it")
    return part.item() if isinstance(part, torch.Tensor) else part


def to_toml(part: Any) -> str:
    """``part`` as TOML text, every field written out."""
    return tomlkit.dumps(dump(part))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong(where: str, path: str, message: str) -> TestudoError:
    return TestudoError(": ".join(text for text in (where, path, message) if text))
