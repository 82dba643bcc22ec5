"""The AUROC of each of several labels, with its interval, from the same rows as their mean."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from testudo.evaluation.columns import ROWS
from testudo.evaluation.summarise import summarise
from testudo.evaluation.worst import worst_case
from testudo.tasks.classification import Classification, MultiLabel

N, LABELS = 60, ("edema", "Pleural Effusion", "bone of contention")
TASK = MultiLabel("finding", labels=LABELS)


def rows_of(task, prediction, target, attack="clean"):
    count = len(target)
    return pl.DataFrame(
        {
            **{"run": "a", "example": np.arange(count), "task": task.name, "metric": task.metric_name},
            "further": pl.Series([list(task.further)] * count, dtype=pl.List(pl.String)),
            **{"attack": attack, "family": "clean" if attack == "clean" else "pgd", "norm": "linf", "eps": 0.1},
            **{"steps": 1, "objective": "", "score": task.score(prediction, target).numpy(), "loss": 0.0},
            **{"linf": 0.0, "l2": 0.0, "record": task.record(prediction, target).tolist()},
        },
        schema=ROWS,
    )


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(4)
    target = (torch.rand(N, 3, generator=generator) < 0.4).float()
    target[torch.rand(N, 3, generator=generator) < 0.2] = torch.nan
    return torch.randn(N, 3, generator=generator) + target.nan_to_num(0), target


def test_each_label_has_its_own_area_and_interval(drawn):
    prediction, target = drawn
    summary = summarise(rows_of(TASK, prediction, target), resamples=200)
    (primary,) = summary.filter("primary").iter_rows(named=True)
    assert primary["metric"] == "auroc"
    each = summary.filter(~pl.col("primary"))
    assert each["metric"].to_list() == [f"auroc of {label}" for label in LABELS]
    assert primary["value"] == pytest.approx(each["value"].mean())
    for place, row in enumerate(each.iter_rows(named=True)):
        known = ~target[:, place].isnan()
        wanted = roc_auc_score(target[known, place], prediction[known, place])
        assert row["value"] == pytest.approx(wanted)
        assert row["n"] == int(known.sum())
        assert row["higher_is_better"]
        alone = MultiLabel("finding", labels=(LABELS[place],))
        assert alone.further == ()
        rows = rows_of(alone, prediction[:, [place]], target[:, [place]])
        (single,) = summarise(rows, resamples=200).iter_rows(named=True)
        assert (row["value"], row["low"], row["high"]) == (single["value"], single["low"], single["high"])


def test_a_label_that_is_never_present_has_none(drawn):
    prediction, target = drawn
    target[:, 1] = torch.where(target[:, 1].isnan(), torch.nan, 0.0)
    summary = summarise(rows_of(TASK, prediction, target), resamples=50)
    values = dict(summary.select("metric", "value").iter_rows())
    assert np.isnan(values["auroc of Pleural Effusion"])
    others = [values["auroc of edema"], values["auroc of bone of contention"]]
    assert values["auroc"] == pytest.approx(np.mean(others))


def test_attacks_worst_cases_and_other_tasks_go_with_it(drawn):
    prediction, target = drawn
    kind = Classification("kind", classes=2)
    parts = [rows_of(TASK, prediction, target), rows_of(TASK, -prediction, target, "pgd")]
    parts += [rows_of(kind, prediction[:, :2], torch.arange(N) % 2, attack) for attack in ("clean", "pgd")]
    rows = pl.concat(parts)
    summary = summarise(pl.concat([rows, worst_case(rows)]), resamples=20)
    clean, hurt = (summary.filter(~pl.col("primary"), attack=attack)["value"].to_numpy() for attack in ("clean", "pgd"))
    assert np.allclose(clean + hurt, 1)
    assert summary.filter(task="*", attack="pgd")["metric"].to_list() == ["delta_mtl", "delta_wor"]
