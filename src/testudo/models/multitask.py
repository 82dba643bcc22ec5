"""The multi-task model: normalisation, one shared encoder, a decoder and a last layer per task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn

from testudo.errors import TestudoError, unknown
from testudo.models.decoders import enlarged
from testudo.models.heads import decoders_of, head_for
from testudo.models.model import Model
from testudo.models.normalise import Normalise
from testudo.models.pyramid import Features
from testudo.tasks.task import Task

Part = TypeVar("Part", bound=nn.Module)


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


def key_of(name: str) -> str:
    """Under what the parts of task ``name`` are kept: a bare name may clash with a method of ModuleDict ("items")."""
    return f"task_{name}"


OWN = ("heads.", f"decoders.{key_of('')}")  # where the names of weights begin that one task alone uses


class MultiTaskModel(Model):
    """Images in [0, 1] -> one prediction per task.

    Args:
        encoder: a built encoder: maps (N, C, H, W) to (N, features, h, w), or to several maps, that being the last.
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
        self.decoders = self._beside(decoders_of(encoder, seed))
        self.heads = nn.ModuleDict()
        for task in by_name(tasks).values():
            self.add_head(task)

    @property
    def bodies(self) -> tuple[str, ...]:
        """The paths of what a fast copy may rewrite and run in lower precision: all but the last layers."""
        return ("encoder", *_networks(self.decoders, "decoders"))

    def features(self, images: Tensor) -> Features:
        """The encoder's last map, (N, C, H, W) -> (N, features, h, w), or all maps of an encoder that keeps them."""
        return self.encoder(self.normalise(images))

    def forward(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Outputs of the named tasks, all by default; raises TestudoError for a task the model lacks."""
        names = chosen(self.tasks, tasks)
        return self.decode(self.features(images), names, images.shape[-2:])

    def decode(self, features: Features, tasks: Iterable[str], size: Sequence[int]) -> dict[str, Tensor]:
        """What the named tasks make of the features of images of height and width ``size``, and no other task."""
        return {name: self._output(name, features, size) for name in tasks}

    def add_head(self, task: Task, head: nn.Module | None = None) -> None:
        """Predict ``task`` too, with ``head`` (a map from the encoder's features to outputs) or the task's default one.

        A dense task's output of another height and width than the images' is enlarged to theirs, bilinearly.

        Raises:
            TestudoError: a task of that name is there already, or a dense task without a head.
        """
        if task.name in self.tasks:
            raise TestudoError(f"the model has a task {task.name!r} already; drop_head({task.name!r}) first")
        key = key_of(task.name)
        if head is None:
            decoder, head = head_for(task, self.encoder, self.decoders, self.seed)
            head = self._beside(head)
            if decoder is not None:
                self.decoders[key] = self._beside(decoder).train(self.training)
        self.heads[key] = head.train(self.training)
        self.tasks[task.name] = task

    def drop_head(self, name: str) -> None:
        """Forget task ``name``; the other outputs stay as they are, bit by bit.

        Raises:
            TestudoError: no such task.
        """
        chosen(self.tasks, [name])
        del self.heads[key_of(name)]
        if key_of(name) in self.decoders:
            del self.decoders[key_of(name)]
        del self.tasks[name]

    def _beside(self, part: Part) -> Part:
        """``part`` on the device and in the precision of the encoder."""
        place = next(self.encoder.parameters(), self.normalise.mean)
        return part.to(device=place.device, dtype=place.dtype)

    def _output(self, name: str, features: Features, size: Sequence[int]) -> Tensor:
        output = self.heads[key_of(name)](self.decoders(features, key_of(name)))
        if self.tasks[name].dense and output.shape[-2:] != tuple(size):
            output = enlarged(output, size)
        return output


def _networks(part: nn.Module, path: str) -> Iterator[str]:
    """The paths of the modules in ``part`` that have a forward of their own, looking into bare containers."""
    if not isinstance(part, (nn.ModuleDict, nn.ModuleList)):
        yield path
        return
    for name, child in part.named_children():
        yield from _networks(child, f"{path}.{name}")
