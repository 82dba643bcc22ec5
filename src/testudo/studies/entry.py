"""A paper's table or figure, as a study at several scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from testudo.data.dataset import DataSet
from testudo.data.extended import Extended
from testudo.data.wrapped import Wrapped
from testudo.errors import TestudoError
from testudo.registry import DATA
from testudo.studies.study import Arms

Scale = Literal["smoke", "small", "gpu", "paper"]


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Args:
        name: as in ``testudo study NAME``.
        source: the paper and the place in it.
        asks: the question, in one line.
        make: the study of a setting.
        settings: by scale.
        minutes: what each scale takes, measured, on two cores (``gpu``: on an H200); what is not here was not measured.
    """

    name: str
    source: str
    asks: str
    make: Callable[[Any], Arms]
    settings: Mapping[Scale, Any]
    minutes: Mapping[Scale, float]

    def at(self, scale: Scale) -> Arms:
        """The study; raises TestudoError for a scale that it does not have."""
        if scale not in self.settings:
            raise TestudoError(f"study {self.name} has no scale {scale} (allowed: {', '.join(self.settings)})")
        return self.make(self.settings[scale])

    def needs(self, scale: Scale) -> tuple[str, ...]:
        """The data sets of a scale, by name."""
        recipes = [recipe for _, recipe in self.at(scale).every_run().values()]
        return tuple(dict.fromkeys(name for recipe in recipes for name in _sources(recipe.data)))


def _sources(data: DataSet) -> list[str]:
    """The data sets that one is made of, itself if of none."""
    if isinstance(data, Extended):
        return [*_sources(data.data), *_sources(data.extra)]
    return _sources(data.data) if isinstance(data, Wrapped) else [DATA.name_of(type(data))]
