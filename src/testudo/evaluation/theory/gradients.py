"""The input gradient of every task's loss, for every example: what all of the theory is computed from.

Shapes: n examples, K tasks, D values of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from testudo.attacks.base import draws_of_its_own
from testudo.attacks.objective import Objective
from testudo.data.batch import Batch
from testudo.errors import TestudoError, unknown
from testudo.evaluation.evaluate import Data, Evaluation
from testudo.models.fast import Fast
from testudo.models.model import Model

EXACT = Evaluation(precision="float32")


@dataclass(frozen=True, eq=False)
class Gradients:
    """``r_i = d_x L_i(x, y_i)`` for n examples and K tasks.

    Args:
        names: the tasks.
        values: (n, K, ...), on the CPU, in float32 or wider.
        labelled: (n, K) bool; where False the example has no label for the task, and the gradient is 0.
        ids: (n,) the examples' ids.

    Raises:
        TestudoError: values of another shape.

    >>> made = Gradients(("a", "b"), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]]))
    >>> made.of("b").values, made.labelled
    (tensor([[[0., 1.]]]), tensor([[True, True]]))
    """

    names: tuple[str, ...]
    values: Tensor
    labelled: Tensor = cast(Tensor, None)  # filled in below where it is not given
    ids: Tensor = cast(Tensor, None)

    def __post_init__(self) -> None:
        n, tasks = len(self.values), len(self.names)
        if self.values.dim() < 3 or self.values.shape[1] != tasks:
            shape = tuple(self.values.shape)
            raise TestudoError(f"gradients of {tasks} tasks must have shape (n, {tasks}, ...), got {shape}")
        if self.labelled is None:
            object.__setattr__(self, "labelled", torch.ones(n, tasks, dtype=torch.bool))
        if self.ids is None:
            object.__setattr__(self, "ids", torch.arange(n))

    def __len__(self) -> int:
        return len(self.values)

    def of(self, *names: str) -> Gradients:
        """The same of the named tasks alone; raises TestudoError for others."""
        at = self.places(names)
        return Gradients(names, self.values[:, at], self.labelled[:, at], self.ids)

    def places(self, names: Sequence[str]) -> list[int]:
        """Where the named tasks stand; raises TestudoError for others."""
        for name in names:
            if name not in self.names:
                raise unknown("task", name, self.names)
        return [self.names.index(name) for name in names]


def task_gradients(model: Model, data: Data, tasks: Sequence[str] = (), how: Evaluation = EXACT) -> Gradients:
    """The gradient of each task's own loss at each clean image.

    One forward pass and one backward pass per task for a batch, on the frozen copy; sums and norms for any set of tasks
    are then arithmetic on what came back. It keeps 4 n K D bytes.

    Args:
        model: a multi-task or wrapped model.
        data: a batch, a loaded split, or batches.
        tasks: which; by default all of the model's.
        how: batch size, precision, device; by default float32 (on CUDA torch may take convolutions in TF32).

    Raises:
        TestudoError: as for an attack on these tasks (:meth:`testudo.attacks.objective.Objective.attacked`), no
            examples, or a gradient that is not finite.

    >>> from testudo.models.wrap import wrap
    >>> from testudo.tasks.regression import Regression
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1))
    >>> _ = net[1].weight.data.fill_(0.5), net[1].bias.data.zero_()
    >>> batch = Batch(torch.rand(3, 1, 2, 2), {"size": torch.full((3, 1), 9.0)})
    >>> task_gradients(wrap(net, [Regression("size", outputs=1)]), batch).values.shape
    torch.Size([3, 1, 1, 2, 2])
    """
    target = how.target(model)
    parts: list[tuple[Tensor, ...]] = []
    names = tuple(tasks) or tuple(target.tasks)
    for batch in filter(len, how.placed(target, data)):
        found = batch_gradients(target, batch, names)
        parts.append((found.values.cpu(), found.labelled.cpu(), found.ids.cpu()))
    if not parts:
        raise TestudoError("there are no examples to take gradients at")
    return Gradients(names, *map(torch.cat, zip(*parts, strict=True)))


def batch_gradients(target: Fast, batch: Batch, names: Sequence[str]) -> Gradients:
    """The same of one batch, where the frozen copy is: one forward pass, one backward pass per task."""
    tasks = Objective(tuple(names)).attacked(target.tasks, batch.targets)
    for name, task in tasks.items():
        task.check(batch.targets[name])
    leaf = batch.images.detach().requires_grad_()
    found = []
    with draws_of_its_own(0, leaf.device), torch.enable_grad():
        outputs = target(leaf, names)
        for place, (name, task) in enumerate(tasks.items(), 1):
            loss = task.loss(outputs[name], batch.targets[name]).sum()
            found.append(slope(loss, leaf, keep=place < len(tasks)))
    for name, gradient in zip(tasks, found, strict=True):
        wrong = ~gradient.flatten(1).isfinite().all(1)
        if wrong.any():
            raise TestudoError(f"the gradient of task {name!r} is not finite at image {int(batch.ids[wrong][0])}")
    labelled = torch.stack([task.valid(batch.targets[name]) for name, task in tasks.items()], 1)
    return Gradients(tuple(tasks), torch.stack(found, 1), labelled, batch.ids)


def slope(total: Tensor, leaf: Tensor, keep: bool) -> Tensor:
    """The gradient of one number to ``leaf``, 0 where it does not depend on it; ``keep`` the graph for another."""
    if not total.requires_grad:  # a model whose output ignores its input
        return torch.zeros_like(leaf)
    return torch.autograd.grad(total, leaf, retain_graph=keep, materialize_grads=True)[0]
