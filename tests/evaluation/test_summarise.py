from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import scipy.stats
import torch
from polars.testing import assert_frame_equal

from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS, columns, read_rows
from testudo.evaluation.metrics import METRICS, delta
from testudo.evaluation.summarise import SUMMARY, bootstrap, certain, interval, resamples_of, summarise
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.depth import Depth
from testudo.tasks.maps import HOG
from testudo.tasks.normals import Normals
from testudo.tasks.regression import Regression
from testudo.tasks.segmentation import Segmentation

ATTACKS = {"clean": ("clean", "", 0.0, 0), "pgd10": ("pgd", "linf", 0.1, 10), "fgsm": ("fgsm", "linf", 0.1, 1)}


def rows_of(task, record, *, run="a", attack="clean", examples=None, score=None) -> pl.DataFrame:
    """Result rows of one run, task and attack from records (n, R)."""
    n = len(record)
    family, norm, eps, steps = ATTACKS[attack]
    return pl.DataFrame(
        {
            "run": run,
            "example": np.arange(n) if examples is None else examples,
            "task": task.name,
            "metric": task.metric_name,
            "further": [list(task.further)] * n,
            "attack": attack,
            "family": family,
            "norm": norm,
            "eps": eps,
            "steps": steps,
            "objective": "" if family == "clean" else "digit+size:equal",
            "score": np.zeros(n, np.float32) if score is None else np.asarray(score, np.float32),
            "loss": 0.0,
            "linf": eps,
            "l2": 0.0,
            "record": np.asarray(record, np.float32).tolist(),
        },
        schema=ROWS,
    )


def judged(task, prediction, target, **where) -> pl.DataFrame:
    return rows_of(task, task.record(prediction, target).numpy(), score=task.score(prediction, target), **where)


def draw(task, n, generator):
    """Random predictions and partly unknown labels for a task."""
    if task.dense:
        prediction = torch.randn(n, task.channels, 2, 3, generator=generator)
        if isinstance(task, Segmentation):
            return prediction, torch.tensor([0, 2, 255])[torch.randint(0, 3, (n, 2, 3), generator=generator)]
        target = task.as_label(torch.rand(prediction.shape, generator=generator) + 0.1)
        return prediction, target.masked_fill(torch.rand(n, 1, 2, 3, generator=generator) < 0.5, torch.nan)
    prediction = torch.randn(n, task.channels, generator=generator)
    if isinstance(task, Classification):
        return prediction, torch.randint(-1, task.classes, (n,), generator=generator)
    if isinstance(task, MultiLabel):
        target = torch.randint(0, 2, (n, task.channels), generator=generator).float()
    else:
        target = torch.randn(n, task.channels, generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = torch.nan
    return prediction.round(decimals=1), target  # rounded: equal logits occur


@pytest.mark.parametrize(
    "task",
    [
        Classification("digit", classes=5),
        MultiLabel("finding", labels=("a", "b", "c")),
        Regression("age", mean=40.0, std=10.0),
        Regression("box", outputs=3, loss_kind="l2"),
        Segmentation("room", classes=3),
        Depth("depth"),
        Normals("normal"),
        HOG("hog", bins=4),
    ],
    ids=lambda task: task.name,
)
def test_rows_give_the_metric_torchmetrics_gives(task):
    generator = torch.Generator().manual_seed(3)
    prediction, target = draw(task, 200, generator)
    expected = task.metric()
    expected.update(prediction, target)
    row = summarise(judged(task, prediction, target), resamples=20).row(0, named=True)
    assert row["value"] == pytest.approx(float(expected.compute()), abs=1e-5)
    assert row["n"] == int(task.valid(target).sum())
    assert row["low"] <= row["value"] <= row["high"]


def test_resamples_draw_n_examples_and_do_not_depend_on_the_block():
    small = np.concatenate(list(resamples_of(7, 50, 1)))
    assert small.shape == (50, 7)
    assert (small.sum(1) == 7).all()
    assert (small == np.concatenate(list(resamples_of(7, 60, 1)))[:50]).all()
    assert not (small == np.concatenate(list(resamples_of(7, 50, 2)))).all()


def test_the_interval_has_the_binomial_width_and_covers_the_truth():
    generator = np.random.default_rng(0)
    task, covered, widths = Classification("digit"), 0, []
    for trial in range(100):
        record = np.stack([np.ones(200), generator.random(200) < 0.8], 1)
        row = summarise(rows_of(task, record), resamples=300, seed=trial).row(0, named=True)
        covered += row["low"] <= 0.8 <= row["high"]
        widths.append(row["high"] - row["low"])
    assert 88 <= covered <= 99
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 200), rel=0.05)


@pytest.fixture
def study() -> pl.DataFrame:
    """Two runs of two tasks, clean and attacked; the attack takes half of what was right."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for run in ("a", "b"):
        for task in (Classification("digit", classes=2), Regression("size")):
            prediction, target = draw(task, 60, generator)
            for attack in ATTACKS:
                hit = (
                    prediction if attack == "clean" else prediction + torch.randn(prediction.shape, generator=generator)
                )
                parts.append(judged(task, hit, target, run=run, attack=attack))
    return pl.concat(parts)


def pick(summary, **where) -> dict:
    return summary.row(by_predicate=pl.all_horizontal(pl.col(k) == v for k, v in where.items()), named=True)


def test_a_group_is_the_mean_of_its_runs(study):
    alone = summarise(study, resamples=50)
    together = summarise(study, {"a": "both", "b": "both"}, resamples=50)
    assert together.schema == SUMMARY
    for task in ("digit", "size"):
        where = {"task": task, "attack": "pgd10"}
        a, b = (pick(alone, group=run, **where) for run in "ab")
        row = pick(together, group="both", **where)
        assert row["value"] == pytest.approx((a["value"] + b["value"]) / 2)
        assert row["spread"] == pytest.approx(abs(a["value"] - b["value"]) / np.sqrt(2))
        assert (row["runs"], a["runs"], a["spread"]) == (2, 1, None)
        assert (row["family"], row["norm"], row["eps"], row["steps"]) == ATTACKS["pgd10"]
    assert pick(together, task="size", attack="clean")["higher_is_better"] is False


def test_delta_rows_follow_from_the_metric_rows(study):
    summary = summarise(study, resamples=50)
    digit, size = (
        delta(
            pick(summary, group="a", task=t, attack="clean")["value"],
            pick(summary, group="a", task=t, attack="fgsm")["value"],
            up,
        )
        for t, up in (("digit", True), ("size", False))
    )
    mtl = pick(summary, group="a", task="*", attack="fgsm", metric="delta_mtl")
    wor = pick(summary, group="a", task="*", attack="fgsm", metric="delta_wor")
    assert mtl["value"] == pytest.approx((digit + size) / 2)
    assert wor["value"] == pytest.approx(max(digit, size))
    assert mtl["low"] < mtl["value"] < mtl["high"]
    assert summary.filter(task="*", attack="clean").is_empty()


def test_delta_compares_the_same_examples():
    """An attack on the first ten examples is held against the clean metric of those ten."""
    task = Classification("digit")
    clean = rows_of(task, np.stack([np.ones(40), np.arange(40) < 10], 1))
    attacked = rows_of(task, np.stack([np.ones(10), np.arange(10) < 5], 1), attack="pgd10")
    summary = summarise(pl.concat([clean, attacked]), resamples=20)
    assert pick(summary, metric="delta_mtl")["value"] == pytest.approx(-0.5)


@pytest.fixture
def rooms() -> pl.DataFrame:
    """Depth and normals of two runs, clean and attacked."""
    generator, parts = torch.Generator().manual_seed(1), []
    for run, task, attack in itertools.product("ab", (Depth("depth"), Normals("normal")), ("clean", "fgsm")):
        parts.append(judged(task, *draw(task, 40, generator), run=run, attack=attack))
    return pl.concat(parts)


def test_further_metrics_stand_below_the_primary_one(rooms):
    summary = summarise(rooms, {"a": "both", "b": "both"}, resamples=30)
    assert summary.filter(task="normal", attack="fgsm")["metric"].to_list() == [
        "mdist", "median", "within11", "within22", "within30",
    ]  # fmt: skip
    assert summary.filter("primary").select("task", "attack", "metric").rows() == [
        ("depth", "clean", "aerr"), ("depth", "fgsm", "aerr"),
        ("normal", "clean", "mdist"), ("normal", "fgsm", "mdist"),
        ("*", "fgsm", "delta_mtl"), ("*", "fgsm", "delta_wor"),
    ]  # fmt: skip
    for row in summary.filter(~pl.col("primary")).iter_rows(named=True):
        part = rooms.filter(task=row["task"], attack=row["attack"])
        each = [np.array(run["record"].to_list()) for run in part.partition_by("run")]
        measure = METRICS[row["metric"]]
        assert row["value"] == pytest.approx(np.mean([measure.compute(records, None) for records in each]))
        assert row["low"] <= row["value"] <= row["high"]
        assert row["higher_is_better"] == measure.higher_is_better
        assert row["n"] == pick(summary, task=row["task"], attack=row["attack"], primary=True)["n"]


def test_deltas_are_of_primary_metrics(rooms):
    plain = rooms.with_columns(further=pl.lit([], pl.List(pl.String)))
    assert_frame_equal(summarise(rooms, resamples=30).filter("primary"), summarise(plain, resamples=30))


def test_rows_made_before_there_were_further_metrics_have_none(rooms, tmp_path):
    old = rooms.drop("further")
    plain = rooms.with_columns(further=pl.lit([], pl.List(pl.String)))
    assert_frame_equal(summarise(old, resamples=10), summarise(plain, resamples=10))
    old.write_parquet(tmp_path / "rows.parquet")
    assert_frame_equal(read_rows(tmp_path / "rows.parquet"), plain)


def test_the_summary_is_set_by_rows_and_seed_alone(study):
    first = summarise(study, resamples=40, seed=5)
    np.random.default_rng(0).random()
    assert first.equals(summarise(study, resamples=40, seed=5))
    assert not first["low"].equals(summarise(study, resamples=40, seed=6)["low"])
    shuffled = summarise(study.sample(fraction=1, shuffle=True, seed=1), resamples=40, seed=5)
    keys = ["group", "task", "attack", "metric"]
    assert_frame_equal(first.sort(keys), shuffled.sort(keys))


def test_replicates_are_shared_by_all_columns(study):
    """Differences between two columns of the same records have no spread."""
    column = columns(study)["a", "digit", "clean"]
    first, second = bootstrap([column, column.only(np.ones(60, bool))], 30, 0)
    assert (first == second).all()
    for undefined in (np.nan, np.inf):
        assert interval(np.full(9, undefined)) == pytest.approx((np.nan, np.nan), nan_ok=True)


def test_mistakes_are_told_in_one_line(study):
    with pytest.raises(TestudoError, match="lack the column 'record'"):
        summarise(study.drop("record"))
    with pytest.raises(TestudoError, match="no result rows"):
        summarise(study.clear())
    with pytest.raises(TestudoError, match="unknown run 'c'"):
        summarise(study, {"c": "group"})
    with pytest.raises(TestudoError, match="did you mean 'accuracy'"):
        summarise(study.with_columns(metric=pl.lit("acuracy")))
    with pytest.raises(TestudoError, match="example 0 appears more than once"):
        summarise(pl.concat([study, study.head(1)]))
    ragged = study.with_columns(record=pl.when(pl.col("example") == 3).then([1.0]).otherwise("record"))
    with pytest.raises(TestudoError, match="records must all have one length"):
        summarise(ragged)


def test_rows_are_read_back_or_refused(study, tmp_path):
    path = tmp_path / "rows.parquet"
    with pytest.raises(TestudoError, match=r"no result rows at .*rows\.parquet"):
        read_rows(path)
    study.write_parquet(path)
    assert read_rows(path).equals(study)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(TestudoError, match="not a readable Parquet file") as told:
        read_rows(path)
    assert "\n" not in str(told.value)
    study.with_columns(pl.col("eps").cast(pl.String)).write_parquet(path)
    with pytest.raises(TestudoError, match="column 'eps' must be Float64, found String"):
        read_rows(path)


def test_no_torch_is_needed():
    code = "import sys, testudo.evaluation.significance; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("n", [1, 30, 300])
@pytest.mark.parametrize("value", [0, 1])
def test_a_share_of_0_or_1_has_the_exact_interval(n, value):
    expected = scipy.stats.binomtest(value * n, n).proportion_ci(0.95, "exact")
    assert certain(value, n) == pytest.approx((expected.low, expected.high))
