"""What a scale decides of a paper's study on maps: data, network, length, ball; and arms made from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.dataset import DataSet
from testudo.models.encoder import Encoder
from testudo.recipe import Recipe
from testudo.reports.claims import Claim, Side
from testudo.reports.wording import counted, radius
from testudo.studies.auxiliaries import Auxiliaries
from testudo.studies.study import Variant
from testudo.training.methods.base import Method
from testudo.training.trainer import Trainer

PAPER = "Mao et al. 2020"
LEVEL = 1 / 255
CURVE = 20  # steps at every radius of a figure: its curve is then of the radius alone


@dataclass(frozen=True)
class DenseSetting:
    """The same for every arm of a study on dense tasks.

    Args:
        data: where images and labels come from.
        model: the encoder.
        trainer: of every training.
        own: the trainers of main tasks that have their own.
        weight: lambda of an auxiliary task, in training on clean images.
        eps: Linf radius of the tables.
        radii: Linf radii of the figures, rising.
        steps: of the PGD that judges, rising; MIM and Houdini take the last. Each is of 1/255.
        inner: of the PGD that is trained against, likewise.
        seeds: each arm is run once with each.
    """

    data: DataSet
    model: Encoder
    trainer: Trainer
    own: Mapping[str, Trainer] = field(default_factory=dict)
    weight: float = 0.1
    eps: float = 4 * LEVEL
    radii: tuple[float, ...] = tuple(level * LEVEL for level in (1, 2, 4, 8, 16))
    steps: tuple[int, ...] = (10, 20, 50, 100)
    inner: int = 5
    seeds: tuple[int, ...] = (0,)

    def arm(
        self, name: str, tasks: tuple[str, ...], method: Method, suite: dict[str, Attack], than: str | None = None
    ) -> Variant:
        """A variant of that name: ``tasks``, the main one first, learnt by ``method``."""
        trainer = self.own.get(tasks[0], self.trainer)
        slug = "-".join(name.replace(",", "").split())
        recipe = Recipe(slug, self.data, self.model, method, tasks, trainer=trainer, suite=suite)
        return Variant(name, recipe, told(trainer), than)

    def choices(self, main: str, weight: float | None = None) -> tuple[Variant, ...]:
        """``main`` alone and with each choice of Mao's other two tasks, each ``weight``: as that study has them."""
        weight = self.weight if weight is None else weight
        study = Auxiliaries(
            self.seeds, self.data, model=self.model, mains=(main,), eps=self.eps, steps=self.steps,
            auxiliary_weight=weight,
        )  # fmt: skip
        return tuple(
            replace(variant, recipe=replace(variant.recipe, trainer=self.trainer), training=told(self.trainer))
            for variant in study.variants()
        )

    def curve(self, tasks: tuple[str, ...] = ()) -> dict[str, Attack]:
        """PGD on ``tasks`` (none: all) in every ball of a figure."""
        aim = Objective(tasks)
        return {at(eps): PGD(Linf(eps), aim, steps=min(CURVE, max(self.steps)), step=LEVEL) for eps in self.radii}


def told(trainer: Trainer) -> str:
    """How is trained, in a few words."""
    return f"{counted(trainer.epochs, 'epoch')} on clean images, in batches of {trainer.batch_size}"


def at(eps: float) -> str:
    """What the rows call the PGD of a figure.

    >>> at(4 / 255)
    'pgd linf 4/255'
    """
    return f"pgd linf {radius(eps)}"


def ahead(
    text: str,
    place: str,
    task: str,
    pairs: Sequence[tuple[str, str]],
    attacks: Sequence[str] = ("clean",),
    share: float = 1.0,
) -> Claim:
    """The first of each pair is the better one at ``task``, under each of ``attacks``."""
    sides = tuple((Side(first, attack), Side(second, attack)) for first, second in pairs for attack in attacks)
    return Claim(text, place, task, sides, share)
