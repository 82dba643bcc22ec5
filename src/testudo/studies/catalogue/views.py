"""What a scale decides of a study on classes beside a contrastive task; and arms made from that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from testudo.attacks.base import Attack
from testudo.attacks.ensemble import AutoAttack
from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.augment import Augment
from testudo.data.cifar import CIFAR10, CIFAR100
from testudo.data.contrastive import ContrastiveViews
from testudo.data.dataset import DataSet
from testudo.data.digits import Digits
from testudo.data.fraction import Fraction
from testudo.models.encoder import Encoder
from testudo.models.resnet import PreActResNet18, ResNet18
from testudo.recipe import Recipe
from testudo.reports.wording import counted, radius
from testudo.studies.entry import Scale
from testudo.studies.study import Variant
from testudo.training.methods.base import Method
from testudo.training.methods.contrastive import Contrastive
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

SINGLE, SUPERVISED, VIEWS, CONTRASTIVE = "single", "supervised", "views alone", "contrastive"
RESTARTED, STRONG = "pgd, restarts", "autoattack"


@dataclass(frozen=True)
class ViewsSetting:
    """The same for every arm of a study.

    Args:
        data: where images and labels come from.
        main: the task that is attacked.
        coarse: the supervised auxiliary task.
        model: the encoder.
        trainer: of every training, without an augmentation.
        augment: of the trainings without two views, which are an augmentation.
        views: the two views.
        eps: Linf radius, in [0, 1] pixel units; a step is a quarter of it.
        steps: of PGD, rising.
        restarts: of the longest PGD.
        strong: AutoAttack in that ball.
        few: test images that restarts and AutoAttack are made on; 0: all.
        seeds: each arm is run once with each.
    """

    data: DataSet
    main: str
    coarse: str
    model: Encoder
    trainer: Trainer
    augment: Augment = Augment()
    views: ContrastiveViews = ContrastiveViews()
    eps: float = 8 / 255
    steps: tuple[int, ...] = (7, 20, 50)
    restarts: int = 5
    strong: AutoAttack = AutoAttack()
    few: int = 0
    seeds: tuple[int, ...] = (0,)

    @property
    def printed(self) -> dict[str, Attack]:
        """The paper's attacks, by name."""
        ball, aim = Linf(self.eps), Objective((self.main,))
        pgd = {pgd_name(steps): PGD(ball, aim, steps=steps, step=self.eps / 4) for steps in self.steps}
        return {"fgsm": FGSM(ball, aim), **pgd}

    @property
    def suite(self) -> dict[str, Attack]:
        """The paper's attacks, and stronger ones."""
        last = self.printed[pgd_name(self.steps[-1])]
        strong = replace(self.strong, threat=last.threat, objective=last.objective)
        changes: dict[str, Any] = {"restarts": self.restarts}
        return {**self.printed, RESTARTED: replace(last, **changes), STRONG: strong}

    def arm(self, name: str, method: Method, tasks: tuple[str, ...] = (), than: str | None = SINGLE) -> Variant:
        """A variant of that name, compared with the single-task one."""
        trainer = self.trainer if method.pretexts else replace(self.trainer, augment=self.augment)
        slug = name.replace(" ", "-")
        recipe = Recipe(
            slug, self.data, self.model, method, (self.main, *tasks), trainer=trainer, suite=self.suite
        )  # fmt: skip
        seen = "two views of each image" if method.pretexts else "each image once"
        told = f"{counted(trainer.epochs, 'epoch')} of batches of {trainer.batch_size}, {seen}"
        few = dict.fromkeys((RESTARTED, STRONG), self.few) if self.few else {}
        return Variant(name, recipe, told, than, few)

    def arms(self, supervised: bool) -> tuple[Variant, ...]:
        """One task; with the supervised one, where it is asked for; the views with and without their own task."""
        pretexts = (self.views,)
        unasked = Contrastive(pretexts=pretexts, weights={self.views.name: 0.0})
        found = [self.arm(SINGLE, Standard(), than=None)]
        found += [self.arm(SUPERVISED, Standard(), (self.coarse,))] * supervised
        return (*found, self.arm(VIEWS, unasked), self.arm(CONTRASTIVE, Contrastive(pretexts=pretexts)))

    def told(self, what: str) -> tuple[str, ...]:
        """The first paragraphs."""
        return (
            f"{what} Attacks are on {self.main!r} alone, within Linf radius {radius(self.eps)} (pixels in [0, 1]), PGD "
            "in steps of a quarter of it. Nothing is trained against attacks.",
            "The paper's models are harder to fool by PGD-7 than by the one step of FGSM, which is the sign of masked "
            f"gradients. So PGD with {self.restarts} restarts and AutoAttack judge here, too. "
            f"{VIEWS.capitalize()!r} is the contrastive arm without its contrastive loss: what of the gain comes from "
            "the augmentation. All arms make as many steps; a step of an arm with views sees each image twice.",
        )


def pgd_name(steps: int) -> str:
    """What the rows call a PGD."""
    return f"pgd{steps}"


ADAM, COSINE = Optimiser("adam", lr=1e-3, weight_decay=1e-4), Schedule("cosine", warmup=0.1)
CROPPED = Augment(crop=4, flip=True)
SMOKE = ViewsSetting(
    data=Fraction(Digits(size=8), share=0.1, test=0.1),
    main="digit",
    coarse="loop",
    model=PreActResNet18(width=2),
    trainer=Trainer(epochs=1, batch_size=32, optimiser=ADAM, schedule=COSINE, precision="float32"),
    views=ContrastiveViews(flip=False, scale=(0.4, 1.0)),
    eps=0.1,
    steps=(1, 2),
    restarts=2,
    strong=AutoAttack(steps=2, queries=5),
    few=10,
)
SMALL = ViewsSetting(
    data=CIFAR10(train_limit=4000, test_limit=400),
    main="object",
    coarse="vehicle",
    model=PreActResNet18(width=16),
    trainer=Trainer(epochs=20, batch_size=64, optimiser=ADAM, schedule=COSINE, validate_every=4),
    augment=CROPPED,
    few=100,
)
GPU = ViewsSetting(
    data=CIFAR10(test_limit=2000),
    main="object",
    coarse="vehicle",
    model=ResNet18(),
    trainer=Trainer(epochs=20, batch_size=256, optimiser=ADAM, schedule=COSINE, validate_every=5),
    augment=CROPPED,
    few=500,
)
LONG = ViewsSetting(
    data=CIFAR10(),
    main="object",
    coarse="vehicle",
    model=ResNet18(),
    trainer=Trainer(epochs=100, batch_size=256, optimiser=replace(ADAM, lr=3e-4), schedule=COSINE),
    augment=CROPPED,
    few=1000,
)
FINE: dict[str, Any] = {"main": "fine", "coarse": "coarse"}
TEN: dict[Scale, ViewsSetting] = {"smoke": SMOKE, "small": SMALL, "gpu": GPU, "paper": LONG}
HUNDRED: dict[Scale, ViewsSetting] = {
    "smoke": SMOKE,
    "small": replace(
        SMALL, data=CIFAR100(test_limit=400), trainer=replace(SMALL.trainer, epochs=40, validate_every=8), **FINE
    ),
    "gpu": replace(GPU, data=CIFAR100(test_limit=2000), **FINE),
    "paper": replace(LONG, data=CIFAR100(), **FINE),
}
