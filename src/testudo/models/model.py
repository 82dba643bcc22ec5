"""The seam every model has: tasks by name, images in, a prediction per task out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from testudo.tasks.task import Task


class Model(nn.Module):
    """A torch module that knows its tasks.

    ``model(images, tasks=None)`` maps (N, C, H, W) images in [0, 1] to ``{task name: prediction}`` for the
    named tasks, all by default.

    Attributes:
        tasks: what is predicted, by name.
    """

    tasks: dict[str, Task]
    __call__: Callable[..., dict[str, Tensor]]

    def forward(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Predictions by task name."""
        raise NotImplementedError
