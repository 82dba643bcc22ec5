"""Does a model resist better where more of its output is attacked at once: one pixel, many, all.

Shapes: N examples of P = H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.balance.fixed import Equal
from testudo.data.batch import Batch
from testudo.errors import TestudoError, unknown
from testudo.evaluation.evaluate import Data, Evaluation
from testudo.evaluation.metrics import named
from testudo.evaluation.theory.gradients import EXACT, slope
from testudo.models.fast import Fast
from testudo.models.model import Model
from testudo.tasks.dense import DenseTask
from testudo.tensors import norms, uniform

OUTPUT_DIMENSION = pl.Schema({
    "dimension": pl.Int64, "measure": pl.String, "attack": pl.String, "example": pl.Int64, "value": pl.Float64,
})  # fmt: skip
MEAN, SUM, PIXELS, CLEAN = "norm of mean", "norm of sum", "pixels", "clean"
_STREAM = 11  # of the draws that pick pixels
_ACCURACY = "pixel_accuracy"


@dataclass(frozen=True)
class OutputDimension:
    """Random output pixels of a dense task, from 1 to all: gradient norm, and scores when those alone are attacked.

    For every example, number of pixels d and draw, the labels of all other pixels are marked unknown, so that
    loss, attack and score are about the d chosen ones. Values are averaged over the draws. One draw ranks the known
    pixels at random, by the example's id, and the d first are chosen, so that more pixels include the fewer. An
    example with fewer than d known pixels gives all it has; unknown ones are never chosen.

    * ``"norm of mean"``: |d_x (mean loss over the d pixels)|_2, what Figure 4a shows. The 1/d in it makes it fall even
      where every pixel is as easily attacked as before: as d^-1/2 for independent gradients.
    * ``"norm of sum"``: d times that, for the summed loss, where nothing falls by itself: it grows as d^1/2 for
      independent gradients, as d for equal ones, and only gradients that cancel make it fall.
    * ``"pixels"``: how many were chosen.
    * the metric, under ``"clean"`` and each attack: of a segmentation the share of the d pixels told right
      (``"pixel_accuracy"``, Figure 4b), else the task's primary metric over them.

    Source: Mao et al., *Multitask Learning Strengthens Adversarial Robustness* (ECCV 2020), section 5.3, Figure 4.

    Args:
        task: a dense task; may be left out of a model that has one.
        dimensions: numbers of pixels; by default from 1 to all in ``points`` steps of equal ratio. All that exceed the
            image count as all, of which there is one draw.
        points: see above.
        draws: of each number of pixels.
        seed: of the draws.

    Raises:
        TestudoError: counts below 1.

    >>> OutputDimension("rooms").numbers(100), OutputDimension(dimensions=(1, 5, 900)).numbers(100)
    ((1, 2, 3, 5, 8, 13, 22, 36, 60, 100), (1, 5, 100))
    """

    task: str = ""
    dimensions: tuple[int, ...] = ()
    points: int = 10
    draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.points, self.draws, *self.dimensions) < 1:
            raise TestudoError(
                f"dimensions, points and draws must be at least 1, got {self.dimensions}, {self.points}, {self.draws}"
            )

    def numbers(self, pixels: int) -> tuple[int, ...]:
        """Numbers of pixels to choose, of images with ``pixels``."""
        given = self.dimensions or np.geomspace(1, pixels, self.points).round().astype(int).tolist()
        return tuple(sorted({min(number, pixels) for number in given}))

    def __call__(
        self, model: Model, data: Data, attacks: Mapping[str, Attack] | None = None, how: Evaluation = EXACT
    ) -> pl.DataFrame:
        """Measure.

        Of every batch it takes one forward pass, a backward pass for each draw of each number of pixels, and as many
        searches for every attack, so a few dozen images are a good number.

        Args:
            model: a multi-task or wrapped model.
            data: a batch, a loaded split, or batches.
            attacks: by name, FGSM and PGD in the paper; each goes for this task alone, and starts anew in each draw.
            how: batch size, precision, device.

        Returns:
            The columns of :data:`OUTPUT_DIMENSION`, of the examples with a known pixel; ``attack`` is empty for what is
            measured without. Means over examples with intervals: :func:`testudo.evaluation.theory.means.averaged`.

        Raises:
            TestudoError: a task that the model lacks or that has no pixels, or an attack called ``"clean"``.
        """
        target, attacks = how.target(model), dict(attacks or {})
        if CLEAN in attacks or "" in attacks:
            raise TestudoError(f"an attack cannot be called {CLEAN!r} or nothing here")
        parts = [pl.DataFrame(schema=OUTPUT_DIMENSION)]
        for batch in how.placed(target, data):
            task = self._task(target, batch)
            batch = batch[task.valid(batch.targets[task.name])]
            if len(batch):
                parts.append(_rows(batch.ids, self._measured(target, task, batch, attacks)))
        return pl.concat(parts)

    def chosen(self, known: Tensor, ids: Tensor, draw: int) -> Tensor:
        """The order (N, H, W) in which a draw takes the known pixels of each example, from 0; P for unknown ones."""
        flat = known.flatten(1)
        place = uniform(ids, (flat.shape[1],), _STREAM, self.seed, draw)
        order = torch.where(flat, place, 2).argsort(dim=1, stable=True).argsort(1)
        return torch.where(flat, order, flat.shape[1]).reshape(known.shape)

    def _task(self, target: Fast, batch: Batch) -> DenseTask:
        dense = {name: task for name, task in target.tasks.items() if isinstance(task, DenseTask)}
        if not self.task and len(dense) != 1:
            raise TestudoError(f"say which dense task is meant (the model has: {', '.join(dense) or 'none'})")
        name = self.task or next(iter(dense))
        if name not in dense:
            raise unknown("dense task", name, dense)
        Objective((name,)).attacked(target.tasks, batch.targets)
        dense[name].check(batch.targets[name])
        return dense[name]

    def _measured(
        self, target: Fast, task: DenseTask, batch: Batch, attacks: Mapping[str, Attack]
    ) -> dict[tuple[int, str, str], Tensor]:
        """(N,) float64, averaged over draws, by number of pixels, measure and attack."""
        sums: dict[tuple[int, str, str], Tensor] = {}
        leaf = batch.images.detach().requires_grad_()
        with torch.enable_grad():
            output = target(leaf, (task.name,))[task.name]
        with torch.no_grad():
            clean = target.exact(batch.images, (task.name,))[task.name]
        for number, draw, share, part in self._plan(task, batch):
            labels = part.targets[task.name]
            with torch.enable_grad():
                size = norms(slope(task.loss(output, labels).sum(), leaf, keep=True), 2).double()
            pixels = task.known(labels).flatten(1).sum(1).double()
            found = {(MEAN, ""): size, (SUM, ""): size * pixels, (PIXELS, ""): pixels}
            metric, found[metric, CLEAN] = _score(task, clean, labels)
            for name, attack in attacks.items():
                how = replace(attack.objective, tasks=(task.name,), balance=Equal())
                hit = replace(attack, objective=how, seed=attack.seed + draw)(target, part)
                with torch.no_grad():
                    said = target.exact(hit.images, (task.name,))[task.name]
                _, found[metric, name] = _score(task, said, labels)
            for key, values in found.items():
                whole = number, *key
                sums[whole] = sums.get(whole, 0) + share * values.cpu()
        return sums

    def _plan(self, task: DenseTask, batch: Batch) -> Iterator[tuple[int, int, float, Batch]]:
        """Number of pixels, draw, one over the number of draws, and the batch with the other labels unknown."""
        labels = batch.targets[task.name]
        known = task.known(labels)
        pixels = known[0].numel()
        for draw in range(self.draws):
            order = self.chosen(known, batch.ids, draw)
            for number in self.numbers(pixels):
                draws = 1 if number == pixels else self.draws  # of all pixels every draw is the same
                if draw < draws:
                    kept = order < number
                    kept = kept.unsqueeze(1) if labels.dim() == 4 else kept
                    marked = torch.where(kept, labels, task.unknown(labels))
                    yield number, draw, 1 / draws, Batch(batch.images, {task.name: marked}, batch.ids)


def _score(task: DenseTask, output: Tensor, labels: Tensor) -> tuple[str, Tensor]:
    """The name of what is told of the known pixels, and (N,) float64 of it for each example by itself."""
    name = _ACCURACY if _ACCURACY in task.further else task.metric_name
    records = task.record(output, labels).double().cpu().numpy()
    return name, torch.tensor([float(named(name).compute(row[None], None)) for row in records], dtype=torch.float64)


def _rows(ids: Tensor, found: Mapping[tuple[int, str, str], Tensor]) -> pl.DataFrame:
    parts = []
    for (number, measure, attack), values in found.items():
        told = {"example": ids.tolist(), "value": values.tolist()}
        facts = {"dimension": number, "measure": measure, "attack": attack}
        parts.append(pl.DataFrame(told).with_columns(**{k: pl.lit(v) for k, v in facts.items()}))
    whole = pl.concat([part.select(*OUTPUT_DIMENSION).cast(dict(OUTPUT_DIMENSION)) for part in parts])
    return whole.sort("dimension", maintain_order=True)
