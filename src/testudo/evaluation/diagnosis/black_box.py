"""A black box stronger than a white box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from testudo.evaluation.diagnosis.base import Check, Finding, beaten
from testudo.evaluation.diagnosis.evidence import Evidence
from testudo.evaluation.diagnosis.intervals import contest


@dataclass(frozen=True)
class BlackBox(Check):
    """Square, which asks for outputs alone, or plain random noise must not do more harm than PGD with its gradients.

    PGD has its restarts and its longer run here. On a classification Square goes by the margin of the logits, as in
    AutoAttack, and so does one more run of PGD: else it would be the loss that decides, and not the gradients.

    Args:
        least: the lead that fails, a share of the examples; AutoAttack's own flag is raised at 0.2 points, without
            asking whether they are chance.
    """

    least: float = 0.05

    name: ClassVar[str] = "black box"
    source: ClassVar[str] = "Athalye et al. 2018 (arXiv:1802.00420); Carlini et al. 2019 (arXiv:1902.06705); AutoAttack"

    def __call__(self, evidence: Evidence) -> Finding:
        """Compare on the same examples the stronger of the two with PGD."""
        white = evidence.white()
        name = max(("noise", "square"), key=lambda each: evidence.harm(each).mean())
        found, effect = contest(evidence.harm(name), white), evidence.effect(evidence.harm(name), white)
        verdict, left = beaten(found, effect, self.least)
        told = {each: evidence.metric(each) for each in ("square", "noise", "pgd restarts", "pgd longer")}
        what = "Square" if name == "square" else "random noise"
        leads = f"{what} does more harm without gradients than PGD with them on {found.more} of {found.n} examples"
        said = {
            "pass": f"gradients are worth having ({leads}, less on {found.fewer})",
            "warn": left or f"{leads}, less on {found.fewer}: judge by the worst of both",
            "fail": f"{leads}, less on {found.fewer}: the model hides its gradients from PGD; find the step that does, "
            "attack through a differentiable stand-in for it (BPDA), and do not report PGD",
        }[verdict]
        return self.finding(evidence, verdict, said, stronger=name, effect=effect, **told, **found.numbers())
