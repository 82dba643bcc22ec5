"""What studies of dense tasks have in common: a small network, trained on clean images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from testudo.attacks.base import Attack
from testudo.data.augment import Augment
from testudo.data.dataset import DataSet
from testudo.data.scenes import Scenes
from testudo.models.encoder import Encoder
from testudo.models.unet import UNet
from testudo.recipe import Recipe
from testudo.studies.study import OnData, tasks_of
from testudo.training.methods.base import Method
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer


@dataclass(frozen=True)
class Dense(OnData):
    """A study of dense tasks on one backbone.

    Args:
        seeds: see :class:`~testudo.studies.study.Study`.
        data: where images and labels come from.
        tasks: of the data's; none means all.
        model: the encoder.
        epochs, batch_size, lr, augment: of every training, which takes AdamW and a cosine.
    """

    seeds: tuple[int, ...] = (0,)
    data: DataSet = Scenes(size=(48, 64))
    tasks: tuple[str, ...] = ()
    model: Encoder = UNet(width=16)
    epochs: int = 20
    batch_size: int = 16
    lr: float = 2e-3
    augment: Augment = Augment()

    shown: ClassVar[int] = 2

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks; raises TestudoError where the data lacks one."""
        return tasks_of(self.data, self.tasks)

    @property
    def trained(self) -> str:
        """How, in a few words."""
        return f"{self.epochs} epochs on clean images"

    def recipe(self, tasks: tuple[str, ...], method: Method, suite: dict[str, Attack]) -> Recipe:
        """The training of ``tasks`` together, and what it is attacked with."""
        return Recipe(
            name="+".join(tasks),
            data=self.data,
            model=self.model,
            method=method,
            tasks=tasks,
            trainer=Trainer(
                epochs=self.epochs,
                batch_size=self.batch_size,
                optimiser=Optimiser(algorithm="adamw", lr=self.lr, weight_decay=1e-2),
                schedule=Schedule("cosine", warmup=0.05),
                augment=self.augment,
                validate_every=max(1, self.epochs // 5),
            ),
            suite=suite,
        )
