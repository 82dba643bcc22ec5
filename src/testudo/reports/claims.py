"""What a paper says, as something that rows can bear out or not; and its numbers, to stand beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from testudo.errors import TestudoError
from testudo.reports import form

Verdict = Literal["holds", "does not hold", "not decided"]


class Side(NamedTuple):
    """A group of runs under one attack of its suite (``"clean"`` for none), on one task.

    Args:
        group, attack: their names.
        task: the task, where it is not the claim's.
    """

    group: str
    attack: str
    task: str = ""


def needed(pairs: Sequence[Any], share: float) -> int:
    """How many of the pairs must speak for what is claimed: the share of them, rounded up.

    Raises:
        TestudoError: no pairs, or a share outside (0, 1].
    """
    if not pairs or not 0 < share <= 1:
        raise TestudoError(f"a claim needs pairs and a share in (0, 1], got {len(pairs)} and {share}")
    return math.ceil(share * len(pairs) - 1e-9)  # 0.7 of 10 is a little more than 7 in floats


def verdict(speak: Sequence[int], needed: int) -> Verdict:
    """Of what each pair says, 1 for the claim, -1 against it, 0 neither, and of how many must speak for it.

    >>> verdict([1, 1, 0, -1], 2), verdict([-1, -1, -1, 1], 2), verdict([1, 0, 0, -1], 2)
    ('holds', 'does not hold', 'not decided')
    """
    if sum(each > 0 for each in speak) >= needed:
        return "holds"
    return "not decided" if sum(each >= 0 for each in speak) >= needed else "does not hold"


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper and the comparisons that decide it.

    Each pair is a difference between two sides on the same test examples, with a 95 % interval. It speaks for the
    claim where the interval lies wholly on the side where the first is better, against it where it lies on the other.

    Args:
        text: what the paper says, in our words.
        source: paper and place.
        task: the task whose primary metric is compared; ``"delta_mtl"`` and ``"delta_wor"`` are the mean and the
            least relative change of all tasks of a run, better where the attack does less harm.
        pairs: what is better, and than what; both of one task.
        share: how many of the pairs must speak for it. The claim holds where so many do; it does not hold where
            so many can no longer, since too many speak against it; else it is not decided.

    Raises:
        TestudoError: no pairs, a pair of two tasks, or a share outside (0, 1].
    """

    text: str
    source: str
    task: str
    pairs: tuple[tuple[Side, Side], ...]
    share: float = 1.0

    def __post_init__(self) -> None:
        needed(self.pairs, self.share)
        for first, second in self.pairs:
            if self.on(first) != self.on(second):
                raise TestudoError(f"claim {self.text!r} compares {self.on(first)!r} with {self.on(second)!r}")

    def on(self, side: Side) -> str:
        """The task of a side."""
        return side.task or self.task

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Claim:
        """From study.json; raises TestudoError where a part is missing."""
        text, source, task = (form.words(told, name) for name in ("text", "source", "task"))
        try:
            pairs = tuple((_side(first), _side(second)) for first, second in form.listed(told, "pairs"))
        except (TypeError, ValueError):
            raise TestudoError(f"study.json: the pairs of claim {text!r} are not two sides each") from None
        return cls(text, source, task, pairs, form.number(told, "share"))

    @property
    def needed(self) -> int:
        """How many of the pairs must speak for it."""
        return needed(self.pairs, self.share)


@dataclass(frozen=True)
class Judged:
    """A claim and what was found.

    Args:
        claim: what is claimed.
        found: for each of its pairs the row of :func:`testudo.evaluation.significance.comparisons`.
        speak: for each 1 where it speaks for the claim, -1 against it, 0 neither.
    """

    claim: Claim
    found: tuple[Mapping[str, Any], ...]
    speak: tuple[int, ...]

    @property
    def verdict(self) -> Verdict:
        """What follows for the claim, here."""
        return verdict(self.speak, self.claim.needed)


@dataclass(frozen=True)
class Beside:
    """A published number and where ours for it is.

    Args:
        label: what it is of, in the paper's words.
        theirs: as printed, in the unit of the paper.
        spread: their standard deviation as printed, or empty.
        note: of a slip or a doubt, or empty.
        side: our group and attack.
        task: our task, whose primary metric it is.
    """

    label: str
    theirs: str
    spread: str
    note: str
    side: Side
    task: str

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Beside:
        """From study.json; raises TestudoError where a part is missing."""
        texts = [form.words(told, name) for name in ("label", "theirs", "spread", "note")]
        return cls(*texts, _side(form.several(told, "side")), form.words(told, "task"))


def _side(told: Sequence[str]) -> Side:
    if len(told) not in (2, 3) or isinstance(told, str) or not all(isinstance(name, str) for name in told):
        raise TestudoError(f"study.json: a side is a group, an attack and perhaps a task, got {told!r:.60}")
    return Side(*told)
