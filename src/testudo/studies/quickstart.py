"""The main job: does sharing a backbone with auxiliary tasks harden the main one? Single against multi-task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from testudo.attacks.base import Attack
from testudo.attacks.fgsm import FGSM
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import L2, Linf, Threat
from testudo.balance.base import Balance
from testudo.balance.fixed import Equal
from testudo.balance.minmax import MinMax
from testudo.data.augment import Augment
from testudo.data.dataset import DataSet
from testudo.data.digits import Digits
from testudo.errors import TestudoError
from testudo.models.encoder import Encoder
from testudo.models.resnet import PreActResNet18, ResNet18
from testudo.recipe import Recipe
from testudo.reports.wording import radius
from testudo.studies.joint import Joint
from testudo.studies.study import OnData, Study, Variant, attack_name, check_radii, tasks_of
from testudo.training.methods.base import Method
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

STEPS = 20  # of PGD and MIM in the suite


@dataclass(frozen=True)
class Quickstart(OnData):
    """Standard and adversarial training, single- and multi-task, under FGSM, PGD and MIM.

    Four variants: standard single-task, standard multi-task, Madry's training of the single task, and Mao's
    Algorithm 1 with S = {{main}, {main, auxiliaries}}. The last makes two attacks and two updates per batch, so
    Madry's opponent is given twice the epochs: equal updates, equal attack passes.

    Args:
        seeds: see :class:`~testudo.studies.study.Study`.
        data: where images and labels come from.
        tasks: the main task, then the auxiliary ones; none means all that the data offers, in its order.
        model: the encoder.
        linf: radii of the Linf attacks, in [0, 1] pixel units, rising; adversarial training uses ``train_eps``.
        l2: radius of the L2 attacks.
        train_eps: radius of the attack trained against.
        train_steps: its PGD steps.
        epochs: of standard training; adversarial multi-task training takes ``adversarial_epochs``, its
            single-task opponent twice as many.
        adversarial_epochs: see ``epochs``.
        auxiliary_weight: lambda of every auxiliary task's loss, in training.
        batch_size, lr, augment, precision, workers: see :class:`~testudo.training.trainer.Trainer`.
        rooms: the dense half, run along and shown on the same page; none: left out.
    """

    data: DataSet = Digits(size=8)
    tasks: tuple[str, ...] = ()
    model: Encoder = PreActResNet18(width=16)
    linf: tuple[float, ...] = (0.05, 0.1, 0.2)
    l2: float = 0.5
    train_eps: float = 0.15
    train_steps: int = 7
    epochs: int = 20
    adversarial_epochs: int = 12
    auxiliary_weight: float = 0.1
    batch_size: int = 64
    lr: float = 0.1
    augment: Augment = Augment()
    precision: Literal["auto", "float32", "bf16"] = "float32"
    workers: int = 0
    rooms: Joint | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_radii("linf", self.linf)

    @classmethod
    def on(cls, data: DataSet) -> Self:
        """Digits as by default, with the rooms; other images with a ResNet-18, radii up to 8/255, crops and flips."""
        if isinstance(data, Digits):
            return cls(data=data, rooms=Joint())
        return cls(
            data=data,
            model=ResNet18(),
            linf=(2 / 255, 4 / 255, 8 / 255),
            train_eps=8 / 255,
            augment=Augment(crop=4, flip=True),
            batch_size=128,
            precision="auto",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The main task and the auxiliary ones; raises TestudoError where there are not two."""
        names = tasks_of(self.data, self.tasks)
        if len(names) < 2:
            raise TestudoError(
                f"this study compares single- with multi-task models and needs at least two tasks, got {names[0]}; "
                "add a column to the manifest, or a derived task"
            )
        return names

    @property
    def also(self) -> dict[str, Study]:
        """The rooms."""
        return {} if self.rooms is None else {"rooms": self.rooms}

    @property
    def title(self) -> str:
        """The page's heading."""
        return f"Do auxiliary tasks harden {self.names[0]!r}?"

    @property
    def intro(self) -> Sequence[str]:
        """What is asked, and how."""
        main, *others = self.names
        listed = " and ".join(", ".join(others).rsplit(", ", 1))
        radii = ", ".join(radius(eps) for eps in self.linf)
        return (
            f"A network learns {main!r} alone, or together with {listed} on a shared backbone. Each is trained in "
            f"the standard way and adversarially, with {len(self.seeds)} seeds, and each is attacked with FGSM, "
            f"PGD-{STEPS} and MIM-{STEPS} within Linf radii {radii} and L2 radius {self.l2:.3g} (pixels in [0, 1]).",
            "Both adversarial variants make the same number of updates and of attack passes: Algorithm 1 of Mao et "
            "al. attacks and updates twice for every batch, so Madry's training of the single task runs for twice "
            "the epochs. Attacks are white-box, keep the worst image seen, and never rely on a batch's other images.",
        )

    def variants(self) -> tuple[Variant, ...]:
        """Standard and adversarial, single- and multi-task."""
        names, weights = self.names, dict.fromkeys(self.names[1:], self.auxiliary_weight)
        inner = PGD(threat=Linf(self.train_eps), steps=self.train_steps, keep="last")
        madry, mao = Madry(attack=inner), Mao(attack=inner, auxiliary_weight=self.auxiliary_weight)
        twice = 2 * self.adversarial_epochs
        weighed = f"auxiliary losses weigh {self.auxiliary_weight:g}"
        attacked = f"PGD-{self.train_steps}, Linf {radius(self.train_eps)}"
        return (
            Variant(
                "standard, single-task",
                self._recipe("standard-single", Standard(), names[:1], self.epochs),
                f"clean images, {self.epochs} epochs",
            ),
            Variant(
                "standard, multi-task",
                self._recipe("standard-multi", Standard(weights=weights), names, self.epochs),
                f"clean images, {self.epochs} epochs; {weighed}",
                "standard, single-task",
            ),
            Variant(
                "adversarial, single-task",
                self._recipe("madry-single", madry, names[:1], twice),
                f"Madry: {attacked}, {twice} epochs",
            ),
            Variant(
                "adversarial, multi-task",
                self._recipe("mao-multi", mao, names, self.adversarial_epochs),
                f"Mao's Algorithm 1: {attacked}, S = {{main}}, {{main, auxiliaries}}, "
                f"{self.adversarial_epochs} epochs; {weighed}",
                "adversarial, single-task",
            ),
        )

    def gallery(self, variant: Variant) -> tuple[str, ...]:
        """PGD at the training radius (or the nearest to it) on the main task."""
        nearest = min(self.linf, key=lambda eps: abs(eps - self.train_eps))
        return (attack_name(f"pgd{STEPS}", Linf(nearest), self.names[:1], Equal()),)

    def _recipe(self, name: str, method: Method, tasks: tuple[str, ...], epochs: int) -> Recipe:
        main = Objective(tasks=tasks[:1])
        # with keep="last" and no restart a validation attack costs its steps and nothing more
        guard = PGD(threat=Linf(self.train_eps), objective=main, steps=self.train_steps, keep="last")
        return Recipe(
            name=name,
            data=self.data,
            model=self.model,
            method=method,
            tasks=tasks,
            trainer=Trainer(
                epochs=epochs,
                batch_size=self.batch_size,
                optimiser=Optimiser(lr=self.lr),
                schedule=Schedule("cosine", warmup=0.1),
                augment=self.augment,
                precision=self.precision,
                workers=self.workers,
                validate_every=max(1, epochs // 10),
            ),
            validation=None if isinstance(method, Standard) else guard,
            suite=self._suite(tasks),
        )

    def _suite(self, tasks: tuple[str, ...]) -> dict[str, Attack]:
        """Every family at every radius on the main task; on all tasks too where there are several."""
        threats: tuple[Threat, ...] = (*(Linf(eps) for eps in self.linf), L2(self.l2))
        aims: list[tuple[tuple[str, ...], Balance]] = [(tasks[:1], Equal())]
        if len(tasks) > 1:
            aims += [(tasks, Equal()), (tasks, MinMax())]
        suite: dict[str, Attack] = {}
        for names, balance in aims:
            objective = Objective(tasks=names, balance=balance)
            for threat in threats:
                made = (
                    FGSM(threat, objective),
                    PGD(threat, objective, steps=STEPS),
                    MIM(threat, objective, steps=STEPS),
                )
                # min-max has one step to move its weights in FGSM: none
                for attack in made if balance == Equal() else made[1:2]:
                    steps = "" if isinstance(attack, FGSM) else str(STEPS)
                    kind = type(attack).__name__.lower() + steps
                    suite[attack_name(kind, threat, names, balance)] = attack
        return suite
