"""The worst of several attacks: for each task by itself, and for all tasks together.

Needs no torch. Shapes: A candidates (the attacks, and the clean images), K tasks, n examples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from testudo.errors import TestudoError, unknown
from testudo.evaluation.columns import ROWS, Array, whole
from testudo.evaluation.metrics import delta, miou, named
from testudo.reports.wording import radius

Index = NDArray[np.integer]


def worst_case(rows: pl.DataFrame, attacks: Sequence[str] | None = None, name: str = "worst case") -> pl.DataFrame:
    """Result rows of the worst attack per example, made from those of several attacks.

    Attacks are combined per run, norm and eps, where there are two or more; the clean images count as one more
    candidate where ``rows`` has them, since every ball holds them. A group gives two attacks more:

    * ``"worst case linf 8/255"``: per example **and task** the candidate with the worst score, of equals that with the
      larger loss. A metric that is no mean of scores is treated as a whole: for ``miou``, which comes from one
      confusion matrix, see :func:`lowest_miou`; for ``auroc`` the candidate with the largest loss counts.
    * ``"worst case (joint) linf 8/255"``, where there are several tasks: per example **one** candidate for all tasks,
      that with the lowest mean over tasks of the change of the example's score: -1 for a wrong class and 0 for a
      right one (``accuracy``), otherwise :func:`~testudo.evaluation.metrics.delta` against the example's clean
      score (without clean rows: its best score among the candidates), clipped to [-1, 1]. Tasks without a label do
      not count. Of equals that with the larger mean loss counts, then the first.

    Args:
        rows: of any runs, tasks and attacks; every attack of a group on the same examples.
        attacks: the names to combine; by default all.
        name: what the attacks are called, before norm and eps.

    Returns:
        Rows of the same schema, of family ``"worst_case"``: steps are the sum over the attacks, objective names
        them; none where no norm and eps has two attacks.

    Raises:
        TestudoError: an unknown attack, attacks on different examples, or an unknown metric.
    """
    rows = whole(rows)
    there = rows["attack"].unique().to_list()
    for each in attacks or ():
        if each not in there:
            raise unknown("attack", each, there)
    hits = rows.filter(pl.col("family") != "clean", True if attacks is None else pl.col("attack").is_in(attacks))
    made = [pl.DataFrame(schema=ROWS)]
    for (run, norm, eps), group in hits.partition_by("run", "norm", "eps", as_dict=True, maintain_order=True).items():
        names = group["attack"].unique(maintain_order=True).to_list()
        if len(names) < 2:
            continue
        clean = rows.filter(pl.col("family") == "clean", pl.col("run") == run)
        clean = clean.join(group.select("example", "task").unique(), on=["example", "task"], how="semi")
        candidates = _Candidates.of(pl.concat([part.select(*ROWS) for part in (group, clean)]))
        facts = {
            "family": "worst_case",
            "norm": norm,
            "eps": eps,
            "steps": int(group.unique("attack")["steps"].sum()),
            "objective": f"worst of {', '.join(names)}",
        }
        ball = f"{norm} {radius(float(str(eps)))}"
        made.append(candidates.picked(candidates.alone(), facts | {"attack": f"{name} {ball}"}))
        if len(candidates.metrics) > 1:
            joint = candidates.jointly(clean=not clean.is_empty())
            made.append(candidates.picked(joint, facts | {"attack": f"{name} (joint) {ball}"}))
    return pl.concat(made)


def lowest_miou(records: Array, start: Index) -> Index:
    """Which candidate counts for each image, so that the mean IoU of all images together is low: (n,).

    It begins with the lowest of these: ``start``, or one candidate for all images. Then it goes through the images in
    their order, again and again, each time giving an image the candidate at which the whole is lowest while all other
    images stay as they are, until nothing changes. So the result is no higher than any single attack's, and no change
    of one image lowers it; but it is a local optimum (as is SEA's greedy choice, Croce et al. 2024), not
    always the least of all A^n choices.

    Args:
        records: (A, n, C * C) confusion counts, [true, predicted].
        start: (n,) a first choice, such as each image's own worst.
    """
    counts = np.nan_to_num(records).astype(np.float64)
    each, everyone = np.eye(len(counts)), np.arange(counts.shape[1])
    starts = [np.asarray(start), *(np.full(len(everyone), a) for a in range(len(counts)))]
    values = miou(np.stack([counts[choice, everyone].sum(0) for choice in starts]), np.eye(len(starts)))
    choice = starts[int(values.argmin())].copy()
    total, moved = counts[choice, everyone].sum(0), True
    while moved:  # counts are whole numbers, so sums are exact; every change is strictly down, so it ends
        moved = False
        for image in everyone:
            wholes = total - counts[choice[image], image] + counts[:, image]
            values = miou(wholes, each)
            best = values.argmin()
            if values[best] < values[choice[image]]:
                choice[image], total, moved = best, wholes[best], True
    return choice


@dataclass(frozen=True, eq=False)
class _Candidates:
    """What is to be chosen from, of one run, norm and eps: rows by candidate, task and example; the clean ones last."""

    rows: pl.DataFrame  # A * K * n, in that order
    metrics: list[str]  # K
    score: Array  # (A, K, n)
    loss: Array  # (A, K, n)

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Candidates:
        """Put rows in order; raises TestudoError where attacks differ in tasks or examples, or for unknown metrics."""
        orders = {name: rows[name].unique(maintain_order=True) for name in ("attack", "task")}
        size = (len(orders["attack"]), len(orders["task"]), rows["example"].n_unique())
        for name, values in orders.items():
            place = dict(zip(values, range(len(values)), strict=True))
            rows = rows.with_columns(pl.col(name).replace_strict(place, return_dtype=pl.Int64).alias(f"{name} number"))
        rows = rows.sort("attack number", "task number", "example")
        whole = len(rows) == math.prod(size)
        examples = rows["example"].to_numpy().reshape(size if whole else (-1, 1, 1))
        if not whole or (examples != examples[0, 0]).any():
            names = ", ".join(map(repr, orders["attack"]))
            raise TestudoError(f"a worst case needs attacks on the same tasks and examples; these differ: {names}")
        metrics = rows["metric"].to_list()[: size[1] * size[2] : size[2]]
        for metric in metrics:
            named(metric)  # or there is none
        score, loss = (rows[name].to_numpy().astype(np.float64).reshape(size) for name in ("score", "loss"))
        return cls(rows.select(*ROWS), metrics, score, loss)

    def picked(self, choice: Index, facts: dict[str, object]) -> pl.DataFrame:
        """The rows of candidates ``choice`` (K, n), called by ``facts``."""
        _, tasks, n = self.score.shape
        at = (choice * tasks + np.arange(tasks)[:, None]) * n + np.arange(n)
        made = self.rows[at.ravel()].with_columns(**{key: pl.lit(value) for key, value in facts.items()})
        return made.select(*ROWS).cast(dict(ROWS))

    def alone(self) -> Index:
        """(K, n) the candidate that counts for each task by itself."""
        return np.stack([self._worst(task, metric) for task, metric in enumerate(self.metrics)])

    def jointly(self, clean: bool) -> Index:
        """(K, n) the same candidate for all tasks of an example; ``clean``: the last candidate is the clean images."""
        changes = np.stack([self._change(task, metric, clean) for task, metric in enumerate(self.metrics)], 1)
        known = ~np.isnan(changes)
        count = np.maximum(known.sum(1), 1)
        change, loss = (np.where(known, values, 0).sum(1) / count for values in (changes, self.loss))
        return np.broadcast_to(_least(change, -loss), changes.shape[1:])

    def _worst(self, task: int, metric: str) -> Index:
        score, loss = self.score[:, task], self.loss[:, task]
        if metric == "auroc":
            return _least(-loss)
        own = _least(score if named(metric).higher_is_better else -score, -loss)
        if metric != "miou":
            return own
        _, tasks, n = self.score.shape
        parts = [self.rows["record"][(a * tasks + task) * n :][:n] for a in range(len(score))]
        return lowest_miou(np.stack([part.list.to_array(len(part[0])).to_numpy() for part in parts]), own)

    def _change(self, task: int, metric: str, clean: bool) -> Array:
        """(A, n) how much better each candidate leaves one task's scores, in [-1, 1]."""
        score, upward = self.score[:, task], named(metric).higher_is_better
        if metric == "accuracy":
            return np.where(np.isnan(score), np.nan, np.where(score < 1, -1, 0))
        before = score[-1] if clean else (np.fmax if upward else np.fmin).reduce(score)
        return np.clip(delta(before, score, upward), -1, 1)


def _least(*keys: Array) -> Index:
    """(A, n) keys -> (n,) the candidate with the least first key, of equals the least second, ..., the first."""
    return np.lexsort([np.nan_to_num(key, nan=np.inf, posinf=np.inf, neginf=-np.inf) for key in keys[::-1]], axis=0)[0]
