"""A quickly made twin: a small network that learns the answers of a model, and nothing else of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from testudo.data.splits import generator
from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.models.fast import Fast
from testudo.models.model import Model
from testudo.models.wrap import Wrapped, wrap
from testudo.tasks.task import Task
from testudo.tensors import uniform

SIDE, WIDTH = 32, 16  # larger images are averaged down; channels
STEPS, BATCH, RATE, NOISE = 400, 64, 2e-3, 0.1  # of its training; noise on the images, in pixel units


def substitute(model: Model, images: Tensor, tasks: Sequence[str], seed: int = 0) -> Wrapped:
    """A twin of ``model`` in some tasks, trained in seconds on the model's own answers to ``images`` with noise.

    No defence is copied, only what is said: the substitute of a black box (Papernot et al. 2017, "Practical Black-Box
    Attacks against Machine Learning"; the noise stands in for their augmentation).

    Args:
        model: asked for answers alone.
        images: (N, C, H, W), best training images; some hundreds at least.
        tasks: in which it is to be a twin; no dense ones.
        seed: of its weights and the order of the images.

    Raises:
        TestudoError: no task or a dense one, or no images.
    """
    learnt = [model.tasks[name] for name in tasks]
    if not learnt or any(task.dense for task in learnt):
        raise TestudoError(f"a substitute is for tasks that are not dense, got {', '.join(tasks) or 'none'}")
    if len(images) == 0:
        raise TestudoError("a substitute needs images to learn from, got none")
    answers = [_asked(model, part, learnt) for part in images.split(BATCH)]
    labels = {task.name: torch.cat([each[task.name] for each in answers]) for task in learnt}
    with seeded(seed):
        twin = wrap(_Network(images.shape[1], {task.name: task.channels for task in learnt}), learnt)
    with torch.enable_grad():
        _train(twin, images, labels, seed)
    return twin.eval()


def _train(twin: Wrapped, images: Tensor, labels: dict[str, Tensor], seed: int) -> None:
    optimiser, order = torch.optim.Adam(twin.parameters(), RATE), generator(seed, STEPS)
    for step in range(STEPS):
        chosen = torch.randint(len(images), (min(BATCH, len(images)),), generator=order)
        noise = NOISE * (2 * uniform(chosen, tuple(images.shape[1:]), seed, step) - 1)
        said = twin((images[chosen] + noise.to(images)).clamp(0, 1))
        optimiser.zero_grad()
        losses = [task.loss(said[name], labels[name][chosen]).mean() for name, task in twin.tasks.items()]
        torch.stack(losses).sum().backward()
        optimiser.step()


def _asked(model: Model, images: Tensor, tasks: Sequence[Task]) -> dict[str, Tensor]:
    place = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        said = (model.exact if isinstance(model, Fast) else model)(images.to(place), [task.name for task in tasks])
    return {task.name: task.as_label(said[task.name]).cpu() for task in tasks}


class _Network(nn.Module):
    """Three convolutions, a linear layer, and a linear head for each task; images of any size."""

    def __init__(self, channels: int, outputs: dict[str, int]) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            *(_Smaller(), nn.Conv2d(channels, WIDTH, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1, stride=2), nn.ReLU()),
            *(nn.Conv2d(2 * WIDTH, 2 * WIDTH, 3, padding=1), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * WIDTH, 64), nn.ReLU()),
        )
        self.heads = nn.ModuleDict({name: nn.Linear(64, count) for name, count in outputs.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """By task name."""
        features = self.shared(images)
        return {name: head(features) for name, head in self.heads.items()}


class _Smaller(nn.Module):
    """Averages images down to SIDE pixels, where they are larger."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, min(H, SIDE), min(W, SIDE))."""
        height, width = images.shape[-2:]
        return nn.functional.adaptive_avg_pool2d(images, (min(height, SIDE), min(width, SIDE)))
