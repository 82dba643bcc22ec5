"""What a study asks of its trained models beside its suites."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from testudo.attacks.base import Attack
from testudo.crossed import transfer
from testudo.evaluation.evaluate import Evaluation
from testudo.evaluation.pareto import hypervolume
from testudo.evaluation.summarise import summarise
from testudo.evaluation.theory.geometry import geometry_correlation, gradient_geometry, overall
from testudo.evaluation.theory.gradients import task_gradients
from testudo.evaluation.transfer import FROM, Transfer
from testudo.run import Run

Groups = Mapping[str, Sequence[Run]]  # the runs of each variant, seed by seed


@dataclass(frozen=True)
class Measure(ABC):
    """A table made of a study's runs.

    Args:
        title: of the table.
        caption: how it is made, in a sentence or two.
    """

    title: str
    caption: str

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
        names = {run.name: group for group, runs in groups.items() for run in runs}
        found = summarise(rows, names).filter(pl.col("primary") & (pl.col("task") == self.task))
        values = {(row["group"], row["attack"]): row["value"] for row in found.iter_rows(named=True)}
        lines = []
        for name, variants in self.fronts.items():
            points = [[values[variant, "clean"], values[variant, self.attack]] for variant in variants]
            usual = hypervolume(points, (0.0, 0.0))
            theirs = hypervolume(points, (1.0, 1.0), maximise=False)
            lines.append({"front": name, "models": len(points), "above (0, 0)": usual, "the paper's way": theirs})
        return pl.DataFrame(lines)


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
