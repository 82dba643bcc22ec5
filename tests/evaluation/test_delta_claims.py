"""Claims on Deltas, and claims whose sides name their own tasks."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from testudo.errors import TestudoError
from testudo.evaluation.claims import judge
from testudo.evaluation.columns import ROWS
from testudo.evaluation.summarise import deltas, summarise
from testudo.reports.claims import Claim, Side

N = 300
DAMAGE = {"clean": (1.0, 1.0), "weak": (0.8, 0.9), "strong": (0.5, 0.4)}  # what is left of each task


def rows_of(run, attack, task, metric, values):
    """Rows of one run; the truth is always 1, a task of numbers is off by ``values``."""
    known = {"run": run, "task": task, "metric": metric, "attack": attack, "family": attack, "norm": "", "eps": 0.0}
    known |= {"steps": 0, "objective": "", "loss": 0.0, "linf": 0.0, "l2": 0.0}
    frame = pl.DataFrame({"example": range(N), "score": values}).with_columns(
        **{name: pl.lit(value) for name, value in known.items()}
    )
    records = pl.Series([[float(value), 1.0] for value in values], dtype=pl.List(pl.Float32))
    return frame.with_columns(further=pl.lit([], ROWS["further"]), record=records).select(*ROWS).cast(dict(ROWS))


@pytest.fixture(scope="module")
def rows():
    draw, parts = np.random.default_rng(0), []
    for run in ("net-s0", "net-s1", "other-s0", "other-s1"):
        right, off = draw.random(N), 1 + draw.random(N)
        for attack, (kept, near) in DAMAGE.items():
            parts.append(rows_of(run, attack, "digit", "accuracy", (right < 0.9 * kept).astype(float)))
            parts.append(rows_of(run, attack, "depth", "aerr", off / near))
    return pl.concat(parts)


GROUPS = {name: [f"{name}-s0", f"{name}-s1"] for name in ("net", "other")}


def claim(first, second, task="delta_wor"):
    return Claim("it is so", "a paper", task, ((Side(*first), Side(*second)),))


@pytest.mark.parametrize("name", ["delta_mtl", "delta_wor"])
def test_a_delta_is_the_summarys(rows, name):
    (found,) = judge(rows, [claim(("net", "weak"), ("net", "strong"), name)], GROUPS)
    known = summarise(rows, {run: group for group, runs in GROUPS.items() for run in runs}).filter(metric=name)
    value = {(row["group"], row["attack"]): row["value"] for row in known.iter_rows(named=True)}
    row = found.found[0]
    assert (row["value"], row["counterpart_value"]) == pytest.approx((value["net", "weak"], value["net", "strong"]))
    assert row["difference"] == pytest.approx(value["net", "weak"] - value["net", "strong"])
    assert row["low"] < row["difference"] < row["high"]
    assert (row["n"], row["metric"], found.speak, found.verdict) == (N, name, (1,), "holds")


def test_the_stronger_attack_is_the_worse_side(rows):
    first, second = ("net", "strong"), ("net", "weak")
    (found,) = judge(rows, [claim(first, second)], GROUPS)
    assert (found.speak, found.verdict) == ((-1,), "does not hold")


def test_replicates_are_paired(rows):
    same, across = judge(rows, [claim(("net", "weak"), ("net", "weak")), claim(("net", "weak"), ("other", "weak"))],
                         GROUPS)  # fmt: skip
    assert (same.found[0]["low"], same.found[0]["high"]) == (0, 0)
    assert same.verdict == "not decided"
    assert across.found[0]["low"] < across.found[0]["high"]
    values = deltas(rows, resamples=50)
    assert values["net-s0", "weak", "delta_mtl"].shape == (51,)
    assert {attack for _, attack, _ in values} == {"weak", "strong"}


def test_a_side_names_its_own_task(rows):
    pairs = tuple((Side("net", "weak", task), Side("net", "strong", task)) for task in ("digit", "depth"))
    made = Claim("both", "a paper", "each task", pairs)
    (found,) = judge(rows, [made], GROUPS)
    straight = judge(rows, [claim(("net", "weak"), ("net", "strong"), task) for task in ("digit", "depth")], GROUPS)
    assert [row["metric"] for row in found.found] == ["accuracy", "aerr"]
    assert [row["difference"] for row in found.found] == [each.found[0]["difference"] for each in straight]
    assert found.speak == (1, 1)
    assert Claim.of(json.loads(json.dumps(asdict(made)))) == made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rows: claim(("net", "weak", "digit"), ("net", "weak", "depth")), "compares 'digit' with 'depth'"),
        (lambda rows: judge(rows, [claim(("net", "clean"), ("net", "weak"))], GROUPS), "needs an attack and clean"),
        (lambda rows: judge(rows.filter(pl.col("attack") != "clean"), [claim(("net", "weak"), ("net", "strong"))],
                            GROUPS), "needs an attack and clean rows"),
        (lambda rows: judge(rows, [claim(("net", "wek"), ("net", "weak"))], GROUPS), "unknown attack"),
        (lambda rows: judge(rows, [claim(("nut", "weak"), ("net", "weak"))], GROUPS), "unknown group"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(rows, make, message):
    with pytest.raises(TestudoError, match=message) as caught:
        make(rows)
    assert "\n" not in str(caught.value)
