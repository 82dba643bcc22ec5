"""What a trained model says of images that have no labels, as cells of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from testudo.data.images import Images
from testudo.models.fast import Fast
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression
from testudo.tasks.task import Task


class Answer(NamedTuple):
    """What is said of an image: a cell for each task, and how certain each is.

    Args:
        index: the image's place.
        cells: as a manifest reads them.
        certainty: see :func:`answers`.
    """

    index: int
    cells: list[str]
    certainty: list[float]


def tellable(tasks: Iterable[Task]) -> list[Task]:
    """Those whose labels fit into a cell: classes, several labels, one number."""
    kinds = Classification | MultiLabel
    return [task for task in tasks if isinstance(task, kinds) or (isinstance(task, Regression) and task.outputs == 1)]


def answers(model: Fast, tasks: list[Task], images: Images, part: Tensor) -> Iterator[Answer]:
    """What ``model`` says of the images at ``part``, in that order.

    Certain is it as the probability of the class it names; of several labels, as that of the least certain; of a
    number, which comes without any, 1.
    """
    place = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        outputs = model.exact(images.read(part).to(place), [task.name for task in tasks])
    cells = [_cells(task, outputs[task.name]) for task in tasks]
    certain = [_certainty(task, outputs[task.name]).tolist() for task in tasks]
    for row, index in enumerate(part.tolist()):
        yield Answer(index, [each[row] for each in cells], [each[row] for each in certain])


def _certainty(task: Task, prediction: Tensor) -> Tensor:
    """(N,) the probability of what is said."""
    if isinstance(task, Classification):
        return prediction.softmax(1).amax(1)
    if isinstance(task, MultiLabel):
        return prediction.abs().sigmoid().amin(1)
    return torch.ones(len(prediction))


def _cells(task: Task, prediction: Tensor) -> list[str]:
    """What is said, as cells that a manifest reads."""
    said = task.as_label(prediction)
    if isinstance(task, Classification):
        return [task.labels[number] if task.labels else str(number) for number in said.tolist()]
    if isinstance(task, MultiLabel):
        rows = ([n for n, flag in zip(task.labels, row, strict=True) if flag] for row in said.tolist())
        return ["|".join(names) or "|" for names in rows]
    return [f"{number:.7g}" for number in said.flatten().tolist()]
