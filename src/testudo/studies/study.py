"""What a study is: variants of a recipe, seeds, a suite for each; and how its folder is told as tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import ClassVar, Self

import polars as pl

from testudo.attacks.base import Attack
from testudo.attacks.threat import Threat
from testudo.balance.base import Balance
from testudo.data.dataset import DataSet
from testudo.errors import TestudoError, unknown
from testudo.evaluation.evaluate import Evaluation
from testudo.recipe import Recipe
from testudo.reports.claims import Beside, Claim
from testudo.reports.wording import radius
from testudo.run import Run
from testudo.studies.measures import Measure
from testudo.studies.pool import after


@dataclass(frozen=True)
class Variant:
    """One line of a study's table.

    Args:
        name: for people.
        recipe: what is run for it, once per seed, with the suite that judges it.
        training: one line on how it is trained.
        counterpart: the name of the variant it is compared with.
        few: attacks of the suite that are made on so many test examples alone, evenly spaced.
        first: what is trained before it, with the same seed, whether it is in the table or not: the recipe says
            :data:`testudo.studies.pool.FIRST` where it wants that run's weights (``start``) or answers (the ``labels``
            of an :class:`~testudo.data.extended.Extended`).
    """

    name: str
    recipe: Recipe
    training: str
    counterpart: str | None = None
    few: Mapping[str, int] = field(default_factory=dict)
    first: Variant | None = None

    def rows(self, run: Run) -> pl.DataFrame:
        """What the suite makes of a run of it; what is there already is not made again."""
        return judged(run, self.recipe.suite, self.few)

    def seeded(self, seed: int) -> Recipe:
        """The recipe of one run, with the name of the run that comes first where it wants that."""
        recipe = replace(self.recipe, name=f"{self.recipe.name}-s{seed}", seed=seed)
        return recipe if self.first is None else after(recipe, self.first.seeded(seed))


@dataclass(frozen=True)
class Study(ABC):
    """Recipes to compare under the same conditions.

    Args:
        seeds: of weights, order and random starts; each variant is run once with each.
    """

    seeds: tuple[int, ...] = (0, 1)

    shown: ClassVar[int] = 4  # test examples in pictures: the first ones, so that nobody chose them

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise TestudoError(f"seeds must be different numbers of at least 0, at least one, got {self.seeds}")

    @property
    @abstractmethod
    def title(self) -> str:
        """The page's heading."""

    @property
    @abstractmethod
    def intro(self) -> Sequence[str]:
        """Paragraphs that say what is asked and how it is answered."""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What a paper says of it: the rule by which the page's verdicts are made."""
        return ()

    @property
    def beside(self) -> tuple[Beside, ...]:
        """The published numbers that the page shows beside ours."""
        return ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is asked of the trained models beside their suites."""
        return ()

    @property
    def also(self) -> Mapping[str, Study]:
        """Studies that are run with this one and shown on its page, by their folder's name within its own."""
        return {}

    @abstractmethod
    def variants(self) -> tuple[Variant, ...]:
        """The lines of the table."""

    @abstractmethod
    def gallery(self, variant: Variant) -> tuple[str, ...]:
        """The attacks of the variant's suite that the page shows in pictures."""

    def runs(self) -> dict[str, tuple[Variant, Recipe]]:
        """Every run of the grid by its folder name, cheapest kinds first, seeds together."""
        return {
            f"{variant.recipe.name}-s{seed}": (variant, variant.seeded(seed))
            for variant in self.variants()
            for seed in self.seeds
        }

    def every_run(self) -> dict[str, tuple[Variant, Recipe]]:
        """Its own runs and those of :attr:`also`, by their folder's path within its own."""
        found = self.runs()
        for part, study in self.also.items():
            found |= {f"{part}/{name}": run for name, run in study.every_run().items()}
        return found


class OnData(Study):
    """A study that suits itself to any data set."""

    @classmethod
    @abstractmethod
    def on(cls, data: DataSet) -> Self:
        """The study with the settings that suit a data set: radii, network, length."""


@dataclass(frozen=True)
class Arms(Study):
    """Variants put side by side: a table or a figure of a paper.

    Args:
        seeds: see :class:`Study`.
        heading: the page's.
        asked: the page's first paragraphs.
        arms: the variants.
        pictures: the attacks that the page shows in pictures, where a variant's suite has them.
        claimed: see :attr:`Study.claims`.
        published: see :attr:`Study.beside`.
        measured: see :attr:`Study.measures`.
    """

    heading: str = ""
    asked: tuple[str, ...] = ()
    arms: tuple[Variant, ...] = ()
    pictures: tuple[str, ...] = ()
    claimed: tuple[Claim, ...] = ()
    published: tuple[Beside, ...] = ()
    measured: tuple[Measure, ...] = ()

    @property
    def title(self) -> str:
        """The heading."""
        return self.heading

    @property
    def intro(self) -> Sequence[str]:
        """What is asked."""
        return self.asked

    @property
    def claims(self) -> tuple[Claim, ...]:
        """As given."""
        return self.claimed

    @property
    def beside(self) -> tuple[Beside, ...]:
        """As given."""
        return self.published

    @property
    def measures(self) -> tuple[Measure, ...]:
        """As given."""
        return self.measured

    def variants(self) -> tuple[Variant, ...]:
        """The arms."""
        return self.arms

    def gallery(self, variant: Variant) -> tuple[str, ...]:
        """The pictures, where the variant has such attacks."""
        return tuple(name for name in self.pictures if name in variant.recipe.suite)


@dataclass(frozen=True)
class Parts(Arms):
    """A table in parts, each with a main task or data of its own and shown by itself.

    Args:
        others: the further parts, by their folder's name.
    """

    others: Mapping[str, Arms] = field(default_factory=dict)

    @property
    def also(self) -> Mapping[str, Study]:
        """The further parts."""
        return self.others


def judged(run: Run, suite: Mapping[str, Attack], few: Mapping[str, int]) -> pl.DataFrame:
    """The rows of clean images and of a suite; of the attacks named in ``few`` on so many examples alone."""
    whole: dict[str, Attack | None] = {"clean": None, **suite}
    parts = []
    for examples, names in groupby(whole, lambda name: few.get(name, 0)):  # one frozen copy for each number
        parts.append(run.rows({name: whole[name] for name in names}, Evaluation(device="auto", examples=examples)))
    return pl.concat(parts)


def tasks_of(data: DataSet, names: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks ``names``, or where there are none all that ``data`` has; raises TestudoError for one it lacks."""
    offered = {task.name: task for task in data.tasks()}
    for name in names:
        if name not in offered:
            raise unknown("task", name, offered)
    return names or tuple(offered)


def check_radii(name: str, radii: tuple[float, ...]) -> None:
    """Raise TestudoError unless ``radii`` rise from above 0 (none are refused too)."""
    if not radii or list(radii) != sorted(radii) or radii[0] <= 0:
        raise TestudoError(f"{name} must be rising radii above 0, got {radii}")


def attack_name(kind: str, threat: Threat, tasks: tuple[str, ...], balance: Balance) -> str:
    """What the rows call an attack of some kind on some tasks; the balance is told where there are several.

    >>> from testudo.attacks.threat import Linf
    >>> from testudo.balance.minmax import MinMax
    >>> attack_name("pgd20", Linf(0.1), ("digit",), MinMax())
    'pgd20 linf 0.1 on digit'
    >>> attack_name("pgd", Linf(0.1), ("digit", "parity"), MinMax())
    'pgd linf 0.1 on all tasks (minmax)'
    """
    aim = tasks[0] if len(tasks) == 1 else f"all tasks ({type(balance).__name__.lower()})"
    return f"{kind} {type(threat).__name__.lower()} {radius(float(threat.eps))} on {aim}"
