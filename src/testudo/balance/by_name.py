"""Terms told apart by patterns of their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from testudo.errors import TestudoError


def matches(pattern: str, names: Sequence[str]) -> list[bool]:
    """Which of ``names`` fit ``pattern``, in which ``*`` is any text: ``"*.adv"``, ``"digit.*"``, ``"parity"``.

    >>> matches("*.adv", ["digit.clean", "digit.adv"])
    [False, True]

    Raises:
        TestudoError: none of them does.
    """
    found = [fnmatchcase(name, pattern) for name in names]
    if not any(found):
        raise TestudoError(f"no term fits {pattern!r} (the balance has: {', '.join(names) or 'none'})")
    return found


def any_of(patterns: Iterable[str], names: Sequence[str]) -> list[bool]:
    """Which of ``names`` fit one of ``patterns``, each of which must fit some.

    >>> any_of(("digit", "*loop"), ["digit", "parity", "loop"])
    [True, False, True]
    """
    each = [matches(pattern, names) for pattern in patterns]
    return [any(fits) for fits in zip(*each, strict=True)]
