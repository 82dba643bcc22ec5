"""Which images are views of one and the same: projections that shall lie near each other, and far from the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from testudo.errors import TestudoError
from testudo.processes import gathered, rank
from testudo.tasks.classification import UNLABELLED
from testudo.tasks.task import Task
from testudo.tasks.vectors import direction
from testudo.tensors import working_precision


class _Among(NamedTuple):
    """This process's N rows among the M of all processes.

    Attributes:
        numbers: (M,) of which image each is a view, -1 unknown.
        others: (N, M) whether a row of known number is another than this.
        partners: (N, M) whether it is a view of the same image, too.
    """

    numbers: Tensor
    others: Tensor
    partners: Tensor


class _Found(Metric):
    """The share of rows that have a partner and lie next to one."""

    full_state_update = False
    right: Tensor
    count: Tensor

    def __init__(self, task: Contrast) -> None:
        super().__init__()
        self._task = task
        self.add_state("right", torch.zeros((), dtype=torch.int64), "sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), "sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        score = self._task.score(prediction, target)
        self.right += (score == 1).sum()
        self.count += (~score.isnan()).sum()

    def compute(self) -> Tensor:
        """NaN where no row has a partner."""
        return self.right / self.count


@dataclass(frozen=True)
class Contrast(Task):
    """NT-Xent, the loss of SimCLR; targets are (N,) int64: of which image a row is a view, by number, -1 unknown.

    Of the rows z_1 ... z_M with a known number, wherever they are in the batch and on whichever process, an anchor i
    with the partner j, another view of the same image, loses

        l(i, j) = -log( exp(cos(z_i, z_j) / tau) / sum over k other than i of exp(cos(z_i, z_k) / tau) ).

    The loss of row i is l(i, j), its mean over the partners where an image has more than two views. So over a batch
    each view of a pair is once the anchor (the contrastive paper's equation 5 prints l(i, j) twice; it is l(i, j) +
    l(j, i)). A row whose partner is not there has no label: its loss is 0, its score NaN and :meth:`valid` says no,
    though to the rest it is still one of the others. The metric is the share of rows next to which, of all others,
    lies a partner.

    By its nature it departs from what holds for every other task: the loss of an example depends on its neighbours.
    So it cannot be attacked, and a batch in parts is another task than the batch as a whole. With several processes,
    all must ask at the same time.

    Source: Chen et al. 2020, https://arxiv.org/abs/2002.05709, equation 1, whose tau is 0.5 on CIFAR-10 (section B.9).
    Computed in float32 or wider, under autocast too.

    Args:
        name: see :class:`Task`.
        temperature: tau, above 0.
        channels: of a projection.

    >>> views = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> Contrast("contrast", temperature=1.0).loss(views, torch.tensor([7, 7, 8, 8]))  # log(e + 2) - 1
    tensor([0.5514, 0.5514, 0.5514, 0.5514])
    """

    temperature: float = 0.5
    channels: int = 128

    metric_name: ClassVar[str] = "accuracy"
    projected: ClassVar[bool] = True
    paired: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0 or self.channels < 1:
            found = f"{self.temperature} and {self.channels}"
            raise TestudoError(f"task {self.name!r}: temperature must be above 0 and channels at least 1, got {found}")

    def valid(self, target: Tensor) -> Tensor:
        """(N,) bool: a partner is somewhere in the batch."""
        return _among(target).partners.any(1)

    def unknown(self, target: Tensor) -> Tensor:
        """-1 for every row."""
        return torch.full_like(target, UNLABELLED)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, channels) projections of any length, (N,) numbers -> (N,) in nats."""
        among = _among(target)
        anchors = among.partners.any(1).nonzero()[:, 0]
        others, partners = among.others[anchors], among.partners[anchors]
        logits = (self._cosines(prediction)[anchors] / self.temperature).masked_fill(~others, -torch.inf)
        apart = logits.logsumexp(1, keepdim=True) - logits
        each = torch.where(partners, apart, 0).sum(1) / partners.sum(1)
        return each.new_zeros(len(target)).index_copy(0, anchors, each)

    def record(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 2): the number of the row that lies nearest, and the own one."""
        among = _among(target)
        return torch.stack([among.numbers[self._nearest(prediction, among)], target], 1).float()

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) 1 where a partner lies nearest, else 0; NaN for a row without."""
        among = _among(target)
        right = among.partners.gather(1, self._nearest(prediction, among)[:, None])[:, 0]
        return torch.where(among.partners.any(1), right.float(), torch.nan)

    def metric(self) -> Metric:
        """The mean score of all batches, each seen by itself."""
        return _Found(self)

    def check(self, target: Tensor) -> None:
        """Integers (N,) of at least -1."""
        if target.dim() != 1 or target.is_floating_point():
            found = f"{target.dtype} {tuple(target.shape)}"
            raise TestudoError(f"task {self.name!r}: labels must be integers of shape (N,), got {found}")
        if (target < UNLABELLED).any():
            raise TestudoError(f"task {self.name!r}: label {int(target.min())} must be at least 0, or -1 (unknown)")

    def as_label(self, prediction: Tensor) -> Tensor:
        """Unknown: a projection does not say of which image it is a view."""
        return torch.full((len(prediction),), UNLABELLED, device=prediction.device)

    def tell(self, target: Tensor) -> list[str]:
        """Of which image it is a view."""
        return ["unknown" if number == UNLABELLED else f"a view of image {number}" for number in target.tolist()]

    def _nearest(self, prediction: Tensor, among: _Among) -> Tensor:
        cosines = self._cosines(prediction).masked_fill(~among.others, -torch.inf)
        return cosines.argmax(1) if len(cosines) else among.numbers[:0]

    def _cosines(self, prediction: Tensor) -> Tensor:
        """(N, M) of the angles between this process's rows and those of all."""
        with torch.autocast(prediction.device.type, enabled=False):
            own = direction(working_precision(prediction))
            return own @ gathered(own).mT


def _among(target: Tensor) -> _Among:
    numbers, holders = gathered(torch.stack([target, torch.full_like(target, rank())], 1)).unbind(1)
    own = (holders == rank()).nonzero()
    others = (numbers != UNLABELLED) & (own != torch.arange(len(numbers), device=target.device))
    return _Among(numbers, others, others & (numbers == target[:, None]))
