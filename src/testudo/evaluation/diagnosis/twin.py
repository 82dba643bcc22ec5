"""Images made against another model stronger than those made against this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from testudo.evaluation.diagnosis.base import Check, Finding, beaten
from testudo.evaluation.diagnosis.evidence import TRANSFER, Evidence
from testudo.evaluation.diagnosis.intervals import contest


@dataclass(frozen=True)
class Twin(Check):
    """Adversarial images of a twin must not do more harm than PGD on the model itself.

    The twin is another model of the same task, best one of the same data without the defence. Whoever knows the model
    must do at least as well as one who does not.

    Args:
        least: the lead that fails, a share of the examples.
    """

    least: float = 0.05

    name: ClassVar[str] = "transfer"
    source: ClassVar[str] = "Papernot et al. 2017 (arXiv:1602.02697); Athalye et al. 2018 (arXiv:1802.00420)"

    def __call__(self, evidence: Evidence) -> Finding:
        """Compare on the same examples."""
        if evidence.twin is None:
            said = "there is no twin of this task to make images against: give one (twin =, --twin RUN)"
            return self.finding(evidence, "skipped", said)
        harms = evidence.harm(TRANSFER), evidence.white()
        found, effect = contest(*harms), evidence.effect(*harms)
        verdict, left = beaten(found, effect, self.least)
        leads = f"the twin's adversarial images do more harm than PGD on {found.more} of {found.n} examples"
        said = {
            "pass": f"the direct attack is worth more ({leads}, less on {found.fewer})",
            "warn": left or f"{leads}, less on {found.fewer}: judge by the worst of both",
            "fail": f"{leads}, less on {found.fewer}: the model hides its gradients, and one without them does better; "
            "do not report PGD",
        }[verdict]
        told = {"pgd restarts": evidence.metric("pgd restarts"), TRANSFER: evidence.metric(TRANSFER)}
        return self.finding(evidence, verdict, said, effect=effect, **told, **found.numbers())
