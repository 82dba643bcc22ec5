"""Robustness that does not end as the ball grows to the whole box."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from testudo.evaluation.diagnosis.base import Check, Finding, Verdict, beaten, worst
from testudo.evaluation.diagnosis.evidence import SWAP, Evidence
from testudo.evaluation.diagnosis.intervals import Contest, contest


@dataclass(frozen=True)
class Unbounded(Check):
    """PGD in a larger ball must do more harm, and in the whole box as much as any other image of the data does.

    The box holds all the other test images: replacing one by another of them is an attack, for any task and at no
    cost, and a search by gradients that does worse than that does not see where the gradients lead. For a
    classification this asks for a robust accuracy of 0 (of 1 / classes or more Carlini et al. are content with),
    unless the model says the same of everything.

    Args:
        least: the lead that fails, a share of the examples.
    """

    least: float = 0.05

    name: ClassVar[str] = "unbounded"
    source: ClassVar[str] = "Athalye et al. 2018 (arXiv:1802.00420); Pintor et al. 2022 (arXiv:2106.09947)"

    def __call__(self, evidence: Evidence) -> Finding:
        """Compare each ball with the next larger one, and the box with other images."""
        balls = balls_of(evidence)
        leads = [self._lead(evidence, *pair) for pair in [*pairwise(balls), (SWAP, balls[-1])]]
        verdict = worst(lead.verdict for lead in leads)
        lead = next(lead for lead in leads if lead.verdict == verdict)
        left = evidence.metric(balls[-1])
        said = {
            "pass": f"harm grows with the ball; in the whole box the metric is down to {left:.3g}",
            "warn": lead.words,
            "fail": f"{lead.words}: a search that does not find what lies in its ball says nothing of smaller ones "
            "either; do not trust any number of it before it does",
        }[verdict]
        told = {name: evidence.metric(name) for name in (*balls, SWAP)}
        return self.finding(evidence, verdict, said, **told, effect=lead.effect, **lead.found.numbers())

    def _lead(self, evidence: Evidence, first: str, second: str) -> _Lead:
        harms = evidence.harm(first), evidence.harm(second)
        found, effect = contest(*harms), evidence.effect(*harms)
        verdict, left = beaten(found, effect, self.least)
        what = "another test image" if first == SWAP else f"PGD in the smaller ball ({first})"
        words = f"{what} does more harm than {second} on {found.more} of {found.n} examples, less on {found.fewer}"
        return _Lead(verdict, left or words, found, effect)


class _Lead(NamedTuple):
    """One comparison."""

    verdict: Verdict
    words: str
    found: Contest
    effect: float


def balls_of(evidence: Evidence) -> list[str]:
    """The names of PGD in growing balls, the threat's own first and the whole box last."""
    return ["pgd", *(name for name in evidence.attacks if name.endswith(" eps")), "pgd box"]
