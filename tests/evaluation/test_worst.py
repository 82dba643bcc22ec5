"""The worst of several attacks, against every choice there is."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from helpers import batch, multi
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import L2, Linf
from testudo.errors import TestudoError
from testudo.evaluation.columns import ROWS
from testudo.evaluation.evaluate import Evaluation, evaluate
from testudo.evaluation.metrics import METRICS, delta, miou
from testudo.evaluation.summarise import summarise
from testudo.evaluation.worst import lowest_miou, worst_case

WORST, JOINT = "worst case linf 0.1", "worst case (joint) linf 0.1"
TASKS = {"digit": "accuracy", "age": "error", "rooms": "miou", "signs": "auroc"}


def record(metric, draw):
    """A random record and its score."""
    if metric == "accuracy":
        guess, truth = draw.integers(0, 2, 2)
        return [guess, truth], float(guess == truth)
    if metric == "error":
        guess, truth = draw.integers(1, 9, 2)
        return [guess, truth], float(abs(guess - truth))
    if metric == "miou":
        counts = draw.integers(0, 4, 4) + np.array([1, 0, 0, 0])
        return counts, float(miou(counts[None].astype(float)))
    logit, truth = draw.normal(), draw.integers(0, 2)
    return [logit, truth], float((logit > 0) == truth)


def made(seed, attacks=3, n=3, tasks=TASKS, clean=True):
    """Result rows of attacks a0, a1, ... in one ball, with random scores."""
    draw = np.random.default_rng(seed)
    names = [*(["clean"] if clean else []), *(f"a{number}" for number in range(attacks))]
    rows = []
    for name, (task, metric), example in itertools.product(names, tasks.items(), range(n)):
        kept, score = record(metric, draw)
        what = ("clean", "", 0.0, 0) if name == "clean" else ("pgd", "linf", 0.1, 5)
        loss = float(draw.integers(0, 3))
        facts = ("r", 10 * example, task, metric, [], name, *what, "all:equal", score, loss, 0.1, 0.2)
        rows.append((*facts, [float(value) for value in kept]))
    return pl.DataFrame(rows, schema=ROWS, orient="row")


def value(rows, task, attack):
    """The metric of one attack on one task."""
    part = rows.filter(task=task, attack=attack).sort("example")
    return float(METRICS[TASKS[task]].compute(np.array(part["record"].to_list()), None))


def choices(rows, task):
    """The metric for every way to give each example one of the candidates."""
    records = np.array([part["record"].to_list() for part in parts(rows, task)])
    everyone = range(records.shape[1])
    ways = itertools.product(range(len(records)), repeat=len(everyone))
    return [float(METRICS[TASKS[task]].compute(records[list(way), everyone], None)) for way in ways]


def parts(rows, task):
    return rows.filter(task=task).sort("example").partition_by("attack", maintain_order=True)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("clean", [True, False])
def test_a_mean_of_scores_is_the_worst_of_all_choices(seed, clean):
    rows = made(seed, clean=clean)
    worst = worst_case(rows)
    assert value(worst, "digit", WORST) == min(choices(rows, "digit"))
    assert value(worst, "age", WORST) == max(choices(rows, "age"))


def test_mean_iou_of_the_whole_is_no_higher_than_any_attacks_and_mostly_the_least_there_is():
    exact, cases = 0, 60
    for seed in range(cases):
        rows = made(seed, n=4)
        found = value(worst_case(rows), "rooms", WORST)
        assert found <= min(value(rows, "rooms", name) for name in ("clean", "a0", "a1", "a2"))
        least = min(choices(rows, "rooms"))
        assert found >= least
        exact += found == least
    assert exact >= 0.9 * cases


def test_each_images_own_worst_is_not_the_worst_of_the_whole():
    """One image where class 1 has a single pixel: missing it is bad for the image, and nothing to the whole."""
    counts = np.array([[[99, 0, 1, 0], [0, 0, 0, 1.0]], [[50, 49, 0, 1], [0, 0, 0, 1.0]]])  # (A=2, n=2, 4)
    own = np.array([miou(image) for image in counts[:, 0, None]])
    assert own.argmin() == 1
    for start in itertools.product(range(2), repeat=2):
        chosen = lowest_miou(counts, np.array(start))
        values = [float(miou(counts[list(way), range(2)])) for way in itertools.product(range(2), repeat=2)]
        assert float(miou(counts[chosen, range(2)])) == min(values)


@given(
    counts=st.integers(2, 4).flatmap(
        lambda a: st.lists(st.lists(st.integers(0, 5), min_size=9, max_size=9), min_size=a * 5, max_size=a * 5)
    ),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_the_choice_is_a_local_optimum_whatever_it_begins_with(counts, data):
    records = np.array(counts, float).reshape(-1, 5, 9)
    records[..., 0] += 1  # every image has a labelled pixel
    attacks = len(records)
    start = data.draw(st.lists(st.integers(0, attacks - 1), min_size=5, max_size=5))
    chosen = lowest_miou(records, np.array(start))
    found = np.nan_to_num(miou(records[chosen, range(5)]), nan=1)
    assert found <= np.nan_to_num(miou(records[start, range(5)]), nan=1) + 1e-12
    for image, attack in itertools.product(range(5), range(attacks)):
        other = chosen.copy()
        other[image] = attack
        assert found <= np.nan_to_num(miou(records[other, range(5)]), nan=1) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_those_of_the_candidates_and_ties_go_to_the_larger_loss(seed):
    rows, facts = made(seed, n=6), ["attack", "family", "norm", "eps", "steps", "objective"]
    worst = worst_case(rows)
    assert worst.schema == ROWS
    assert worst["attack"].unique(maintain_order=True).to_list() == [WORST, JOINT]
    kinds = worst.select(facts[1:]).unique().rows()
    assert kinds == [("worst_case", "linf", pytest.approx(0.1), 15, "worst of a0, a1, a2")]
    own = worst.filter(attack=WORST)
    assert len(own.join(rows, on=[name for name in ROWS if name not in facts], how="semi")) == len(own)
    for row in own.filter(pl.col("task").is_in(["digit", "age", "signs"])).iter_rows(named=True):
        same = rows.filter(task=row["task"], example=row["example"])
        if row["task"] != "signs":
            same = same.filter(score=same["score"].min() if row["task"] == "digit" else same["score"].max())
        assert row["loss"] == same["loss"].max()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("clean", [True, False])
def test_one_candidate_for_all_tasks_has_the_lowest_mean_change(seed, clean):
    rows = made(seed, n=4, clean=clean)
    joint = worst_case(rows).filter(attack=JOINT)
    for example in range(0, 40, 10):
        options = {}
        for (name,), part in rows.filter(example=example).partition_by("attack", as_dict=True).items():
            changes = []
            for row in part.iter_rows(named=True):
                upward = METRICS[row["metric"]].higher_is_better
                all_scores = rows.filter(example=example, task=row["task"])
                before = all_scores["score"].max() if upward else all_scores["score"].min()
                before = all_scores.filter(attack="clean")["score"][0] if clean else before
                change = float(np.clip(delta(before, row["score"], upward), -1, 1))
                changes.append(row["score"] - 1 if row["metric"] == "accuracy" else change)
            options[name] = (np.mean(changes), -part["loss"].mean())
        best = min(options, key=options.get)
        picked = joint.filter(example=example).sort("task").select("score", "loss")
        assert picked.equals(rows.filter(example=example, attack=best).sort("task").select("score", "loss"))


def test_attacks_of_a_real_model_by_norm_and_eps():
    weak, strong = Linf(0.03), Linf(0.06)
    attacks = {
        "clean": None,
        "fgsm": FGSM(weak),
        "pgd": PGD(weak, steps=3),
        "on digit": PGD(weak, Objective(("digit",)), steps=2),
        "far": PGD(strong, steps=2),
        "round": PGD(L2(0.3), steps=2),
        "round too": FGSM(L2(0.3)),
    }
    rows = evaluate(multi(), batch(12), attacks, "r", Evaluation(precision="float32"))
    worst = worst_case(rows)
    names = ["worst case linf 0.03", "worst case (joint) linf 0.03", "worst case l2 0.3", "worst case (joint) l2 0.3"]
    assert worst["attack"].unique(maintain_order=True).to_list() == names
    told = summarise(pl.concat([rows, worst]), resamples=20)
    found = {(row["task"], row["attack"]): row["value"] for row in told.iter_rows(named=True)}
    members = ("clean", "fgsm", "pgd", "on digit")
    assert found["digit", names[0]] <= min(found["digit", name] for name in members)
    assert found["angle", names[0]] >= max(found["angle", name] for name in members)
    assert found["angle", names[1]] <= found["angle", names[0]]
    one = worst_case(rows, ["fgsm", "pgd"], "both")
    assert one["attack"].unique(maintain_order=True).to_list() == ["both linf 0.03", "both (joint) linf 0.03"]
    assert set(one["objective"]) == {"worst of fgsm, pgd"}
    single = worst_case(rows.filter(task="digit"))
    assert single["attack"].unique(maintain_order=True).to_list() == names[::2]  # one task needs no joint choice


def test_what_cannot_be_combined():
    rows = made(0)
    assert worst_case(rows, ["a0"]).schema == ROWS
    assert len(worst_case(rows, ["a0"])) == len(worst_case(rows.head(0))) == 0
    with pytest.raises(TestudoError, match="unknown attack 'b'"):
        worst_case(rows, ["b"])
    for lacking in (
        rows.slice(0, len(rows) - 1),
        rows.filter(~((pl.col("attack") == "a1") & (pl.col("task") == "age"))),
    ):
        with pytest.raises(TestudoError, match="needs attacks on the same tasks and examples"):
            worst_case(lacking)
    with pytest.raises(TestudoError, match="unknown metric 'x'"):
        worst_case(rows.with_columns(metric=pl.lit("x")))


def test_further_metrics_come_along():
    rows = made(0).with_columns(further=pl.when(task="rooms").then(["pixel_accuracy"]).otherwise([]))
    worst = worst_case(rows)
    assert worst.filter(task="rooms")["further"].to_list() == [["pixel_accuracy"]] * worst.filter(task="rooms").height
    told = summarise(pl.concat([rows, worst]), resamples=10).filter(metric="pixel_accuracy")
    assert told["attack"].to_list() == ["clean", "a0", "a1", "a2", WORST, JOINT]
    assert worst_case(rows.drop("further"))["further"].list.len().max() == 0
