"""The score that chooses the best weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from testudo.attacks.base import Attack
from testudo.data.dataset import Examples
from testudo.data.loader import Loader
from testudo.models.model import Model


@dataclass(frozen=True)
class Validation:
    """Every task's metric on a split, clean and under attack; ``"score"`` is the main (first) task's, rising.

    Args:
        examples: the validation split.
        attack: what the score is taken under; None: the clean images.
        batch_size: examples at a time.
    """

    examples: Examples
    attack: Attack | None
    batch_size: int

    def __call__(self, model: Model) -> dict[str, float]:
        """``{"task.clean": ..., "task.attacked": ..., "score": ...}``; the model keeps its mode."""
        was_training = model.training
        model.eval()
        try:
            scores = self._scores(model, None, "clean")
            if self.attack is not None:
                scores |= self._scores(model, self.attack, "attacked")
        finally:
            model.train(was_training)
        main = next(iter(model.tasks.values()))
        value = scores[f"{main.name}.{'clean' if self.attack is None else 'attacked'}"]
        return {**scores, "score": value if main.higher_is_better else -value}

    def _scores(self, model: Model, attack: Attack | None, suffix: str) -> dict[str, float]:
        metrics = {name: task.metric() for name, task in model.tasks.items()}
        place = next(model.parameters()).device
        for batch in Loader(self.examples, self.batch_size)():
            batch = batch.to(place)
            images = batch.images if attack is None else attack.perturb(model, batch)
            with torch.no_grad():
                outputs = model(images)
            for name, metric in metrics.items():
                metric.update(outputs[name].cpu(), batch.targets[name].cpu())
        return {f"{name}.{suffix}": float(metric.compute()) for name, metric in metrics.items()}
