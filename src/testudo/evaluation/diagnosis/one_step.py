"""One step stronger than many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from testudo.evaluation.diagnosis.base import Check, Finding, beaten
from testudo.evaluation.diagnosis.evidence import Evidence
from testudo.evaluation.diagnosis.intervals import contest


@dataclass(frozen=True)
class OneStep(Check):
    """FGSM must not do more harm than PGD, which takes many smaller steps in the same ball.

    PGD starts at a random point. Where it finds less than one step from the clean image does, gradients away from
    the clean image mislead, as where the loss was made flat or jagged around the training points.

    Args:
        least: the lead of FGSM that fails, a share of the examples. 5 points: several times what random starts make
            of two honest attacks, and a lead that 200 examples show.
    """

    least: float = 0.05

    name: ClassVar[str] = "one step"
    source: ClassVar[str] = "Athalye et al. 2018 (arXiv:1802.00420); Carlini et al. 2019 (arXiv:1902.06705)"

    def __call__(self, evidence: Evidence) -> Finding:
        """Compare them on the same examples."""
        found = contest(evidence.harm("fgsm"), evidence.harm("pgd"))
        effect = evidence.effect(evidence.harm("fgsm"), evidence.harm("pgd"))
        verdict, left = beaten(found, effect, self.least)
        told = {"fgsm": evidence.metric("fgsm"), "pgd": evidence.metric("pgd"), "effect": effect, **found.numbers()}
        leads = f"one step does more harm than {evidence.battery.steps} on {found.more} of {found.n} examples"
        said = {
            "pass": f"many steps do at least the harm of one ({leads})",
            "warn": left or f"{leads}, less on {found.fewer}: judge by the worst of both",
            "fail": f"{leads}, less on {found.fewer}: gradients off the clean images mislead, so that numbers of "
            "iterated attacks are too good; look for what bends the loss around them, and judge by Square",
        }[verdict]
        return self.finding(evidence, verdict, said, **told)
