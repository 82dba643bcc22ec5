"""AutoAttack far below PGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from testudo.evaluation.diagnosis.base import Check, Finding, exceeded
from testudo.evaluation.diagnosis.evidence import Evidence, Values
from testudo.evaluation.diagnosis.intervals import SLACK, share

AUTO = ("gradients", "square")


@dataclass(frozen=True)
class AutoAttackGap(Check):
    """AutoAttack (here with fewer queries of Square) must not find a higher loss than PGD did on many examples.

    What stands under PGD and falls to AutoAttack is of two kinds. Where the loss that PGD climbs is higher at
    AutoAttack's images, the search missed them: gradients misled it. Where it is not, PGD did its work, on the wrong
    loss: the cross-entropy of a plain linear classifier may be larger where three classes are level than where a wrong
    one is ahead, so that AutoAttack, which climbs differences of two logits, takes some 12 points more from it.

    Args:
        limit: the share of missed examples, above which it fails. AutoAttack's authors took "often more than 10"
            points from what fifty papers had reported, and a few from honestly hardened networks.
        notable: the share of all that falls to AutoAttack alone, from which it warns.
    """

    limit: float = 0.10
    notable: float = 0.05

    name: ClassVar[str] = "autoattack gap"
    source: ClassVar[str] = "Croce and Hein 2020 (arXiv:2003.01690); Pintor et al. 2022 (arXiv:2106.09947)"

    def __call__(self, evidence: Evidence) -> Finding:
        """Count what stands under PGD and falls to AutoAttack."""
        if not evidence.decided:
            return self.finding(evidence, "skipped", "AutoAttack is made for one class of several; see black box")
        gap = evidence.harm(*AUTO) > evidence.harm("pgd")
        higher = _reached(evidence) > evidence.loss("pgd") * (1 + SLACK)
        alone, missed = (share(int(found.sum()), evidence.n) for found in (gap, gap & higher))
        verdict, left = exceeded(missed, self.limit, self.notable)
        verdict = "warn" if verdict == "pass" and alone.low > self.notable else verdict
        pgd = f"PGD-{evidence.battery.steps}"
        words = f"AutoAttack breaks {alone.count} of {alone.n} examples that stand under {pgd}, "
        words += f"{missed.count} of them at a higher loss"
        said = {
            "pass": f"{words}: no more than it takes from honest networks",
            "warn": f"{words}; {left or f'{pgd} climbs the wrong loss here, report AutoAttack in place of it'}",
            "fail": f"{words}: {pgd} does not find what is there, so that what it reports is masking as much as "
            "robustness; report AutoAttack",
        }[verdict]
        told = {"pgd": evidence.metric("pgd"), "autoattack": 1 - float(evidence.harm(*AUTO).mean()), "gap": alone.value}
        return self.finding(evidence, verdict, said, **told, **missed.numbers())


def _reached(evidence: Evidence) -> Values:
    """(n,) the task's loss at the first of AutoAttack's images that beat it."""
    first, then = (evidence.loss(name) for name in AUTO)
    return np.where(evidence.harm(AUTO[0]) > 0, first, then)
