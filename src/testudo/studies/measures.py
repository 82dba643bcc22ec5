"""What a study asks of its trained models beside its suites."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from testudo.attacks.base import Attack
from testudo.crossed import transfer
from testudo.evaluation.columns import columns
from testudo.evaluation.evaluate import Evaluation
from testudo.evaluation.pareto import hypervolume
from testudo.evaluation.summarise import bootstrap, interval
from testudo.evaluation.theory.geometry import geometry_correlation, gradient_geometry, overall
from testudo.evaluation.theory.gradients import task_gradients
from testudo.evaluation.transfer import FROM, Transfer
from testudo.reports.readings import Reading
from testudo.run import Run

Groups = Mapping[str, Sequence[Run]]  # the runs of each variant, seed by seed


@dataclass(frozen=True)
class Measure(ABC):
    """A table made of a study's runs.

    Args:
        title: of the table.
        caption: how it is made, in a sentence or two.
        said: what a paper says of it.
    """

    title: str
    caption: str
    said: tuple[Reading, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """The table.

        Args:
            rows: the study's result rows.
            groups: its runs.
        """


@dataclass(frozen=True)
class Fronts(Measure):
    """The hypervolume of fronts of (clean, robust) accuracy, each spanned by some of the study's variants.

    Intervals are of a bootstrap over test images, the same replicates for all.

    Args:
        title, caption: see :class:`Measure`.
        fronts: the variants that span each front, by its name.
        task, attack: what is accurate, under what.
    """

    fronts: Mapping[str, tuple[str, ...]]
    task: str
    attack: str

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """One row for each front: the usual volume above (0, 0), and GAT's, for which less is better."""
        table = columns(rows.filter((pl.col("task") == self.task) & pl.col("attack").is_in(["clean", self.attack])))
        values = dict(zip(table, bootstrap(list(table.values()), 1000, 0), strict=True))
        means = {
            (variant, on): np.mean([values[run.name, self.task, on] for run in groups[variant]], 0)
            for variant in {name for front in self.fronts.values() for name in front}
            for on in ("clean", self.attack)
        }
        lines = []
        for name, variants in self.fronts.items():
            points = np.stack([[means[variant, on] for on in ("clean", self.attack)] for variant in variants], 1)
            drawn = points.transpose(2, 1, 0)  # (1 + B, models, 2)
            usual = _spanned("above (0, 0)", [hypervolume(each, (0.0, 0.0)) for each in drawn])
            theirs = _spanned("the paper's way", [hypervolume(each, (1.0, 1.0), maximise=False) for each in drawn])
            lines.append({"front": name, "models": len(variants), **usual, **theirs})
        return pl.DataFrame(lines)


def _spanned(name: str, values: Sequence[float]) -> dict[str, float]:
    """A number and its interval, of which it is the first and its replicates the others."""
    low, high = interval(np.array(values[1:]))
    return {name: values[0], f"{name}_low": low, f"{name}_high": high}


@dataclass(frozen=True)
class Crossing(Measure):
    """How often images made against one variant fool another: seed by seed, then the mean over seeds.

    Args:
        title, caption: see :class:`Measure`.
        attack: what makes the images.
        task: whose answers count.
    """

    attack: Attack
    task: str

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """One row for each surrogate and target."""
        parts = []
        for seed in range(len(next(iter(groups.values())))):
            found = transfer([runs[seed] for runs in groups.values()], self.attack, Evaluation(device="auto")).rows
            names = {runs[seed].name: group for group, runs in groups.items()}
            attacks = pl.col("attack").str.split_exact(FROM, 1).struct
            surrogate = attacks.field("field_1").replace(names)
            named = pl.when(surrogate.is_null()).then("attack").otherwise(attacks.field("field_0") + FROM + surrogate)
            matrix = Transfer(found.with_columns(run=pl.col("run").replace(names), attack=named)).matrix()
            parts.append(matrix.filter(pl.col("task") == self.task))
        means = ("success", "success_low", "success_high", "clean", "value")
        table = pl.concat(parts).group_by("surrogate", "target", maintain_order=True)
        return table.agg(pl.col("n").first(), *(pl.col(name).mean() for name in means), seeds=pl.len())


@dataclass(frozen=True)
class Geometry(Measure):
    """Cosine, likeness in length and curvature of two tasks' input gradients, correlated with robust accuracy.

    Args:
        title, caption: see :class:`Measure`.
        task, attack: what is accurate, under what.
        examples: test examples whose gradients are taken, evenly spaced; 0: all.
    """

    task: str
    attack: str
    examples: int = 0

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """One row for each measure, over the runs that have two tasks at least."""
        how, lines = Evaluation(device="auto", examples=self.examples), []
        robust = rows.filter((pl.col("task") == self.task) & (pl.col("attack") == self.attack))
        scores = dict(robust.group_by("run").agg(pl.col("score").mean()).iter_rows())
        for run in (run for runs in groups.values() for run in runs if len(run.tasks) > 1):
            gradients = task_gradients(how.target(run.model()), how.chosen(run.test()))
            lines.append({"robust": scores[run.name], **overall(gradient_geometry(gradients))})
        return geometry_correlation(pl.DataFrame(lines))
