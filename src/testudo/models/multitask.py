"""The multi-task model: normalisation, one shared encoder, one head per task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from testudo.errors import TestudoError, unknown
from testudo.models.heads import head_for
from testudo.models.model import Model
from testudo.models.normalise import Normalise
from testudo.tasks.task import Task


def by_name(tasks: Sequence[Task]) -> dict[str, Task]:
    """The tasks by their names; raises TestudoError for none or a name taken twice."""
    named = {task.name: task for task in tasks}
    if not named or len(named) != len(tasks):
        given = ", ".join(task.name for task in tasks) or "none"
        raise TestudoError(f"a model needs tasks of different names, got {given}")
    return named


def chosen(tasks: Mapping[str, Task], names: Iterable[str] | None) -> list[str]:
    """The asked-for task names, every one by default; raises TestudoError for one the model lacks."""
    if names is None:
        return list(tasks)
    names = list(names)
    for name in names:
        if name not in tasks:
            raise unknown("task", name, tasks)
    return names


class MultiTaskModel(Model):
    """Images in [0, 1] -> one prediction per task.

    Args:
        encoder: a built encoder: maps (N, C, H, W) to (N, features, h, w), has the attribute ``features``.
        tasks: what is predicted.
        mean, std: normalisation, one number per channel.
        seed: of the heads' initial weights.

    >>> import torch
    >>> from testudo.models.resnet import ResNet18
    >>> from testudo.tasks.classification import Classification
    >>> model = MultiTaskModel(ResNet18(width=4).build(1), [Classification("digit", classes=10)], [0.5], [0.5])
    >>> model(torch.rand(2, 1, 8, 8))["digit"].shape
    torch.Size([2, 10])
    """

    body: ClassVar[str] = "encoder"  # what a fast copy may rewrite and run in lower precision

    def __init__(
        self,
        encoder: nn.Module,
        tasks: Sequence[Task],
        mean: Sequence[float],
        std: Sequence[float],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.tasks: dict[str, Task] = {}
        self.seed = seed
        self.normalise = Normalise(mean, std)
        channels = getattr(encoder, "channels", self.normalise.channels)
        if channels != self.normalise.channels:
            raise TestudoError(
                f"the encoder takes {channels} channels, mean and std hold {self.normalise.channels} numbers"
            )
        self.encoder = encoder
        self.heads = nn.ModuleDict()
        for task in by_name(tasks).values():
            self.add_head(task)

    def features(self, images: Tensor) -> Tensor:
        """The encoder's last map: (N, C, H, W) -> (N, features, h, w)."""
        return self.encoder(self.normalise(images))

    def forward(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Outputs of the named tasks, all by default; raises TestudoError for a task the model lacks."""
        names = chosen(self.tasks, tasks)
        return self.decode(self.features(images), names)

    def decode(self, features: Tensor, tasks: Iterable[str]) -> dict[str, Tensor]:
        """What the heads of the named tasks make of the encoder's last map."""
        return {name: self.heads[_key(name)](features) for name in tasks}

    def add_head(self, task: Task, head: nn.Module | None = None) -> None:
        """Predict ``task`` too, with ``head`` (a map from features to outputs) or the task's default one.

        Raises:
            TestudoError: a task of that name is there already, or a dense task without a head.
        """
        if task.name in self.tasks:
            raise TestudoError(f"the model has a task {task.name!r} already; drop_head({task.name!r}) first")
        if head is None:
            head = head_for(task, self.encoder, self.seed)
            place = next(self.encoder.parameters(), self.normalise.mean)
            head = head.to(device=place.device, dtype=place.dtype)
        self.heads[_key(task.name)] = head.train(self.training)
        self.tasks[task.name] = task

    def drop_head(self, name: str) -> None:
        """Forget task ``name``; the other outputs stay as they are, bit by bit.

        Raises:
            TestudoError: no such task.
        """
        chosen(self.tasks, [name])
        del self.heads[_key(name)]
        del self.tasks[name]


def _key(name: str) -> str:
    return f"task_{name}"  # a bare name may clash with a method of ModuleDict ("type", "items", ...)
