"""An example's output that depends on its neighbours in the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from testudo.attacks.base import draws_of_its_own
from testudo.evaluation.diagnosis.base import Check, Finding
from testudo.evaluation.diagnosis.evidence import Evidence
from testudo.evaluation.diagnosis.randomness import differences


@dataclass(frozen=True)
class Neighbours(Check):
    """The output for an image must be the same whatever other images are in the batch.

    Each image is passed twice among as many others: those of the test set, and their negatives. Batch norm in training
    mode takes its statistics from them, so that attacked neighbours shift them, an attack on a batch is no attack
    on an example, and the accuracy is one that a single image would not have.

    Args:
        tolerance: as in :class:`~testudo.evaluation.diagnosis.randomness.Randomness`.
    """

    tolerance: float = 1e-4

    name: ClassVar[str] = "neighbours"
    source: ClassVar[str] = "Pang et al. 2021 (arXiv:2010.00467), on the mode of batch norm"

    def __call__(self, evidence: Evidence) -> Finding:
        """Compare outputs among two kinds of neighbours, with the same random draws."""
        largest, found = differences(evidence, _among_others(evidence))
        if largest > self.tolerance:
            said = (
                f"what is said of an image depends on its neighbours in the batch ({found.count} of {found.n} answers "
                "change): a norm takes the batch's statistics; give it running ones, put the model into eval mode"
            )
            return self.finding(evidence, "fail", said, change=largest, **found.numbers())
        if evidence.handed is not None and _mixes(evidence.handed):
            said = "the model came in training mode, in which batch norm mixes examples; all here is of its eval mode"
            return self.finding(evidence, "warn", said, change=largest, **found.numbers())
        return self.finding(evidence, "pass", "its neighbours do not matter", change=largest, **found.numbers())


def _among_others(evidence: Evidence) -> Iterator[tuple[Tensor, Tensor]]:
    """What is said of the images beside the same ones turned round in order, and beside their negatives."""
    for part in evidence.parts(evidence.batch):
        told = []
        for others in (part.images.flip(0), 1 - part.images):
            with draws_of_its_own(evidence.battery.seed, part.images.device):
                told.append(evidence.outputs(torch.cat([part.images, others]))[: len(part)])
        yield told[0], told[1]


def _mixes(model: torch.nn.Module) -> bool:
    """Whether a batch norm of the model, as it is now, takes the statistics of the batch."""
    norms = torch.nn.modules.batchnorm._BatchNorm
    return any(isinstance(part, norms) and part.training for part in model.modules())
