"""What a check is, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from testudo.evaluation.diagnosis.evidence import Evidence
from testudo.evaluation.diagnosis.intervals import (
    Contest,
    Share,
    enough_to_exceed,
    enough_to_exclude,
    enough_to_win,
)

Verdict = Literal["skipped", "pass", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What a check says of one task.

    Args:
        check: its name.
        task: of which task.
        verdict: ``"fail"``: the robustness that gradient attacks report cannot be trusted; ``"warn"``: a lesser sign of
            that, or too few examples to decide; ``"skipped"``: the check means nothing here.
        said: what was found, what it means and what to do, in a sentence or two.
        numbers: the evidence: shares and metrics with n and exact 99 % intervals (``low``, ``high``).
        source: who published the rule.
    """

    check: str
    task: str
    verdict: Verdict
    said: str
    numbers: dict[str, object] = field(default_factory=dict)
    source: str = ""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several; ``"pass"`` outranks ``"skipped"``.

    >>> worst(["pass", "skipped", "warn"])
    'warn'
    """
    return max(verdicts, key=get_args(Verdict).index, default="skipped")


@dataclass(frozen=True)
class Check(ABC):
    """One rule by which masked gradients are found out; its fields are its thresholds.

    A check fails only on what is more than chance (by an exact 99 % interval) and large enough to matter.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def __call__(self, evidence: Evidence) -> Finding:
        """Look at one task."""

    def finding(self, evidence: Evidence, verdict: Verdict, said: str, **numbers: object) -> Finding:
        """This check's finding."""
        return Finding(self.name, evidence.task.name, verdict, said, numbers, self.source)


def beaten(found: Contest, effect: float, least: float) -> tuple[Verdict, str]:
    """What it means that one attack leads over another that ought to be at least as strong.

    Fail: the lead is no chance and its effect is at least ``least``. Warn: it is no chance, but small; it is as large,
    but may be chance; or it could be ``least`` and there are too few examples to exclude that where none shows.

    Returns:
        The verdict, and where it could not be decided how many examples it takes, in words.
    """
    if found.won:
        return ("fail" if effect >= least else "warn"), ""
    if effect >= least and found.more:
        return "warn", f"not decided: it would take about {enough_to_win(found):,} examples"
    if found.interval[1] >= least and found.n < enough_to_exclude(least):
        return "warn", f"not decided: it would take {enough_to_exclude(least):,} examples"
    return "pass", ""


def exceeded(found: Share, limit: float, notable: float) -> tuple[Verdict, str]:
    """What it means that a share ought not to exceed ``limit``.

    Fail: it surely does. Warn: it may; it surely exceeds ``notable``; or there are too few examples to exclude it where
    none shows.

    Returns:
        As :func:`beaten`.
    """
    if found.low > limit:
        return "fail", ""
    if found.value > limit:
        return "warn", f"not decided: it would take about {enough_to_exceed(found, limit):,} examples"
    if found.low > notable:
        return "warn", ""
    if found.n < enough_to_exclude(limit):
        return "warn", f"not decided: it would take {enough_to_exclude(limit):,} examples"
    return "pass", ""
