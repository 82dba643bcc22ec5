"""A model that draws random numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from testudo.attacks.base import draws_of_its_own
from testudo.evaluation.diagnosis.base import Check, Finding
from testudo.evaluation.diagnosis.evidence import AVERAGED, Evidence
from testudo.evaluation.diagnosis.intervals import Share, contest, share


@dataclass(frozen=True)
class Randomness(Check):
    """Two passes over the same images must give the same outputs.

    Where they do not, gradients are those of one draw and answers those of another: attacks must average over draws
    (expectation over transformations). PGD that does so is then made, too, to show what that changes.

    Args:
        tolerance: the change of an output, over the largest output of its example, that is no randomness: AutoAttack's
            1e-4; sums in another order change float32 by some 1e-6.
    """

    tolerance: float = 1e-4

    name: ClassVar[str] = "randomness"
    source: ClassVar[str] = "Athalye et al. 2018 (arXiv:1802.00420); AutoAttack"

    def __call__(self, evidence: Evidence) -> Finding:
        """Compare two passes."""
        largest, found = differences(evidence, _twice(evidence))
        if not largest > self.tolerance:
            return self.finding(evidence, "pass", "two passes say the same", change=largest, **found.numbers())
        gained = contest(evidence.harm(AVERAGED), evidence.harm("pgd"))
        told = {"pgd": evidence.metric("pgd"), AVERAGED: evidence.metric(AVERAGED), "lead of averaging": gained.lead}
        said = (
            f"two passes over the same images differ, in their answer on {found.count} of {found.n}: the model draws "
            f"random numbers, and no attack that does not average over them counts; PGD that does leaves "
            f"{told[AVERAGED]:.3g} where PGD leaves {told['pgd']:.3g}; report AutoAttack of version 'rand'"
        )
        return self.finding(evidence, "fail", said, change=largest, **told, **found.numbers())


def differences(evidence: Evidence, passes: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, Share]:
    """The largest change between two outputs of any example, and the share of examples that are answered otherwise."""
    changes, answers = [], []
    for first, second in passes:
        changes.append(change(first, second))
        answers.append(other_answers(evidence, first, second))
    differ = np.concatenate(answers)
    return float(np.concatenate(changes).max(initial=0)), share(int(differ.sum()), len(differ))


def _twice(evidence: Evidence) -> Iterator[tuple[Tensor, Tensor]]:
    """Two passes over the same images, part by part."""
    for part in evidence.parts(evidence.batch):
        with draws_of_its_own(evidence.battery.seed, part.images.device):
            both = evidence.outputs(part.images), evidence.outputs(part.images)
        yield both


def change(first: Tensor, second: Tensor) -> np.ndarray:
    """(N,) the largest change between two outputs (N, ...), over the largest output in either."""
    gap = (first - second).abs().flatten(1).amax(1)
    size = first.abs().flatten(1).amax(1).maximum(second.abs().flatten(1).amax(1))
    return (gap / size.clamp(min=1e-30)).nan_to_num(0).cpu().numpy()


def other_answers(evidence: Evidence, first: Tensor, second: Tensor) -> np.ndarray:
    """(N,) bool: whether the two outputs mean another label; for tasks of numbers, whether they differ at all."""
    other = evidence.task.as_label(first) != evidence.task.as_label(second)
    return other.reshape(len(first), -1).any(1).cpu().numpy()
