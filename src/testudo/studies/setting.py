"""What a scale decides of a paper's study on classes: data, network, length, ball; and arms made from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from testudo.attacks.base import Attack
from testudo.attacks.ensemble import AutoAttack
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.dataset import DataSet
from testudo.data.jigsaw import Jigsaw
from testudo.data.rotation import Rotation
from testudo.models.encoder import Encoder
from testudo.recipe import Recipe
from testudo.reports.wording import counted
from testudo.studies.study import Variant
from testudo.tasks.task import Task
from testudo.training.methods.base import Method
from testudo.training.methods.gat import GAT
from testudo.training.methods.standard import Standard
from testudo.training.partners.base import Partner
from testudo.training.trainer import Trainer

PGD_NAME, STRONG = "pgd", "autoattack"
HELPERS = ("jigsaw", "macro", "rotation")  # the three task augmentations
Arm = tuple[Method, tuple[str, ...]]


@dataclass(frozen=True)
class Setting:
    """The same for every arm of a study.

    Args:
        data: where images and labels come from.
        main: the task that is to be hardened.
        macro: the auxiliary task that the data have labels of.
        model: the encoder.
        trainer: of a method that makes one step of each batch; others make as many steps.
        eps: Linf radius that is trained for and attacked with, in [0, 1] pixel units.
        steps: of the inner attack.
        judge: of the PGD that judges.
        strong: AutoAttack judges, too.
        strongest: how AutoAttack is made, in this setting's ball.
        few: on how many test examples it judges; 0: all.
        seeds: each arm is run once with each.
        gat: what GAT is here; its attack is that of the setting.
        tiles: of the jigsaw, on a side.
    """

    data: DataSet
    main: str
    macro: str
    model: Encoder
    trainer: Trainer
    eps: float
    steps: int = 10
    judge: int = 10
    strong: bool = False
    strongest: AutoAttack = AutoAttack()
    few: int = 0
    seeds: tuple[int, ...] = (0,)
    gat: GAT = GAT()
    tiles: int = 4

    @property
    def inner(self) -> PGD:
        """What is trained against."""
        return PGD(Linf(self.eps), Objective((self.main,)), keep="last", steps=self.steps)

    @property
    def suite(self) -> dict[str, Attack]:
        """What judges: PGD on the main task, and AutoAttack where it is to."""
        aim = Objective((self.main,))
        pgd: dict[str, Attack] = {PGD_NAME: PGD(Linf(self.eps), aim, steps=self.judge)}
        strongest = replace(self.strongest, threat=Linf(self.eps), objective=aim)
        return pgd | ({STRONG: strongest} if self.strong else {})

    def guided(self, **fields: Any) -> GAT:
        """GAT with this setting's attack."""
        return replace(self.gat, attack=self.inner, **fields)

    def helped(self, **fields: Any) -> dict[str, Arm]:
        """GAT with a jigsaw, with the macro task, with turned images: the papers' three task augmentations."""
        return {name: self.with_helpers((name,), self.guided(**fields)) for name in HELPERS}

    def with_helpers(self, names: tuple[str, ...], method: Method) -> Arm:
        """``method`` with any of ``"jigsaw"``, ``"macro"`` and ``"rotation"`` beside the main task."""
        made = {"jigsaw": Jigsaw(tiles=self.tiles), "rotation": Rotation()}
        pretexts = tuple(made[name] for name in names if name in made)
        return replace(method, pretexts=pretexts), (self.main, *([self.macro] if "macro" in names else []))

    def alone(self, method: Method | None = None) -> Arm:
        """The twin: ``method`` (GAT by default) on the main task alone."""
        return (method or self.guided()).alone(self.main), (self.main,)

    def arm(
        self,
        name: str,
        made: Arm,
        than: str | None = None,
        changed: Mapping[str, Any] | None = None,
        partners: tuple[Partner, ...] = (),
    ) -> Variant:
        """A variant of that name.

        Args:
            name: for people, unlike any other's of the study.
            made: the method and its tasks.
            than: the variant that it is compared with.
            changed: fields of this setting that are others for it.
            partners: see :class:`~testudo.training.trainer.Trainer`.
        """
        if changed:
            return replace(self, **changed).arm(name, made, than, partners=partners)
        method, tasks = made
        recipe = Recipe("-".join(name.replace(",", "").split()), self.data, self.model, method, tasks)
        trainer = self._trained(recipe, partners)
        plain = isinstance(method, Standard)
        recipe = replace(recipe, trainer=trainer, validation=None if plain else self.inner, suite=self.suite)
        told = f"{counted(trainer.epochs, 'epoch')} of batches of {trainer.batch_size}"
        return Variant(name, recipe, told, than, {STRONG: self.few} if self.strong else {})

    def _trained(self, recipe: Recipe, partners: tuple[Partner, ...]) -> Trainer:
        """As many optimiser steps, each on as many images, for every method."""
        whole, method = self.trainer, recipe.method
        batch = max(2, round(whole.batch_size / method.images))
        steps = method.steps_of(self._learnt(recipe))
        epochs = max(1, round(whole.epochs * batch / whole.batch_size / steps))
        often = max(1, min(whole.validate_every, epochs))
        return replace(whole, epochs=epochs, batch_size=batch, validate_every=often, partners=partners)

    def _learnt(self, recipe: Recipe) -> list[Task]:
        """The tasks of a recipe; for a data set that tells them only where its files are: none."""
        return list(recipe.learnt().values())
