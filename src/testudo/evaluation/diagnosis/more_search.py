"""More steps or restarts still helping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from testudo.evaluation.diagnosis.base import Check, Finding, Verdict, exceeded
from testudo.evaluation.diagnosis.evidence import CLEAN, Evidence
from testudo.evaluation.diagnosis.gain import gain
from testudo.evaluation.diagnosis.intervals import share

SEARCHES = ("pgd", "pgd restarts", "pgd longer")


@dataclass(frozen=True)
class MoreSearch(Check):
    """Several times the steps, or several random starts, must find little that PGD has not found.

    Args:
        limit: the share of examples that only they break, above which it fails. 10 points, as for AutoAttack: from 20
            steps to 100, or from 1 start to 5, honest networks lose some 1 to 6.
        notable: the share from which it warns.
        more_harm: for tasks without right and wrong: the harm they add, as a share of what PGD did.
    """

    limit: float = 0.10
    notable: float = 0.05
    more_harm: float = 0.25

    name: ClassVar[str] = "more search"
    source: ClassVar[str] = "Carlini et al. 2019 (arXiv:1902.06705); Mosbach et al. 2018 (arXiv:1810.12042)"

    def __call__(self, evidence: Evidence) -> Finding:
        """Count what only the longer searches find."""
        battery, tried = evidence.battery, {name: evidence.metric(name) for name in SEARCHES}
        verdict, gained, numbers = (self._count if evidence.decided else self._weigh)(evidence)
        more = f"{battery.longer} steps, or {battery.restarts} starts of {battery.steps}, {gained}"
        said = {
            "pass": f"{more}: there is little left to find",
            "warn": more,
            "fail": f"{more}: the search was far from its end, as where the loss is rough or flat; "
            "go on until nothing changes before you report a number",
        }[verdict]
        return self.finding(evidence, verdict, said, **tried, **numbers)

    def _count(self, evidence: Evidence) -> tuple[Verdict, str, dict[str, float]]:
        broken = evidence.harm(*SEARCHES) > evidence.harm("pgd")
        found = share(int(broken.sum()), evidence.n)
        verdict, left = exceeded(found, self.limit, self.notable)
        words = f"break {found.count} of {found.n} examples that {evidence.battery.steps} steps do not"
        return verdict, f"{words}; {left}" if left else words, found.numbers()

    def _weigh(self, evidence: Evidence) -> tuple[Verdict, str, dict[str, float]]:
        value, low, high = gain(evidence.harm(*SEARCHES), evidence.harm("pgd"), evidence.harm(CLEAN))
        words = f"add {value:.0%} to the harm that {evidence.battery.steps} steps do"
        numbers = {"gain": value, "low": low, "high": high, "n": evidence.n}
        return ("fail" if low > self.more_harm else "pass"), words, numbers
