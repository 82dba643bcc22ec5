"""A run's dense predictions against the best constant one: ``python -m benchmarks.constant RUN``.

The constant is learnt from the training split: the class with the most pixels, the median depth, the mean normal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from testudo.data.dataset import Examples
from testudo.run import Run
from testudo.tasks.dense import DenseTask
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation


def constant(task: DenseTask, targets: Tensor) -> Tensor:
    """(C, 1, 1) the prediction that suits all labels of the training split best."""
    if isinstance(task, Segmentation):
        counts = targets[task.known(targets)].long().bincount(minlength=task.classes)
        return F.one_hot(counts.argmax(), task.classes).float()[:, None, None]
    pixels = targets.float().transpose(0, 1).flatten(1)
    pixels = pixels[:, ~pixels.isnan().any(0)]
    middle = pixels.mean(1) if isinstance(task, Normals) else pixels.median(1).values
    return middle[:, None, None]


def main(run: Run) -> None:
    """Print a line for each dense task."""
    data, model = run.recipe.data, run.model()
    train, test = data.load("train"), data.load("test")
    for name, task in model.tasks.items():
        if not isinstance(task, DenseTask):
            continue
        flat = constant(task, train.targets[name])
        told = [_metric(task, test, lambda images, flat=flat: flat.expand(len(images), -1, *images.shape[2:]))]
        told.append(_metric(task, test, lambda images, name=name: model(images, (name,))[name]))
        print(f"{name}: {task.metric_name} {told[0]:.4g} constant, {told[1]:.4g} the run; n = {len(test)}")


def _metric(task: DenseTask, test: Examples, predict: Callable[[Tensor], Tensor]) -> float:
    metric = task.metric()
    with torch.no_grad():
        for part in torch.arange(len(test)).split(16):
            batch = test.batch(part)
            metric.update(predict(batch.images), batch.targets[task.name])
    return float(metric.compute())


if __name__ == "__main__":
    main(Run(Path(sys.argv[1])))
