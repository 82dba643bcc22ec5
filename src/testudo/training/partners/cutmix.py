"""Boxes cut out of one image and pasted into another, their labels mixed with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Tensor

from testudo.data.batch import Batch
from testudo.errors import TestudoError, unknown
from testudo.models.model import Model
from testudo.tasks.classification import Classification
from testudo.tasks.soft import soft
from testudo.tasks.task import Task
from testudo.tensors import per_example, uniform
from testudo.training.partners.base import Partner

STREAM = 0xC07  # keeps these draws apart from others of the same example and seed


@dataclass(frozen=True)
class CutMix(Partner):
    """In place of a box of each image comes the same box of its neighbour (Yun et al. 2019).

    For every example lambda ~ Beta(alpha, alpha). The box is floor(H sqrt(1 - lambda)) pixels high and
    floor(W sqrt(1 - lambda)) wide around a pixel drawn evenly, and ends where the image does; a is the share of the
    image that it then covers. Labels are mixed with it:

    - a class becomes the distribution with 1 - a on the image's own class and a on its neighbour's;
    - labels of pixels are cut and pasted with the box, and labels that are the image itself follow it;
    - several labels and numbers become the mean weighted by 1 - a and a.

    What counts (1 - a or a above 0) must be known on both sides, else the mixed label is unknown.

    The neighbour of row 2 i is row 2 i + 1 and the other way round; a last row without one stays as it is. Rows come
    in shuffled order, so that pairs are random; and a batch that is dealt out to several processes or steps in even
    numbers has the same pairs as when it is whole.

    Source: https://arxiv.org/abs/1905.04899; with adversarial training: Rebuffi et al. 2021,
    https://arxiv.org/abs/2103.01946. Departures: the authors' code draws one lambda and one box for a whole batch,
    pairs by a permutation, and rounds a box to an even number of pixels.

    Args:
        alpha: of the Beta distribution; 1 is uniform, less cuts next to nothing or next to all.
        probability: with which an image is given a box at all.

    Raises:
        TestudoError: alpha not above 0 and finite, a probability outside (0, 1].

    >>> from testudo.models.wrap import wrap
    >>> model = wrap(torch.nn.Flatten(), [Classification("digit", classes=3)])
    >>> images = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    >>> mixed = CutMix()(model, Batch(images, {"digit": torch.tensor([0, 2])}), seed=0, epoch=0)
    >>> mixed.images.mean((1, 2, 3)), mixed.targets["digit"]
    (tensor([0.3750, 0.6250]), tensor([[0.6250, 0.0000, 0.3750],
            [0.3750, 0.0000, 0.6250]]))
    """

    alpha: float = 1.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise TestudoError(f"cutmix: alpha must be above 0 and finite, got {self.alpha}")
        if not 0 < self.probability <= 1:
            raise TestudoError(f"cutmix: probability must be above 0 and at most 1, got {self.probability}")

    def __call__(self, model: Model, batch: Batch, seed: int, epoch: int) -> Batch:
        """The batch with boxes pasted; targets of :class:`Classification` are distributions, (N, classes) floats.

        Raises:
            TestudoError: a target of no task of the model, of a kind that has no mean, or of other pixels than the
                images.
        """
        inside, area = self._boxes(batch, seed, epoch)
        other = neighbours(len(batch)).to(batch.ids.device)
        images = torch.where(inside, batch.images[other], batch.images)
        targets = {}
        for name, own in batch.targets.items():
            if name not in model.tasks:
                raise unknown("task", name, model.tasks)
            task = model.tasks[name]
            own = _mixable(task, own)
            targets[name] = _pasted(task, own, own[other], inside) if task.dense else _mean(own, own[other], area)
        return Batch(images, targets, batch.ids)

    def _boxes(self, batch: Batch, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
        """(N, 1, H, W) bool, which pixels come from the neighbour; (N,) their share."""
        draws = uniform(batch.ids, (4,), seed, epoch, STREAM)
        mixed = draws[:, 0] < self.probability
        mixed[len(mixed) // 2 * 2 :] = False
        side = (1 - self._lambda(draws[:, 1])).sqrt() * mixed
        axes, share = [], torch.ones_like(side)
        for draw, length in zip(draws[:, 2:].unbind(1), batch.images.shape[2:], strict=True):
            size = (side * length).floor()
            start = (draw * length).floor() - (size / 2).floor()
            place = torch.arange(length, device=draws.device)
            axis = (place >= start[:, None]) & (place < (start + size)[:, None])
            axes.append(axis)
            share = share * axis.sum(1) / length
        return (axes[0][:, :, None] & axes[1][:, None, :])[:, None], share

    def _lambda(self, draws: Tensor) -> Tensor:
        """Draws from (0, 1) as draws from Beta(alpha, alpha): its inverse distribution function."""
        if self.alpha == 1:
            return draws
        found = betaincinv(self.alpha, self.alpha, draws.double().cpu().numpy())
        return torch.from_numpy(found).to(draws)


def neighbours(count: int) -> Tensor:
    """(N,) the row that each row is paired with; a last one without another is its own.

    >>> neighbours(5)
    tensor([1, 0, 3, 2, 4])
    """
    return (torch.arange(count) ^ 1).clamp(max=max(0, count - 1))


def _mixable(task: Task, target: Tensor) -> Tensor:
    """``target`` in a form in which labels can be mixed."""
    if isinstance(task, Classification):
        return soft(target, task.classes)
    if not task.dense and not target.is_floating_point():
        raise TestudoError(f"cutmix: labels of task {task.name!r} have no mean: they are {target.dtype}, not floats")
    return target


def _pasted(task: Task, own: Tensor, other: Tensor, inside: Tensor) -> Tensor:
    """(N, H, W) or (N, C, H, W): ``other`` inside the box, ``own`` outside."""
    if own.shape[-2:] != inside.shape[-2:]:
        found, wanted = tuple(own.shape[-2:]), tuple(inside.shape[-2:])
        raise TestudoError(f"cutmix: target {task.name!r} is {found} pixels, its images are {wanted}")
    return torch.where(inside if own.dim() == 4 else inside[:, 0], other, own)


def _mean(own: Tensor, other: Tensor, area: Tensor) -> Tensor:
    """(1 - area) ``own`` + area ``other``; what counts for nothing may be NaN."""
    weight = per_example(area, own).to(own.dtype)
    return torch.where(weight < 1, (1 - weight) * own, 0) + torch.where(weight > 0, weight * other, 0)
