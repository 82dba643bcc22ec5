"""Gradients that are zero, or lost to the resolution of floats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.attacks.surrogates import Surrogate, TaskLoss
from testudo.attacks.threat import Threat
from testudo.evaluation.diagnosis.base import Check, Finding, exceeded
from testudo.evaluation.diagnosis.evidence import Evidence
from testudo.evaluation.diagnosis.intervals import share
from testudo.geometry import NONE
from testudo.tensors import norms


@dataclass(frozen=True)
class Gradients(Check):
    """The loss's gradient at a clean image must be there, and lead to a change that floats can tell.

    It is lost where no value of it exceeds 1e-30 (a float32 softmax of logits that are some 70 apart gives that, and
    so does a step without a derivative), or where going by it to the edge of the ball promises less than one
    rounding of the loss: ``eps ||g||_q <= r |loss|``, q dual to the ball's norm, r = 1.2e-7 in float32. Counted are the
    examples that there is something to do to: of a classification, those told right.

    Args:
        limit: the share of lost gradients above which it fails; it warns of any, as AutoAttack's own flag does.
    """

    limit: float = 0.05

    name: ClassVar[str] = "gradients"
    source: ClassVar[str] = "Athalye et al. 2018 (arXiv:1802.00420); Pintor et al. 2022 (arXiv:2106.09947); AutoAttack"

    def __call__(self, evidence: Evidence) -> Finding:
        """Count the examples whose gradient is lost, and whether the logits' own margin has one."""
        batch = evidence.batch[evidence.standing]
        if len(batch) == 0:
            return self.finding(evidence, "skipped", "no example is told right, so there is nothing to attack", n=0)
        gone = lost(evidence, TaskLoss())
        found = share(int(gone.sum()), len(batch))
        verdict, left = exceeded(found, self.limit, 0.0)
        bare = share(int(lost(evidence, evidence.sharp).sum()), len(batch))
        words = f"the loss has no usable gradient on {found.count} of {found.n} examples"
        cure = (
            "the margin of the logits has one, so that it is their scale that hides it: attack the margin or DLR loss"
            if bare.count < found.count
            else "nor have the outputs: some step has no derivative, or saturates; attack through a differentiable "
            "stand-in for it (BPDA), and by Square"
        )
        said = f"{words}{f'; {left}' if left else ''}" + ("" if not found.count else f"; {cure}")
        return self.finding(evidence, verdict, said, without_softmax=bare.value, **found.numbers())


def lost(evidence: Evidence, surrogate: Surrogate) -> Tensor:
    """(N,) bool: of the examples that stand, those whose gradient of ``surrogate`` is lost."""
    gradient, value = evidence.climb(evidence.batch[evidence.standing], surrogate)
    rounding = torch.finfo(value.dtype).eps * value.abs()
    promise = rise(evidence.threat, gradient)
    return (norms(gradient, math.inf) <= NONE) | (promise <= torch.where(value.isfinite(), rounding, 0))


def rise(threat: Threat, gradient: Tensor) -> Tensor:
    """(N,) what a linear function of slope ``gradient`` (N, C, H, W) gains to the edge of the ball: eps ||g||_q.

    >>> from testudo.attacks.threat import Linf
    >>> rise(Linf(0.5), torch.tensor([[[[3.0, -1.0]]]]))
    tensor([2.])
    """
    dual = {math.inf: 1.0, 2: 2.0, 1: math.inf}[threat.p]
    return float(threat.eps) * norms(threat.masked(gradient, 0), dual)
