"""What is wrong with some examples: refused, or skipped and counted."""

from __future__ import annotations

from collections.abc import Sequence

from testudo.errors import TestudoError


def skipped(count: int, total: int, first: str) -> str:
    """The note that ``count`` of ``total`` examples were skipped, and what is wrong with the first; empty for none.

    Raises:
        TestudoError: there is no other example.

    >>> skipped(3, 795, "depth/7.png is cut short")
    '3 of 795 skipped: first depth/7.png is cut short'
    """
    if count and count == total:
        raise TestudoError(f"{first} (and none of {total:,} examples is without a fault)")
    return f"{count:,} of {total:,} skipped: first {first}" if count else ""


def refuse(problems: Sequence[str]) -> None:
    """Raise TestudoError with the first of ``problems``, and how many more there are; do nothing without any."""
    if problems:
        more = f" (and {len(problems) - 1:,} more problems)" if len(problems) > 1 else ""
        raise TestudoError(problems[0] + more)
