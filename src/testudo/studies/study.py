"""What a study is: variants of a recipe, seeds, a suite for each; and how its folder is told as tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from testudo.data.dataset import DataSet
from testudo.errors import TestudoError
from testudo.recipe import Recipe


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
