"""Result rows: their schema, what they hold, and that nothing but model, data and attack decides them."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from helpers import assert_unchanged, batch, multi, snapshot

from testudo.attacks.ensemble import AutoAttack, WorstCase
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import Margin
from testudo.attacks.threat import L2, Linf
from testudo.balance.minmax import MinMax
from testudo.data.batch import Batch
from testudo.data.digits import Digits
from testudo.data.loader import Loader
from testudo.errors import TestudoError
from testudo.evaluation import kept
from testudo.evaluation.columns import ROWS, read_rows
from testudo.evaluation.evaluate import Evaluation, describe, evaluate
from testudo.evaluation.summarise import summarise
from testudo.run import train

ATTACKS = {"clean": None, "pgd": PGD(Linf(0.06), steps=3), "mim": MIM(L2(0.3), Objective(("digit",)), steps=2)}
EXACT = Evaluation(precision="float32")


@pytest.fixture(scope="module")
def rows():
    return evaluate(multi(), batch(9), ATTACKS, "r", EXACT)


def test_one_row_per_example_task_and_attack(rows):
    assert rows.schema == ROWS
    assert len(rows) == 9 * 3 * 3
    assert rows.select("example", "task", "attack").n_unique() == len(rows)
    assert set(rows["example"]) == set((torch.arange(9) * 7 + 3).tolist())
    assert set(rows["run"]) == {"r"}
    kinds = rows.select("attack", "family", "norm", "eps", "steps", "objective").unique().sort("attack").rows()
    assert kinds == [
        ("clean", "clean", "", 0.0, 0, ""),
        ("mim", "mim", "l2", 0.3, 2, "digit"),
        ("pgd", "pgd", "linf", 0.06, 3, "all:equal"),
    ]


def test_perturbations_stay_in_their_ball_and_unlabelled_scores_are_nan(rows):
    clean, pgd, mim = (rows.filter(attack=name) for name in ("clean", "pgd", "mim"))
    assert clean["linf"].max() == clean["l2"].max() == 0
    assert 0 < pgd["linf"].max() <= 0.06 + 1e-6
    assert 0 < mim["l2"].max() <= 0.3 + 1e-6
    unknown = rows.filter(pl.col("score").is_nan()).select("example", "task").unique()
    assert unknown.rows() == [(10, "digit")]  # a regression or multi-label example with one unknown still counts
    assert (
        rows.filter(task="digit", attack="pgd")["loss"].sum() >= rows.filter(task="digit", attack="clean")["loss"].sum()
    )


def test_rows_do_not_depend_on_the_batch_size_nor_on_the_form_of_the_data(rows):
    data = batch(9)
    forms = [data.split(2), iter(data.split(4)), data]
    hows = [EXACT, EXACT, replace(EXACT, batch_size=2)]
    for form, how in zip(forms, hows, strict=True):
        found = evaluate(multi(), form, ATTACKS, "r", how)
        key = ["attack", "task", "example"]
        a, b = rows.sort(key), found.sort(key)
        assert a.select(key).equals(b.select(key))
        assert np.allclose(a["loss"], b["loss"], atol=1e-4)
        assert np.allclose(a["score"], b["score"], equal_nan=True, atol=1e-4)


def test_the_same_call_gives_the_same_bits_and_leaves_the_model_alone(rows):
    model = multi().train()
    before = snapshot(model)
    first = evaluate(model, batch(9), ATTACKS, "r", replace(EXACT, device="cpu"))
    assert_unchanged(model, before)
    assert first.equals(evaluate(model, batch(9), ATTACKS, "r", EXACT), null_equal=True)
    assert first.equals(rows, null_equal=True)


def test_a_split_gives_the_metric_that_a_direct_computation_gives(tmp_path):
    run = train(tiny.recipe(tiny.images(tmp_path / "images")), tmp_path / "run")
    examples, model = run.recipe.data.load("test"), run.model()
    found = evaluate(model, examples, {"clean": None}, "r", EXACT)
    with torch.no_grad():
        outputs = model(examples.batch(range(len(examples))).images)
    for task in model.tasks:
        accuracy = float((outputs[task].argmax(1) == examples.targets[task]).float().mean())
        line = summarise(found, resamples=10).row(by_predicate=pl.col("task") == task, named=True)
        assert (line["value"], line["n"]) == (pytest.approx(accuracy), len(examples))
    loaded = evaluate(model, Loader(examples, 3)(), {"clean": None}, "r", EXACT)
    assert loaded["score"].sum() == found["score"].sum()


def test_watchers_empty_data_and_missing_labels():
    told = []
    evaluate(multi(), batch(4), ATTACKS, watch=lambda *what: told.append(what))
    assert told == [("clean", 4), ("pgd", 4), ("mim", 4)]
    for nothing in (batch(0), [], Digits(size=8).load("test").take([])):
        found = evaluate(multi(), nothing, {"clean": None})
        assert (found.schema, len(found)) == (ROWS, 0)
    assert evaluate(multi(), batch(4), {}).schema == ROWS
    data = batch(4)
    only = Batch(data.images, {"digit": data.targets["digit"]}, data.ids)
    assert set(evaluate(multi(), only, {"clean": None})["task"]) == {"digit"}
    with pytest.raises(TestudoError, match="the batch has no labels for it"):
        evaluate(multi(), only, {"pgd": ATTACKS["pgd"]})


def test_mistakes_are_told():
    with pytest.raises(TestudoError, match="batch_size must be at least 1, got 0"):
        Evaluation(batch_size=0)
    with pytest.raises(TestudoError, match="device 'tpu' cannot be used"):
        evaluate(multi(), batch(2), {"clean": None}, how=Evaluation(device="tpu"))
    with pytest.raises(TestudoError, match="one eps per attack"):
        describe(PGD(Linf(torch.tensor([0.1, 0.2]))))


def test_rows_tell_masks_balances_surrogates_and_targets():
    def told(**how):
        return describe(PGD(objective=Objective(**how)))["objective"]

    assert told(tasks=("digit", "angle"), balance=MinMax()) == "digit+angle:minmax"
    assert told(tasks=("digit",), surrogate=Margin()) == "digit by margin"
    assert told(surrogate={"digit": Margin(), "angle": lambda task, guess, aim: guess.mean(1)}) == (
        "all:equal by digit margin, angle Custom"
    )
    assert told(surrogate={}) == told() == "all:equal"
    assert told(tasks=("digit",), targeted=True) == "digit, targeted"
    half = Linf(0.1, mask=torch.zeros(5, 4, dtype=torch.bool))
    assert describe(PGD(half))["norm"] == "linf masked"
    ensemble = describe(AutoAttack(objective=Objective(("digit",))))
    assert (ensemble["family"], ensemble["steps"], ensemble["objective"]) == ("autoattack", 100, "digit")
    several = describe(WorstCase(attacks={"a": PGD(steps=3), "b": MIM(steps=4)}))
    assert (several["family"], several["steps"], several["objective"]) == ("worst_case", 7, "all:equal")


def test_a_run_keeps_its_rows_until_weights_or_attack_change(tmp_path, monkeypatch):
    run = train(tiny.recipe(tiny.images(tmp_path / "images")), tmp_path / "run")
    suite, computed, told = {"clean": None, **run.recipe.suite}, [], []
    real = Evaluation.batches
    monkeypatch.setattr(Evaluation, "batches", lambda *a, **k: computed.append(a[3]) or real(*a, **k))
    first = run.rows(suite, watch=lambda *what: told.append(what))
    assert told == [("clean", 0), ("clean", 1), ("fgsm", 1), ("fgsm", 2), ("pgd", 2), ("pgd", 3)]
    assert first.equals(run.rows(suite, Evaluation(batch_size=3)), null_equal=True)
    assert computed == ["clean", "fgsm", "pgd"]
    run.rows({"pgd": PGD(Linf(0.2), steps=2)})
    assert run.rows({"other name": run.recipe.suite["pgd"]})["attack"].unique().to_list() == ["other name"]
    assert computed[3:] == ["pgd"]  # and what an attack is called makes no difference
    other = train(replace(copy.copy(run.recipe), seed=1), tmp_path / "other")
    (run.folder / "best.safetensors").write_bytes((other.folder / "best.safetensors").read_bytes())
    run.rows(suite)
    assert computed[4:] == ["clean", "fgsm", "pgd"]
    assert all(len(read_rows(path)) == 20 for path in (run.folder / "rows").glob("*.parquet"))
    assert run.rows({}).schema == ROWS


class Stopped(Exception):
    """What stands for Ctrl-C, after so many batches."""


def stopping(real, after):
    """``Evaluation.batches`` that stops before batch ``after``, counted from wherever it begins."""

    def batches(*args, **kwargs):
        for number, made in enumerate(real(*args, **kwargs)):
            if number == after:
                raise Stopped
            yield made

    return batches


@pytest.mark.parametrize("every", [-1.0, 1e9])  # a part for each batch, or all that is there when it is stopped
def test_an_attack_goes_on_at_the_batch_where_it_was_stopped(tmp_path, monkeypatch, every):
    run = train(tiny.recipe(tiny.images(tmp_path / "images")), tmp_path / "run")
    how, suite = Evaluation(batch_size=3), {"pgd": run.recipe.suite["pgd"]}
    straight = run.rows(suite, how)
    shutil.rmtree(run.folder / "rows")
    monkeypatch.setattr(kept, "SAVE_EVERY", every)
    real, begun = Evaluation.batches, []
    for after in (2, 1):
        monkeypatch.setattr(Evaluation, "batches", stopping(real, after))
        with pytest.raises(Stopped):
            run.rows(suite, how)
    files = sorted(path.name for path in (run.folder / "rows").glob("*.parts/*"))
    assert files == (
        ["3-0-1.parquet", "3-1-2.parquet", "3-2-3.parquet"] if every < 0 else ["3-0-2.parquet", "3-2-3.parquet"]
    )
    told = []
    monkeypatch.setattr(Evaluation, "batches", lambda *a: begun.append(a[-1]) or real(*a))
    assert run.rows(suite, how, lambda *what: told.append(what)).equals(straight, null_equal=True)
    assert begun == [3]
    assert told == [("pgd", 0.75), ("pgd", 1)]  # four batches
    assert not list((run.folder / "rows").glob("*.parts"))


def test_parts_of_another_batch_size_are_left_alone_and_damaged_ones_are_made_again(tmp_path, monkeypatch):
    run = train(tiny.recipe(tiny.images(tmp_path / "images")), tmp_path / "run")
    how, suite = Evaluation(batch_size=2), {"fgsm": run.recipe.suite["fgsm"]}
    straight, real, begun = run.rows(suite, how), Evaluation.batches, []
    (path,) = (run.folder / "rows").glob("*.parquet")
    monkeypatch.setattr(kept, "SAVE_EVERY", -1.0)
    for size, hurt, wanted in ((4, None, 0), (2, "2-3-4", 3), (2, "2-0-1", 0)):
        path.unlink()
        monkeypatch.setattr(Evaluation, "batches", stopping(real, 4 if size == 2 else 2))
        with pytest.raises(Stopped):
            run.rows(suite, replace(how, batch_size=size))
        if hurt:
            part = path.with_suffix(".parts") / f"{hurt}.parquet"
            part.write_bytes(part.read_bytes()[:-30])
        monkeypatch.setattr(Evaluation, "batches", lambda *a: begun.append(a[-1]) or real(*a))
        assert run.rows(suite, how).equals(straight, null_equal=True)
        assert begun.pop() == wanted
