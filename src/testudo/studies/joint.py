"""Dense tasks on one backbone and each alone, under attacks on several at once: the dense half of the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.siege import Siege
from testudo.attacks.threat import L2, Linf, Threat
from testudo.balance.base import Balance
from testudo.balance.fixed import Equal
from testudo.balance.minmax import MinMax
from testudo.balance.normalised import Normalised
from testudo.balance.softmin import Softmin
from testudo.data.augment import Augment
from testudo.data.dataset import DataSet
from testudo.data.scenes import Scenes
from testudo.errors import TestudoError
from testudo.models.unet import UNet
from testudo.reports.wording import listed, radius
from testudo.studies.dense import Dense
from testudo.studies.study import Variant, attack_name, check_radii
from testudo.training.methods.standard import Standard

TOGETHER = "all tasks"
BALANCES: tuple[Balance, ...] = (Equal(), Normalised(), MinMax(scale="raw"), Softmin())


@dataclass(frozen=True)
class Joint(Dense):
    """Dense tasks learnt together and alone, under attacks on each and on all of them.

    The attacks are those of *Robust Multi-task Adversarial Attacks Using Min-max Optimization* (2025), Tables I and
    III: PGD-10 without a random start, steps of eps / 4 in Linf and of eps / 5 in L2, on all tasks with equal,
    normalised and min-max weights; with them softmin weights and our Siege at the same number of passes, and PGD on
    each task alone, which bounds what a joint attack can do to it. Each keeps the worst image it met, by its own
    objective. The page shows the middle radius in pictures.

    Args:
        seeds, data, tasks, model, epochs, batch_size, lr, augment: see :class:`~testudo.studies.dense.Dense`.
        linf, l2: radii, in [0, 1] pixel units, rising; ``l2`` may be empty.
        steps: of every attack.
        twins: train each task alone too, and attack it.
    """

    linf: tuple[float, ...] = (1 / 255, 2 / 255, 4 / 255)
    l2: tuple[float, ...] = ()
    steps: int = 10
    twins: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_radii("linf", self.linf)
        if self.l2:
            check_radii("l2", self.l2)

    @classmethod
    def on(cls, data: DataSet) -> Self:
        """Rooms as by default; other images with a network of twice the width, the paper's radii, crops and flips."""
        if isinstance(data, Scenes):
            return cls(data=data)
        return cls(
            data=data,
            model=UNet(width=32),
            linf=(1 / 255, 2 / 255, 4 / 255, 8 / 255),
            l2=(2.5, 5.0),
            twins=False,
            epochs=40,
            augment=Augment(crop=8, flip=True),
        )

    @property
    def title(self) -> str:
        """The page's heading."""
        return "Dense tasks: what does an attack on all of them do to each?"

    @property
    def intro(self) -> Sequence[str]:
        """What is asked, and how."""
        radii = ", ".join(radius(eps) for eps in self.linf)
        beside = f" and L2 radii {', '.join(radius(eps) for eps in self.l2)}" if self.l2 else ""
        alone = ", and each of them alone" if self.twins else ""
        return (
            f"A network learns {listed(self.names)} of one picture together{alone}. It is attacked in {self.steps} "
            f"steps within Linf radii {radii}{beside} (pixels in [0, 1]): on each task alone, and on all at once with "
            "equal weights, with each loss divided by its value on the clean image, with the min-max weights that go "
            "to the smallest loss, with softmin weights that go to the task whose loss has grown least, and by Siege, "
            "which takes those with long steps that shorten. All spend the same number of passes.",
            "Nothing is trained against attacks here, and the network is small: the numbers tell how the attacks "
            "differ, not how well a large model would do.",
        )

    def variants(self) -> tuple[Variant, ...]:
        """All tasks together, and each alone."""
        names = self.names
        if len(names) < 2:
            raise TestudoError(f"this study attacks several tasks at once and needs at least two, got {names[0]}")
        alone = [
            Variant(f"{name} alone", self.recipe((name,), Standard(), self._suite((name,))), self.trained, TOGETHER)
            for name in names * self.twins
        ]
        return (Variant(TOGETHER, self.recipe(names, Standard(), self._suite(names)), self.trained), *alone)

    def gallery(self, variant: Variant) -> tuple[str, ...]:
        """Of the model that does all tasks: PGD on all of them, at the middle Linf radius."""
        middle = Linf(self.linf[len(self.linf) // 2])
        names = [attack_name("pgd", middle, self.names, balance) for balance in BALANCES[:3]]
        return tuple(name for name in names if name in variant.recipe.suite)

    def _suite(self, tasks: tuple[str, ...]) -> dict[str, Attack]:
        balls: tuple[tuple[Threat, float], ...] = (
            *((Linf(eps), eps / 4) for eps in self.linf),
            *((L2(eps), eps / 5) for eps in self.l2),
        )
        aims: list[tuple[tuple[str, ...], Balance]] = [((name,), Equal()) for name in tasks]
        aims += [(tasks, balance) for balance in BALANCES * (len(tasks) > 1)]
        suite: dict[str, Attack] = {}
        for names, balance in aims:
            objective = Objective(names, balance)
            for ball, step in balls:
                made = PGD(ball, objective, steps=self.steps, step=step, random_start=False)
                suite[attack_name("pgd", ball, names, balance)] = made
        for ball, _ in balls * (len(tasks) > 1):
            siege = Siege(ball, steps=self.steps)
            siege = replace(siege, objective=replace(siege.objective, tasks=tasks))
            suite[attack_name("siege", ball, tasks, siege.objective.balance)] = siege
        return suite
