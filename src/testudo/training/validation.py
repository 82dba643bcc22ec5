"""The score that chooses the best weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from testudo.attacks.base import Attack
from testudo.data.dataset import Examples
from testudo.data.loader import Loader
from testudo.models.model import Model
from testudo.processes import count, rank
from testudo.tasks.task import Task


@dataclass(frozen=True)
class Validation:
    """Every task's metric on a split, clean and under attack; ``"score"`` is the main (first) task's, rising.

    Of several processes each scores its part of every batch; torchmetrics joins them.

    Args:
        examples: the validation split.
        attack: what the score is taken under; None: the clean images.
        batch_size: examples at a time.
        tasks: names of the tasks that are scored, the main one first; none means all of the model.
    """

    examples: Examples
    attack: Attack | None
    batch_size: int
    tasks: tuple[str, ...] = ()

    def __call__(self, model: Model) -> dict[str, float]:
        """``{"task.clean": ..., "task.attacked": ..., "score": ...}``; the model keeps its mode."""
        was_training = model.training
        model.eval()
        try:
            scores = self._scores(model, None, "clean")
            if self.attack is not None:
                scores |= self._scores(model, self._aimed(self.attack), "attacked")
        finally:
            model.train(was_training)
        main = next(iter(self._scored(model).values()))
        value = scores[f"{main.name}.{'clean' if self.attack is None else 'attacked'}"]
        return {**scores, "score": value if main.higher_is_better else -value}

    def _scores(self, model: Model, attack: Attack | None, suffix: str) -> dict[str, float]:
        metrics = {name: task.metric() for name, task in self._scored(model).items()}
        place = next(model.parameters()).device
        for batch in Loader(self.examples, self.batch_size, share=(rank(), count()))():
            if not len(batch):
                continue
            batch = batch.to(place)
            images = batch.images if attack is None else attack.perturb(model, batch)
            with torch.no_grad():
                outputs = model(images, list(metrics))
            for name, metric in metrics.items():
                metric.update(outputs[name].cpu(), batch.targets[name].cpu())
        return {f"{name}.{suffix}": float(metric.compute()) for name, metric in metrics.items()}

    def _scored(self, model: Model) -> dict[str, Task]:
        return {name: model.tasks[name] for name in self.tasks or model.tasks}

    def _aimed(self, attack: Attack) -> Attack:
        """The attack on the scored tasks, where it names none."""
        objective = attack.objective
        return attack if objective.tasks else replace(attack, objective=replace(objective, tasks=self.tasks))
