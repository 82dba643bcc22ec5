"""A metric that is better under attack than on clean images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from testudo.evaluation.diagnosis.base import Check, Finding, beaten, worst
from testudo.evaluation.diagnosis.evidence import CLEAN, Evidence
from testudo.evaluation.diagnosis.intervals import contest

ASKED = ("fgsm", "pgd", "square", "pgd box")


@dataclass(frozen=True)
class AboveClean(Check):
    """No attack may leave more examples right than there are without one.

    An attack that goes up the loss and ends lower was led the wrong way, or the answer is not a function of the image.
    FGSM is told by the images it ends with; the others keep the clean image where nothing is worse, so that only a
    model that does not answer twice alike can gain by them.

    Args:
        least: the gain that fails, a share of the examples; for other tasks than classifications a share of the clean
            harm.
    """

    least: float = 0.05

    name: ClassVar[str] = "above clean"
    source: ClassVar[str] = "Carlini et al. 2019 (arXiv:1902.06705)"

    def __call__(self, evidence: Evidence) -> Finding:
        """Compare the clean images with each attack."""
        clean, told = evidence.harm(CLEAN), {name: evidence.metric(name) for name in (CLEAN, *ASKED)}
        found = {name: contest(clean, evidence.harm(name)) for name in ASKED}
        verdicts = {name: beaten(each, self._effect(evidence, name), self.least) for name, each in found.items()}
        verdict = worst(each for each, _ in verdicts.values())
        name = next(each for each in ASKED if verdicts[each][0] == verdict)
        words = f"{name} makes {found[name].more} of {found[name].n} examples better, and {found[name].fewer} worse"
        said = {
            "pass": "no attack leaves the model better off",
            "warn": verdicts[name][1] or words,
            "fail": f"{words}: an attack that helps was led the wrong way; check the sign and the path of the "
            "gradient, and whether the answer depends on the image alone",
        }[verdict]
        return self.finding(evidence, verdict, said, **told, **found[name].numbers())

    def _effect(self, evidence: Evidence, name: str) -> float:
        clean, hurt = evidence.harm(CLEAN), evidence.harm(name)
        if evidence.decided:
            return contest(clean, hurt).lead
        return float((clean.mean() - hurt.mean()) / clean.mean()) if clean.mean() > 0 else 0.0
