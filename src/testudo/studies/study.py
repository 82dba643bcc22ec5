"""What a study is: variants of a recipe, seeds, a suite for each; and how its folder is told as tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from testudo.attacks.threat import Threat
from testudo.balance.base import Balance
from testudo.data.dataset import DataSet
from testudo.errors import TestudoError, unknown
from testudo.recipe import Recipe
from testudo.reports.wording import radius


@dataclass(frozen=True)
class Variant:
    """One line of a study's table.

    Args:
        name: for people.
        recipe: what is run for it, once per seed, with the suite that judges it.
        training: one line on how it is trained.
        counterpart: the name of the variant it is compared with.
    """

    name: str
    recipe: Recipe
    training: str
    counterpart: str | None = None


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

    @classmethod
    @abstractmethod
    def on(cls, data: DataSet) -> Self:
        """The study with the settings that suit a data set: radii, network, length."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The page's heading."""

    @property
    @abstractmethod
    def intro(self) -> Sequence[str]:
        """Paragraphs that say what is asked and how it is answered."""

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
            f"{variant.recipe.name}-s{seed}": (
                variant,
                replace(variant.recipe, name=f"{variant.recipe.name}-s{seed}", seed=seed),
            )
            for variant in self.variants()
            for seed in self.seeds
        }

    def every_run(self) -> dict[str, Recipe]:
        """The recipes of its own runs and of those of :attr:`also`, by their folder's path within its own."""
        found = {name: recipe for name, (_, recipe) in self.runs().items()}
        for part, study in self.also.items():
            found |= {f"{part}/{name}": recipe for name, recipe in study.every_run().items()}
        return found


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
