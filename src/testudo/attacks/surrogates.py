"""What an attack raises for one task in place of its metric.

Those for several labels are in :mod:`testudo.attacks.label_surrogates`, those for real numbers in
:mod:`testudo.attacks.number_surrogates`, Houdini in :mod:`testudo.attacks.houdini`.
Shapes: N examples, C classes, ``...`` nothing (one class per example) or pixels (one class per pixel).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from testudo.errors import TestudoError
from testudo.registry import SURROGATES
from testudo.tasks.classification import MultiLabel
from testudo.tasks.soft import hard
from testudo.tasks.task import Task
from testudo.tensors import working_precision


def kind(task: Task) -> str:
    """What a task's targets are: ``"classes"``, ``"labels"`` (several, each present or absent) or ``"numbers"``.

    A task with classes has an attribute ``classes``, one logit for each in dimension 1 and integer targets; where it
    is dense it also has ``known(target)``, which says of each pixel whether it is labelled.
    """
    if hasattr(task, "classes"):
        return "classes"
    return "labels" if isinstance(task, MultiLabel) else "numbers"


@dataclass(frozen=True)
class Surrogate(ABC):
    """A differentiable number per example that falls as the prediction gets better.

    ``fits`` names the kinds of task (see :func:`kind`) that it is for.
    """

    fits: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers")
    relative: ClassVar[bool] = False  # an untargeted attack measures it from what the model says of the clean image

    @abstractmethod
    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) the surrogate; 0 where there is no label."""

    def since(self, task: Task, prediction: Tensor, clean: Tensor, target: Tensor) -> Tensor:
        """(N,) the surrogate measured from ``clean``, the prediction on the clean image, where it is ``relative``."""
        return self(task, prediction, target)

    def wanting(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N,) what to raise to have ``target`` predicted; 0 where there is no label."""
        return -self(task, prediction, target)

    def towards(self, task: Task, prediction: Tensor, target: Tensor, aim: Tensor) -> Tensor:
        """(N,) what to raise to have ``aim`` (in ``target``'s format) predicted in place of ``target``."""
        return self.wanting(task, prediction, aim)

    def misfit(self, task: Task) -> TestudoError:
        """The error for a task that this surrogate is not for, with the surrogates that are."""
        fitting = [name for name in SURROGATES.names() if kind(task) in SURROGATES.get(name).fits]
        return TestudoError(
            f"surrogate {type(self).__name__} is for tasks with {' or '.join(self.fits)}; {task.name!r} is none: "
            f"its targets are {kind(task)} (fitting: {', '.join(fitting)})"
        )


def mean_known(each: Tensor, known: Tensor) -> Tensor:
    """(N, ...) values, (N, ...) bool -> (N,) the mean of each example's known values, 0 where it has none.

    >>> mean_known(torch.tensor([[1.0, 3.0], [5.0, torch.nan]]), torch.tensor([[True, True], [False, False]]))
    tensor([2., 0.])
    """
    each, known = (x.unsqueeze(1).flatten(1) for x in (torch.where(known, each, 0), known))
    return each.sum(1) / known.sum(1).clamp(min=1)


@dataclass(frozen=True)
class TaskLoss(Surrogate):
    """The loss that the task is trained with."""

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """The task's own loss."""
        return task.loss(prediction, target)


@dataclass(frozen=True)
class Custom(Surrogate):
    """A function of one's own.

    Args:
        function: ``f(task, prediction, target) -> (N,)``, higher for worse predictions; the prediction comes in
            float32 or wider. Examples without a label count 0, whatever it says of them.

    >>> distrust = Custom(lambda task, prediction, target: -prediction.softmax(1).amax(1))
    """

    function: Callable[[Task, Tensor, Tensor], Tensor]

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """The function's values.

        Raises:
            TestudoError: they are not floats of shape (N,).
        """
        values = self.function(task, working_precision(prediction), target)
        if not isinstance(values, Tensor) or values.shape != (len(target),) or not values.is_floating_point():
            is_tensor = isinstance(values, Tensor)
            found = f"{values.dtype} {tuple(values.shape)}" if is_tensor else type(values).__name__
            raise TestudoError(
                f"task {task.name!r}: a surrogate's function must return floats of shape ({len(target)},), got {found}"
            )
        return torch.where(task.valid(target), values, torch.zeros_like(values))


@dataclass(frozen=True)
class ClassSurrogate(Surrogate):
    """A surrogate for one class per example or per pixel: the mean over each example's known pixels.

    A subclass says what one pixel is worth; ``least`` is the fewest classes for which it means something.
    """

    fits: ClassVar[tuple[str, ...]] = ("classes",)
    least: ClassVar[int] = 2

    @abstractmethod
    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, C, ...) logits, (N, 1, ...) classes -> (N, ...)."""

    def each_wanting(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) what to raise to have class ``label`` (N, 1, ...)."""
        return -self.each(logits, label)

    def each_towards(self, logits: Tensor, label: Tensor, aim: Tensor) -> Tensor:
        """(N, ...) what to raise to have class ``aim`` (N, 1, ...) in place of ``label``."""
        return self.each_wanting(logits, aim)

    def __call__(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, C, ...) logits, (N, ...) classes -> (N,)."""
        logits, label, known = self.read(task, prediction, target)
        return mean_known(self.each(logits, label), known)

    def wanting(self, task: Task, prediction: Tensor, target: Tensor) -> Tensor:
        """As :meth:`Surrogate.wanting`, over the known pixels."""
        logits, label, known = self.read(task, prediction, target)
        return mean_known(self.each_wanting(logits, label), known)

    def towards(self, task: Task, prediction: Tensor, target: Tensor, aim: Tensor) -> Tensor:
        """As :meth:`Surrogate.towards`, over the pixels where both ``target`` and ``aim`` are known."""
        logits, label, known = self.read(task, prediction, target)
        _, wanted, aimed = self.read(task, prediction, aim)
        return mean_known(self.each_towards(logits, label, wanted), known & aimed)

    def read(self, task: Task, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, ...) logits in float32 or wider, (N, 1, ...) classes (0 where unknown), (N, ...) known.

        Raises:
            TestudoError: the task has no classes, or too few.
        """
        if kind(task) != "classes":
            raise self.misfit(task)
        logits = working_precision(prediction)
        if logits.shape[1] < self.least:
            raise TestudoError(
                f"surrogate {type(self).__name__} needs at least {self.least} classes; "
                f"task {task.name!r} has {logits.shape[1]} (use margin)"
            )
        target = hard(target)  # of an image mixed of two, the class it has most of
        known = getattr(task, "known", task.valid)(target)
        return logits, torch.where(known, target, 0).long().unsqueeze(1), known


def own(logits: Tensor, label: Tensor) -> Tensor:
    """(N, ...) the logits of the classes ``label`` (N, 1, ...)."""
    return logits.gather(1, label).squeeze(1)


def rivals(logits: Tensor, label: Tensor) -> Tensor:
    """(N, C, ...) the logits with minus infinity at ``label``."""
    return logits.scatter(1, label, -torch.inf)


@dataclass(frozen=True)
class CrossEntropy(ClassSurrogate):
    """Minus the log-probability of the label, in nats."""

    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) in nats."""
        return F.cross_entropy(logits, label.squeeze(1), reduction="none")


@dataclass(frozen=True)
class Margin(ClassSurrogate):
    """The best wrong logit minus the right one (Carlini and Wagner 2017); positive where the attack has won.

    Towards a class: its logit minus the right one.

    >>> from testudo.tasks.classification import Classification
    >>> Margin()(Classification("digit", classes=3), torch.tensor([[2.0, 5.0, 1.0]]), torch.tensor([1]))
    tensor([-3.])
    """

    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) margins."""
        return rivals(logits, label).amax(1) - own(logits, label)

    def each_towards(self, logits: Tensor, label: Tensor, aim: Tensor) -> Tensor:
        """(N, ...) margins of ``aim`` over ``label``."""
        return own(logits, aim) - own(logits, label)


@dataclass(frozen=True)
class DLR(ClassSurrogate):
    """The margin over the gap between the largest and third largest logit (DLR, Croce and Hein 2020).

    Towards a class t: (z_t - z_y) / (z_1 - (z_3 + z_4) / 2), sorted logits z_1 >= z_2 >= ... (targeted DLR, ibid.);
    with three classes z_3 stands for z_4. It takes three: with two, the quotient is 1 or -1. Shifting all logits
    changes nothing; nor does scaling them, but for the 1e-12 that the authors' code adds below: it keeps ties finite.

    >>> from testudo.tasks.classification import Classification
    >>> DLR()(Classification("digit", classes=3), torch.tensor([[2.0, 5.0, 1.0]]), torch.tensor([1]))
    tensor([-0.7500])
    """

    least: ClassVar[int] = 3

    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...); above 0 where the attack has won, at least -1."""
        top = logits.topk(3, 1).values
        return (rivals(logits, label).amax(1) - own(logits, label)) / (top[:, 0] - top[:, 2] + 1e-12)

    def each_towards(self, logits: Tensor, label: Tensor, aim: Tensor) -> Tensor:
        """(N, ...); above 0 where ``aim`` beats ``label``."""
        top = logits.topk(min(4, logits.shape[1]), 1).values
        below = (top[:, 2] + top[:, -1]) / 2
        return (own(logits, aim) - own(logits, label)) / (top[:, 0] - below + 1e-12)


@dataclass(frozen=True)
class JensenShannon(ClassSurrogate):
    """The Jensen-Shannon divergence of the softmax from the label, in nats, 0 to log 2 (SEA: Croce et al. 2024).

    It is a function of the label's probability q alone, log 2 + (q log q - (1 + q) log(1 + q)) / 2, whose gradient
    vanishes both where the pixel is right and where it is wrong beyond doubt. No logarithm of 0 is taken: log q comes
    from the logits.
    """

    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) in nats."""
        nats = F.cross_entropy(logits, label.squeeze(1), reduction="none")
        q = (-nats).exp()
        return math.log(2) - (q * nats + (1 + q) * torch.log1p(q)) / 2


@dataclass(frozen=True)
class MaskedCrossEntropy(ClassSurrogate):
    """Cross-entropy of the pixels (or examples) still predicted right; the others have no gradient (SEA).

    A pixel that is wrong counts log C, the most that a right one can, where SEA's counts 0: the gradient is the
    same, and a worse prediction has the larger value, so that the worst iterate can be told by it. Going for a class,
    it is the pixels that have it already that count 0 and have no gradient.
    """

    def each(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) in nats, at most log C."""
        nats = F.cross_entropy(logits, label.squeeze(1), reduction="none")
        right = logits.argmax(1) == label.squeeze(1)
        return torch.where(right, nats, math.log(logits.shape[1]))

    def each_wanting(self, logits: Tensor, label: Tensor) -> Tensor:
        """(N, ...) minus nats, 0 where ``label`` is predicted."""
        nats = F.cross_entropy(logits, label.squeeze(1), reduction="none")
        return torch.where(logits.argmax(1) == label.squeeze(1), 0, -nats)
