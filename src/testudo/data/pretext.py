"""Self-supervised tasks: images changed in a known way, and what was done to them as the label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from testudo.data.batch import Batch
from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task
from testudo.tensors import per_example, rekey

Sees = Literal["transformed", "original"]
CHANGED, VIEW = 1, 2  # streams that give the changed image, and each further view of it, an id of its own


@dataclass(frozen=True)
class Pretext(ABC):
    """A task whose labels are made, not given: used in training alone, its head dropped at the end.

    A subclass keeps nothing on itself, and what it draws is a function of an example's id and place alone.
    """

    @property
    @abstractmethod
    def task(self) -> Task:
        """What is predicted."""

    @abstractmethod
    def pose(self, images: Tensor, ids: Tensor, places: Tensor, beats: Tensor) -> tuple[Tensor, Tensor]:
        """Changed images and their labels.

        Args:
            images: (N, C, H, W) in [0, 1].
            ids: (N,) keys for random draws: other ones in every epoch.
            places: (N,) where each image stands in the step's whole batch, whichever process holds it: all different.
            beats: (N,) the same, slowed down by the pretexts before: ``beats % L`` are labels that are balanced, with
                those of the others too.

        Returns:
            (V N, C, H, W), with view v of image i in row v N + i, and (V N, ...) labels; V is ``views``.

        Raises:
            TestudoError: images of this size cannot be changed so.
        """

    @property
    def views(self) -> int:
        """How many images it makes of one."""
        return 1

    @property
    def spread(self) -> int:
        """How many neighbours have labels of their own; those of the next pretext change as slowly."""
        return 1

    def facts(self) -> dict[str, Any]:
        """What a run must keep beside the recipe to make the same labels again; plain values."""
        return {}


def check_pretexts(pretexts: Sequence[Pretext], tasks: Sequence[Task], sees: Sees) -> None:
    """Raise TestudoError where ``pretexts`` cannot be learnt beside ``tasks``."""
    if sees not in ("transformed", "original"):
        raise unknown("main_sees", sees, ("transformed", "original"))
    names = [task.name for task in tasks] + [pretext.task.name for pretext in pretexts]
    for name in names:
        if names.count(name) > 1:
            raise TestudoError(f"two tasks of the run are called {name!r}; give the pretext another name")
    for task in tasks if pretexts and sees == "transformed" else ():
        if task.dense and not task.is_image:
            raise TestudoError(
                f"task {task.name!r} is dense, and its labels do not turn with the image; use main_sees = 'original'"
            )


def posed(batch: Batch, pretexts: Sequence[Pretext], tasks: Sequence[Task], sees: Sees, places: Tensor) -> Batch:
    """The images that a step learns from, with the labels of ``pretexts`` beside those of ``tasks``.

    ``"transformed"``: one after the other the pretexts change the images, and every task sees the result (GAT's
    algorithm: jigsaw, then rotation). ``"original"``: the images come as they are, without labels for the pretexts,
    and after them the changed ones, of which the other tasks' labels are unknown. The target of a task that predicts
    the image is the changed image, whole: of its pixels none is unknown, unless all of them were.

    >>> posed(Batch(torch.rand(2, 1, 4, 4), {}), (), (), "original", torch.arange(2)).images.shape
    torch.Size([2, 1, 4, 4])
    """
    if not pretexts:
        return batch
    changed, places, slow = batch, places.to(batch.ids.device), 1
    for number, pretext in enumerate(pretexts):
        images, labels = pretext.pose(changed.images, changed.ids, places, places // slow)
        changed = _repeated(changed, pretext.views, number)
        targets = {**changed.targets, pretext.task.name: labels.to(images.device)}
        changed = Batch(images, {**targets, **_images_of(tasks, targets, images)}, changed.ids)
        places = torch.cat([places * pretext.views + view for view in range(pretext.views)])
        slow *= pretext.views * pretext.spread
    if sees == "transformed":
        return changed
    own = {pretext.task.name: pretext.task for pretext in pretexts}
    plain = {name: task.unknown(changed.targets[name][: len(batch)]) for name, task in own.items()}
    hidden = {task.name: task.unknown(changed.targets[task.name]) for task in tasks if task.name in changed.targets}
    first = replace(batch, targets={**batch.targets, **plain})
    second = Batch(changed.images, {**changed.targets, **hidden}, rekey(changed.ids, CHANGED))
    return Batch.cat([first, second])


def _repeated(batch: Batch, views: int, number: int) -> Batch:
    """``batch`` once for each view of pretext ``number``; to random draws a further one is another example."""
    further = [replace(batch, ids=rekey(batch.ids, VIEW, number, view)) for view in range(1, views)]
    return Batch.cat([batch, *further])


def _images_of(tasks: Sequence[Task], targets: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """The targets of tasks that predict the image itself, unknown where they were."""
    return {
        task.name: torch.where(per_example(task.valid(targets[task.name]), images), images, torch.nan)
        for task in tasks
        if task.is_image and task.name in targets
    }
