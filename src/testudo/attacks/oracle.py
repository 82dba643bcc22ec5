"""Asks the model about images: losses, decisions, gradients; counts the passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from testudo.attacks.objective import Objective
from testudo.models.fast import Fast
from testudo.models.pyramid import apart, maps
from testudo.tasks.soft import hard
from testudo.tasks.task import Task
from testudo.tensors import working_precision

Weigh = Callable[[Tensor, Tensor | None], Tensor]  # losses (M, K) and a Gramian (M, K, K) or none -> weights (M, K)


class Answer(NamedTuple):
    """The model's word on M images, averaged over the samples of a randomised model.

    Attributes:
        raised: (M, K) what a search climbs.
        told: (M, K) what it is judged by: the same, but for searches that aim at a wrong answer.
        beaten: (M,) whether every task under attack is; of a randomised model, in most samples.
        shared: where the tasks' gradients are compared: the images, or the feature maps of each sample.
    """

    raised: Tensor
    told: Tensor
    beaten: Tensor
    shared: list[Tensor]


@dataclass(eq=False)
class Oracle:
    """The model and the tasks of it that are attacked.

    Args:
        model: the frozen copy.
        objective: what is raised.
        tasks: those under attack.
        samples: how often a randomised model is asked.

    Attributes:
        asked, sloped: images that went forward, and images that gradients were taken to.
    """

    model: Fast
    objective: Objective
    tasks: dict[str, Task]
    samples: int = 1
    asked: int = field(default=0, init=False)
    sloped: int = field(default=0, init=False)

    def ask(self, images: Tensor, targets: Mapping[str, Tensor], aims: Mapping[str, Tensor] | None = None) -> Answer:
        """One forward pass (of each sample) in the precision of the search."""
        parts = [self._sample(images, targets, aims) for _ in range(self.samples)]
        if len(parts) == 1:
            return parts[0]
        raised, told, beaten, shared = zip(*parts, strict=True)
        share = torch.stack([one.float() for one in beaten]).mean(0)
        return Answer(
            torch.stack(raised).mean(0), torch.stack(told).mean(0), share > 0.5, [t for s in shared for t in s]
        )

    def exact(self, images: Tensor, targets: Mapping[str, Tensor]) -> Answer:
        """The same in the model's full precision, without gradients or aims."""
        with torch.no_grad():
            parts = []
            for _ in range(self.samples):
                self.asked += len(images)
                parts.append(self._answer(self.model.exact(images, tuple(self.tasks)), targets, None, []))
        raised, _, beaten, _ = zip(*parts, strict=True)
        losses = torch.stack(raised).mean(0)
        return Answer(losses, losses, torch.stack([one.float() for one in beaten]).mean(0) > 0.5, [])

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Bare predictions, in the precision of the search."""
        self.asked += len(images)
        return self.model(images, tuple(self.tasks))

    def boundary(
        self, images: Tensor, targets: Mapping[str, Tensor], aims: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """How far each wrong class is ahead of the label's, (M, T), and its slopes, (M, T, C, H, W).

        Of the one classification task under attack; T counts its wrong classes, or is 1 for those aimed at. One
        forward and T backward passes. An example without a label is taken to have class 0.
        """
        (name,) = self.tasks
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            logits = torch.stack([working_precision(self.outputs(leaf)[name]) for _ in range(self.samples)]).mean(0)
            label = hard(targets[name]).clamp(min=0)[:, None]
            if aims is None:
                classes = torch.arange(logits.shape[1], device=logits.device).expand_as(logits)
                wrong = classes[classes != label].reshape(len(logits), -1)
            else:
                wrong = aims[name].clamp(min=0)[:, None]
            values = logits.gather(1, wrong) - logits.gather(1, label)
            last = values.shape[1] - 1
            slopes = [self.slope(v.sum(), [leaf], keep=k < last)[0] for k, v in enumerate(values.unbind(1))]
        return values.detach(), torch.stack(slopes, 1)

    def climb(self, leaf: Tensor, answer: Answer, weigh: Weigh) -> Tensor:
        """The gradient of the balanced losses to the images ``leaf``, which ``answer`` was given to."""
        if self.objective.balance.needs != "gramian":
            return self.slope((weigh(answer.raised.detach(), None) * answer.raised).sum(), [leaf])[0]
        spent = self.sloped
        parts = [self.slope(loss.sum(), answer.shared, keep=True) for loss in answer.raised.unbind(1)]
        flat = [torch.stack([part.flatten(1).double() for part in each], 1) for each in zip(*parts, strict=True)]
        gramian = torch.stack([each @ each.mT for each in flat]).sum(0)
        weights = weigh(answer.raised.detach(), gramian).unbind(1)
        mixed = [
            sum(
                weight.reshape(-1, *[1] * (part.dim() - 1)).to(part) * part
                for weight, part in zip(weights, each, strict=True)
            )
            for each in zip(*parts, strict=True)
        ]
        if answer.shared[0] is leaf:
            return mixed[0]
        self.sloped = spent + len(leaf) * self.samples  # once through the encoder; heads alone do not count
        return _finite(torch.autograd.grad(answer.shared, leaf, mixed, materialize_grads=True)[0])

    def slope(self, total: Tensor, leaves: list[Tensor], keep: bool = False) -> list[Tensor]:
        """Gradients of one number to ``leaves``, zero where it does not depend on them or is not finite."""
        self.sloped += len(leaves[0]) * self.samples
        if not total.requires_grad:  # a model whose output ignores its input
            return [torch.zeros_like(leaf) for leaf in leaves]
        found = torch.autograd.grad(total, leaves, retain_graph=keep, materialize_grads=True)
        return [_finite(gradient) for gradient in found]

    def _sample(self, images: Tensor, targets: Mapping[str, Tensor], aims: Mapping[str, Tensor] | None) -> Answer:
        balance = self.objective.balance
        if balance.needs == "gramian" and getattr(balance, "gradients", "exact") == "features":
            self.asked += len(images)
            features = apart(self.model.features(images))
            outputs = self.model.decode(features, tuple(self.tasks), images.shape[-2:])
            return self._answer(outputs, targets, aims, list(maps(features)))
        return self._answer(self.outputs(images), targets, aims, [images])

    def _answer(
        self,
        outputs: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        aims: Mapping[str, Tensor] | None,
        shared: list[Tensor],
    ) -> Answer:
        raised = self.objective.losses(self.tasks, outputs, targets, aims)
        with torch.no_grad():
            told = raised.detach() if aims is None else self.objective.losses(self.tasks, outputs, targets)
            beaten = self.objective.beaten(self.tasks, outputs, targets)
        return Answer(raised, told, beaten, shared)


def _finite(gradient: Tensor) -> Tensor:
    return gradient.nan_to_num(0.0, 0.0, 0.0)  # not in place: it may be an expanded tensor
