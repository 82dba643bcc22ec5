"""Do auxiliary tasks harden a dense one? Alone against with one or two others, from one step to a hundred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Self

from testudo.attacks.base import Attack
from testudo.attacks.fgsm import FGSM
from testudo.attacks.houdini import Houdini
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.augment import Augment
from testudo.data.dataset import DataSet
from testudo.data.pixel_labels import ImageLabel
from testudo.data.scenes import Scenes
from testudo.errors import TestudoError, unknown
from testudo.models.unet import UNet
from testudo.reports.wording import listed, radius
from testudo.studies.dense import Dense
from testudo.studies.study import Study, Variant
from testudo.tasks.segmentation import Segmentation
from testudo.training.methods.standard import Standard

TASKS = ("segmentation", "depth", "image")


@dataclass(frozen=True)
class Auxiliaries(Dense):
    """A main task learnt alone, and with each choice of the other tasks, under attacks on it alone.

    Tables 1 and 2 of Mao et al. (2020) on other data and a small network: FGSM, PGD, MIM and, for classes, Houdini on
    the main task, and PGD on all tasks at once, within one Linf radius, in steps of 1/255, the main task weighing 1 and
    each auxiliary one ``auxiliary_weight``.
    Departures: MIM as its authors have it (Mao's code leaves out its normalisation), Houdini per pixel with the pixel's
    error as the task loss, and each attack keeps the worst image it met.

    Args:
        seeds, data, tasks, model, epochs, batch_size, lr, augment: see :class:`~testudo.studies.dense.Dense`.
        mains: the main tasks, each a study of its own on the same page.
        eps: the Linf radius.
        steps: of PGD, rising; MIM and Houdini take the last.
        auxiliary_weight: lambda.
    """

    data: DataSet = Scenes(size=(48, 64), wanted=TASKS)
    tasks: tuple[str, ...] = TASKS
    mains: tuple[str, ...] = ("segmentation", "depth")
    eps: float = 4 / 255
    steps: tuple[int, ...] = (10, 20, 50, 100)
    auxiliary_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.eps > 0 or not self.steps or list(self.steps) != sorted(self.steps) or self.steps[0] < 1:
            raise TestudoError(f"eps must be above 0 and steps rising from 1, got {self.eps} and {self.steps}")
        if not self.mains:
            raise TestudoError("mains must name at least one task")
        for name in self.mains:
            if name not in self.tasks:
                raise unknown("main task", name, self.tasks)

    @classmethod
    def on(cls, data: DataSet) -> Self:
        """Rooms as by default; other images with themselves as a task, a wider network, crops and flips."""
        if isinstance(data, Scenes):
            return cls(data=replace(data, wanted=TASKS))
        own = replace(data, derived=(*data.derived, ImageLabel("image")))
        return cls(data=own, model=UNet(width=32), epochs=40, augment=Augment(crop=8, flip=True))

    @property
    def also(self) -> Mapping[str, Study]:
        """The same for each further main task."""
        return {name: replace(self, mains=(name,)) for name in self.mains[1:]}

    @property
    def main(self) -> str:
        """The main task of the runs of its own."""
        return self.mains[0]

    @property
    def title(self) -> str:
        """The page's heading."""
        return f"Do auxiliary tasks harden {self.main!r}?"

    @property
    def intro(self) -> Sequence[str]:
        """What is asked, and how."""
        others = listed(name for name in self.tasks if name != self.main)
        return (
            f"A network learns {self.main!r} alone, and with each choice of {others}, which weigh "
            f"{self.auxiliary_weight:g} each. It is attacked on {self.main!r} alone, and with PGD-{self.steps[0]} on "
            f"all that it learnt, within Linf radius {radius(self.eps)} (pixels in [0, 1]), in steps of 1/255.",
            "Nothing is trained against attacks here, and the network is small. A difference between two networks "
            "may come from their seeds: the intervals tell of other test images only.",
        )

    def variants(self) -> tuple[Variant, ...]:
        """The main task alone, then with each choice of the others."""
        others = [name for name in self.tasks if name != self.main]
        choices = [chosen for count in range(len(others) + 1) for chosen in combinations(others, count)]
        alone = f"{self.main} alone"
        return tuple(self._variant(chosen, f"with {listed(chosen)}" if chosen else alone, alone) for chosen in choices)

    def gallery(self, variant: Variant) -> tuple[str, ...]:
        """The longest PGD."""
        return (_name("pgd", self.steps[-1]),)

    def _variant(self, others: tuple[str, ...], name: str, alone: str) -> Variant:
        method = Standard(weights=dict.fromkeys(others, self.auxiliary_weight))
        made = self.recipe((self.main, *others), method, self._suite())
        return Variant(name, made, self.trained, alone if others else None)

    def _suite(self) -> dict[str, Attack]:
        """On the main task; and once on every task at once, equally, which is Table 1's attack."""
        ball, main, last = Linf(self.eps), Objective((self.main,)), self.steps[-1]
        suite: dict[str, Attack] = {"fgsm": FGSM(ball, main)}
        suite |= {_name("pgd", steps): PGD(ball, main, steps=steps, step=1 / 255) for steps in self.steps}
        suite[_name("mim", last)] = MIM(ball, main, steps=last, step=1 / 255)
        task = next(task for task in self.data.tasks() if task.name == self.main)
        if isinstance(task, Segmentation):
            houdini = replace(main, surrogate=Houdini())
            suite[_name("houdini", last)] = PGD(ball, houdini, steps=last, step=1 / 255)
        suite[f"{_name('pgd', self.steps[0])} on all tasks"] = PGD(ball, steps=self.steps[0], step=1 / 255)
        return suite


def _name(family: str, steps: int) -> str:
    """What the rows call an attack on the main task."""
    return f"{family}{steps}"
