"""The one error a user's mistake raises, and the hint that comes with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TestudoError(ValueError):
    """A user's mistake, told in one line; the command line prints it and exits with code 2."""

    __test__ = False  # its name starts with "Test", and pytest would collect it


class MissingData(TestudoError):
    """A data set that is not where it is looked for.

    Args:
        data: its name.
        said: the whole line.
    """

    def __init__(self, data: str, said: str) -> None:
        super().__init__(said)
        self.data = data

    def __reduce__(self) -> tuple[type[MissingData], tuple[str, str]]:
        return type(self), (self.data, str(self))  # from another process


def one_line(error: BaseException) -> str:
    r"""The message of ``error`` on one line, its type's name where it has none.

    >>> one_line(ValueError("two\n  lines"))
    'two lines'
    """
    return " ".join(str(error).split()) or type(error).__name__


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name closest to ``name``, or None where nothing is close.

    >>> nearest("adpg", ["fgsm", "apgd", "mim"])
    'apgd'
    """
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(kind: str, name: str, allowed: Iterable[str]) -> TestudoError:
    """The error for a name that is none of the allowed ones, with the nearest of them.

    >>> print(unknown("attack", "adpg", ["fgsm", "apgd"]))
    unknown attack 'adpg'; did you mean 'apgd'? (allowed: apgd, fgsm)
    """
    allowed = sorted(allowed)
    guess = nearest(name, allowed)
    hint = f"; did you mean {guess!r}?" if guess else ";"
    return TestudoError(f"unknown {kind} {name!r}{hint} (allowed: {', '.join(allowed) or 'none'})")
