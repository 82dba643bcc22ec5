"""Claims judged by rows: the differences are those of the comparison, and each speaks the right way."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from testudo.errors import TestudoError
from testudo.evaluation.claims import judge
from testudo.evaluation.columns import ROWS
from testudo.evaluation.significance import compare_groups
from testudo.reports.claims import Beside, Claim, Side


def rows_of(run, attack, values, metric="accuracy", task="t"):
    """Rows of one run under one attack; the truth is always 1."""
    n = len(values)
    told = {"run": [run] * n, "example": range(n), "task": task, "metric": metric, "attack": attack, "score": values}
    fixed = {"family": attack, "norm": "", "eps": 0.0, "steps": 0, "objective": "", "loss": 0.0, "linf": 0.0, "l2": 0.0}
    frame = pl.DataFrame(told).with_columns(**{name: pl.lit(value) for name, value in fixed.items()})
    records = pl.Series([[float(value), 1.0] for value in values], dtype=pl.List(pl.Float32))
    return frame.with_columns(further=pl.lit([], ROWS["further"]), record=records).select(*ROWS).cast(dict(ROWS))


def hits(share, n=400, seed=0):
    return (np.random.default_rng(seed).random(n) < share).astype(float)


@pytest.fixture
def rows():
    shares = {("good-s0", "pgd"): 0.9, ("good-s1", "pgd"): 0.8, ("bad-s0", "pgd"): 0.3, ("bad-s1", "pgd"): 0.4}
    shares |= {("good-s0", "clean"): 0.95, ("good-s1", "clean"): 0.95, ("same-s0", "pgd"): 0.9, ("same-s1", "pgd"): 0.8}
    return pl.concat([rows_of(*key, hits(share, seed=len(key[0]))) for key, share in shares.items()])


GROUPS = {name: [f"{name}-s0", f"{name}-s1"] for name in ("good", "bad", "same")}


def claim(*pairs, share=1.0):
    return Claim("it is so", "a paper", "t", tuple((Side(*a), Side(*b)) for a, b in pairs), share)


def test_a_pair_is_the_paired_comparison(rows):
    (found,) = judge(rows, [claim((("good", "pgd"), ("bad", "pgd")))], GROUPS)
    straight = compare_groups(rows, GROUPS["good"], GROUPS["bad"], "t", "pgd")
    for name in ("difference", "low", "high", "n", "p_values"):
        assert found.found[0][name] == pytest.approx(asdict(straight)[name])
    assert (found.speak, found.verdict) == ((1,), "holds")


def test_each_verdict(rows):
    better, worse = (("good", "pgd"), ("bad", "pgd")), (("bad", "pgd"), ("good", "pgd"))
    equal = (("good", "pgd"), ("same", "pgd"))
    across = (("good", "clean"), ("good", "pgd"))
    claims = [claim(better), claim(worse), claim(equal), claim(across), claim(better, worse, share=0.5)]
    claims += [claim(better, worse), claim(better, equal)]
    found = judge(rows, claims, GROUPS)
    verdicts = ["holds", "does not hold", "not decided", "holds", "holds", "does not hold", "not decided"]
    assert [each.verdict for each in found] == verdicts
    assert found[2].found[0]["difference"] == 0


def test_where_lower_is_better_the_lower_one_speaks_for_it():
    rows = pl.concat(
        [
            rows_of("good-s0", "pgd", 1 + np.random.default_rng(0).random(200), "error"),
            rows_of("bad-s0", "pgd", 3 + np.random.default_rng(1).random(200), "error"),
        ]
    )
    pair = (("good", "pgd"), ("bad", "pgd"))
    (found,) = judge(rows, [claim(pair)], {"good": ["good-s0"], "bad": ["bad-s0"]})
    assert found.verdict == "holds"
    assert found.found[0]["difference"] < 0


def test_runs_are_paired_in_the_order_of_their_group(rows):
    """Seed by seed, however the rows lie."""
    (straight,) = judge(rows, [claim((("good", "pgd"), ("bad", "pgd")))], GROUPS)
    (found,) = judge(rows.sort("run", descending=True), [claim((("good", "pgd"), ("bad", "pgd")))], GROUPS)
    assert found.found == straight.found


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ((("gone", "pgd"), ("bad", "pgd")), r"unknown group \(of a claim\) 'gone'"),
        ((("bad", "clean"), ("bad", "pgd")), r"unknown attack \(of a claim on 'bad'\) 'clean'"),
    ],
)
def test_what_has_no_rows_is_named(rows, sides, said):
    with pytest.raises(TestudoError, match=said):
        judge(rows, [claim(sides)], GROUPS)


def test_an_unknown_task_is_named(rows):
    other = Claim("so", "", "depth", claim((("good", "pgd"), ("bad", "pgd"))).pairs)
    with pytest.raises(TestudoError, match=r"unknown task \(of a claim\) 'depth'"):
        judge(rows, [other], GROUPS)


def test_claims_and_numbers_come_back_from_plain_values():
    made = claim((("good", "pgd"), ("bad", "pgd")), share=0.5)
    assert Claim.of(asdict(made)) == made
    number = Beside("AutoAttack, macro", "32.54", "", "", Side("macro", "autoattack"), "t")
    assert Beside.of(asdict(number)) == number
    for broken in ({}, {"pairs": [[1]]}, {**asdict(made), "pairs": 3}):
        with pytest.raises(TestudoError, match=r"^study\.json"):
            Claim.of(broken)
    with pytest.raises(TestudoError, match="needs pairs and a share"):
        claim(share=0.5)
