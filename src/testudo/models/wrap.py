"""A user's own torch module seen as a multi-task model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.models.multitask import by_name, chosen
from testudo.models.normalise import Normalise
from testudo.tasks.task import Task
from testudo.tensors import working_precision


class Wrapped(Model):
    """Holds a module, normalises its input, and names its outputs by task; see :func:`wrap`."""

    bodies: ClassVar[tuple[str, ...]] = ("module",)  # what a fast copy may rewrite and run in lower precision

    def __init__(self, module: nn.Module, tasks: Sequence[Task], normalise: Normalise | None) -> None:
        super().__init__()
        self.tasks = by_name(tasks)
        self.normalise = normalise
        self.module = module

    def forward(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Outputs of the named tasks, all by default, in float32 or wider.

        Raises:
            TestudoError: a task the model lacks, or a module that returned something else than its tasks ask for.
        """
        names = chosen(self.tasks, tasks)
        inputs = images if self.normalise is None else self.normalise(images)
        outputs = _by_task(self.module(inputs), list(self.tasks))
        return {name: _checked(outputs[name], self.tasks[name], len(images)) for name in names}


def wrap(
    module: nn.Module,
    tasks: Sequence[Task],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Wrapped:
    """See ``module`` as a multi-task model; it is held, not copied, and not changed.

    Args:
        module: takes images (N, C, H, W) and returns a tensor (one task), a tuple or list (in the order of
            ``tasks``), a dict by task name, or an object whose ``.logits`` is one of these, as hub models do.
        tasks: what it predicts.
        mean: subtracted from the images, one number per channel; nothing by default.
        std: what they are divided by after that.

    Raises:
        TestudoError: one of mean and std without the other, or tasks of the same name.

    >>> import torch
    >>> from testudo.tasks.classification import Classification
    >>> model = wrap(nn.Flatten(), [Classification("digit", classes=4)])
    >>> model(torch.zeros(2, 1, 2, 2))["digit"].shape
    torch.Size([2, 4])
    """
    if (mean is None) != (std is None):
        raise TestudoError("mean and std go together: give both, or neither")
    normalise = None if mean is None or std is None else Normalise(mean, std)
    return Wrapped(module, tasks, normalise)


def _by_task(found: Any, names: list[str]) -> dict[str, Any]:
    """What a module returned, by task name; the first form that fits, ``.logits`` before all others."""
    logits = getattr(found, "logits", None)
    if logits is not None:
        return _by_task(logits, names)
    if isinstance(found, Mapping):
        missing = [name for name in names if name not in found]
        if missing:
            keys = ", ".join(map(str, found)) or "none"
            raise TestudoError(f"the module's outputs lack task {missing[0]!r} (it returned: {keys})")
        return dict(found)
    outputs = found if isinstance(found, (tuple, list)) else [found]
    if len(outputs) != len(names):
        counts = f"{len(outputs)} output(s) for {len(names)} task(s)"
        raise TestudoError(f"the module returned {counts}: {', '.join(names)}")
    return dict(zip(names, outputs, strict=True))


def _checked(output: Any, task: Task, images: int) -> Tensor:
    """``output`` as a float tensor (N, channels, ...), or a one-line error that says what came."""
    if not isinstance(output, Tensor) or not output.is_floating_point():
        came = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise TestudoError(f"task {task.name!r}: the module must return a tensor of floats, got {came}")
    if output.dim() == 1 and task.channels == 1 and not task.dense:
        output = output[:, None]
    rank = 4 if task.dense else 2
    if output.dim() != rank or output.shape[:2] != (images, task.channels):
        wanted = f"({images}, {task.channels}{', H, W' if task.dense else ''})"
        raise TestudoError(f"task {task.name!r}: the module must return {wanted}, got {tuple(output.shape)}")
    return working_precision(output)
