"""Do the papers' methods harden? Each against its single-task twin, at equal steps, then at equal passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.augment import Augment
from testudo.data.contrastive import ContrastiveViews
from testudo.data.dataset import DataSet
from testudo.data.digits import Digits
from testudo.data.jigsaw import Jigsaw
from testudo.data.radiographs import Radiographs
from testudo.data.rotation import Rotation
from testudo.errors import unknown
from testudo.models.encoder import Encoder
from testudo.models.resnet import PreActResNet18
from testudo.recipe import Recipe
from testudo.reports.wording import counted, listed, radius
from testudo.studies.study import OnData, Study, Variant, tasks_of
from testudo.suite import standard
from testudo.tasks.task import Task
from testudo.training.methods.base import Method
from testudo.training.methods.contrastive import Contrastive
from testudo.training.methods.gat import GAT
from testudo.training.methods.hendrycks import Hendrycks
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao
from testudo.training.methods.standard import Standard
from testudo.training.methods.trades import Trades
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

Budget = Literal["steps", "passes"]
METHODS = ("standard", "contrastive", "madry", "trades", "mao", "hendrycks", "gat")


@dataclass(frozen=True)
class Hardening(OnData):
    """Madry's training and TRADES on one task, and Mao's, Hendrycks's, GAT's and the contrastive one with more.

    Each method with further tasks is compared, image by image, with its twin: the same method on the main task alone,
    as many optimiser steps, each with an attack of as many steps. Then the same again with as many forward and
    backward passes in all (``budget="passes"``), which is nearly equal time: a method whose step costs more gets
    fewer epochs. Batches that a pretext makes longer are taken shorter, so that a step sees as many images.

    Args:
        seeds: see :class:`~testudo.studies.study.Study`.
        data: where images and labels come from.
        tasks: the main task, then the auxiliary ones; none means all that the data offers.
        methods: which of :data:`METHODS`.
        model: the encoder.
        eps: Linf radius that is trained for and attacked with.
        steps: of the inner attack.
        epochs: of a method that makes one step of each batch; others make as many steps.
        budget: what is equal between methods: optimiser steps (each with an attack), or passes.
        auxiliary_weight: lambda of the data's auxiliary tasks.
        batch_size, optimiser, augment: see :class:`~testudo.training.trainer.Trainer`.
        tiles: of the jigsaw, on a side.
        few: test examples that the strongest attack is made on, which takes long; 0: all.
        both: the study with the other budget is run along and shown on the same page.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    data: DataSet = Digits(size=16)
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS
    model: Encoder = PreActResNet18(width=16)
    eps: float = 0.15
    steps: int = 7
    epochs: int = 20
    budget: Budget = "steps"
    auxiliary_weight: float = 0.1
    batch_size: int = 64
    optimiser: Optimiser = field(default_factory=Optimiser)
    augment: Augment = Augment()
    tiles: int = 4
    few: int = 120
    both: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.methods:
            if name not in METHODS:
                raise unknown("method (of this study)", name, METHODS)
        if self.budget not in ("steps", "passes"):
            raise unknown("budget", self.budget, ("steps", "passes"))

    @classmethod
    def on(cls, data: DataSet) -> Self:
        """Digits as by default, both budgets; X-rays at 4/255, other images at 8/255, two seeds, crops and flips."""
        if isinstance(data, Digits):
            return cls(data=replace(data, size=16), both=True)
        seen = Augment(crop=4, flip=True)
        if isinstance(data, Radiographs):
            adam = Optimiser("adamw", lr=1e-3, weight_decay=1e-2)
            return cls((0, 1), data, eps=4 / 255, augment=seen, batch_size=32, optimiser=adam)
        return cls((0, 1), data, eps=8 / 255, augment=seen, batch_size=64, both=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The main task and the data's auxiliary ones."""
        return tasks_of(self.data, self.tasks)

    @property
    def also(self) -> Mapping[str, Study]:
        """The other budget."""
        other: Budget = "passes" if self.budget == "steps" else "steps"
        return {other: replace(self, budget=other, both=False)} if self.both else {}

    @property
    def title(self) -> str:
        """The page's heading."""
        return f"Which training hardens {self.names[0]!r}, at equal {self.budget}?"

    @property
    def intro(self) -> Sequence[str]:
        """What is asked, and how."""
        equal = {
            "steps": "Each method makes the same number of optimiser steps, each with one attack of as many steps.",
            "passes": "Each method makes about as many forward and backward passes of an image, attacks included.",
        }[self.budget]
        on = f" (on {self.few} of the test images, evenly spaced)" if self.few else ""
        return (
            f"Methods that learn further tasks beside {self.names[0]!r} are compared with their single-task twins, "
            f"image by image: the same method on the main task alone. {equal} Inner attacks are PGD-{self.steps} "
            f"within Linf radius {radius(self.eps)}; the table is under PGD-20 and the strongest attack there is for "
            f"the task, in the same ball{on}.",
            "Intervals are over test images, for the mean over seeds; with few seeds a small difference may be theirs.",
        )

    def variants(self) -> tuple[Variant, ...]:
        """By method: alone, then with further tasks against that."""
        found: list[Variant] = []
        for method in self.methods:
            found += self._of(method)
        return tuple(found)

    def gallery(self, variant: Variant) -> tuple[str, ...]:
        """PGD-20."""
        return tuple(variant.recipe.suite)[:1]

    def _of(self, method: str) -> list[Variant]:
        attack, (main, *others) = self._inner, self.names
        told: dict[str, Any] = {"threat": attack.threat, "steps": attack.steps, "step": attack.step}
        weights = dict.fromkeys(others, self.auxiliary_weight)
        if method in ("madry", "trades"):
            only: Method = (
                Madry(attack=attack) if method == "madry" else Trades(attack=replace(Trades().attack, **told))
            )
            return [self._variant(method, only, (main,))]
        further: dict[str, tuple[Method, str]] = {
            "standard": (Standard(weights=weights), ""),
            "mao": (Mao(attack=attack, auxiliary_weight=self.auxiliary_weight), ""),
            "hendrycks": (Hendrycks(attack=attack, pretexts=(Rotation(),)), "rotation"),
            "contrastive": (Contrastive(pretexts=(ContrastiveViews(flip=self.augment.flip),)), "views"),
        }
        if method == "gat":
            return self._pair(method, self._gats(weights))
        made, extra = further[method]
        name, tasks = (extra, (main,)) if extra else (listed(others), self.names)
        return self._pair(method, {name: (made, tasks)})

    @property
    def _inner(self) -> PGD:
        """What is trained against."""
        return PGD(Linf(self.eps), keep="last", steps=self.steps)

    def _gats(self, weights: dict[str, float]) -> dict[str, tuple[Method, tuple[str, ...]]]:
        """GAT with the data's auxiliary tasks, with a turned or cut image, and with both kinds."""
        known, gat = listed(weights), GAT(attack=self._inner)
        turned, cut = (Rotation(),), (Jigsaw(tiles=self.tiles),)
        return {
            known: (replace(gat, weights=weights), self.names),
            "rotation": (replace(gat, pretexts=turned), self.names[:1]),
            "jigsaw": (replace(gat, pretexts=cut), self.names[:1]),
            f"{known} and rotation": (replace(gat, weights=weights, pretexts=turned), self.names),
        }

    def _pair(self, method: str, made: Mapping[str, tuple[Method, tuple[str, ...]]]) -> list[Variant]:
        """The single-task twin, unless another method's is the same, and each of ``made`` by what it learns more."""
        same = {"hendrycks": ("madry", "madry"), "contrastive": ("standard", "standard, alone")}
        other, name = same.get(method, ("", ""))
        found = []
        if other not in self.methods:
            twin = next(iter(made.values()))[0].alone(self.names[0])
            found, name = [self._variant(f"{method}, alone", twin, self.names[:1])], f"{method}, alone"
        return found + [self._variant(f"{method}, with {n}", m, tasks, name) for n, (m, tasks) in made.items()]

    def _variant(self, name: str, method: Method, tasks: tuple[str, ...], twin: str | None = None) -> Variant:
        recipe = self._recipe(name, method, tasks)
        learnt = list(recipe.learnt().values())
        epochs, size = recipe.trainer.epochs, recipe.trainer.batch_size
        cost = method.images * method.passes(learnt)
        each = f"{cost} forward and backward passes for each of their images"
        training = f"{counted(epochs, 'epoch')} of batches of {size}; {each}"
        few = dict.fromkeys(list(recipe.suite)[1:], self.few)
        return Variant(name, recipe, training, twin, few)

    def _recipe(self, name: str, method: Method, tasks: tuple[str, ...]) -> Recipe:
        main = Objective(tasks[:1])
        guard = PGD(Linf(self.eps), main, "last", steps=self.steps)
        batch = max(2, round(self.batch_size / method.images))
        slug = name.replace(", ", "-").replace(" ", "-")
        made = Recipe(name=slug, data=self.data, model=self.model, method=method, tasks=tasks)
        epochs = self._epochs(method, list(made.learnt().values()), batch)
        trainer = Trainer(
            epochs=epochs,
            batch_size=batch,
            optimiser=self.optimiser,
            schedule=Schedule("cosine", warmup=0.1),
            augment=self.augment,
            validate_every=max(1, epochs // 5),
        )
        plain = isinstance(method, Standard)
        made = replace(made, trainer=trainer, validation=None if plain else guard)
        suite = standard(replace(made, validation=guard), made.chosen())
        return replace(made, suite=suite)

    def _epochs(self, method: Method, tasks: list[Task], batch: int) -> int:
        """As many as the budget allows, at least one."""
        if self.budget == "steps":
            share = batch / self.batch_size / method.steps_of(tasks)
        else:
            share = (self.steps + 1) / (method.images * method.passes(tasks))  # Madry's training is what is equalled
        return max(1, round(self.epochs * share))
