"""Every verb end to end, in this process, on a run of less than a second; every mistake is one line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from PIL import Image

from testudo import cli
from testudo.data.manifest import Manifest
from testudo.registry import FAMILIES
from testudo.run import Run
from testudo.suite import SUITES


def test_train_goes_on_and_says_what_is_next(place, said, tmp_path):
    words = ("train", place / "tiny.toml", "--out", tmp_path / "run", "--set", "trainer.epochs=1", "--seed", "3")
    for _ in range(2):  # the second time there is nothing left to do
        code, out, err = said(*words)
        assert code == 0
        assert f"judge it with: testudo evaluate {tmp_path / 'run'}" in out
    assert "training run: 100%, done in" not in out
    assert "training run: 100%" in err or not err
    assert Run(tmp_path / "run").recipe.seed == 3
    assert said("train", tmp_path / "run")[0] == 0


def test_evaluate_with_each_suite_and_only_once(place, run, said, tmp_path, monkeypatch):
    code, out, err = said("evaluate", run, "--out", tmp_path / "new" / "rows.parquet")
    assert code == 0
    assert "judging run: 100%, done in" in err  # a plain line, since this is no terminal
    assert set(pl.read_parquet(tmp_path / "new" / "rows.parquet")["attack"]) == {
        *("clean", "fgsm", "pgd", "worst case linf 0.1", "worst case (joint) linf 0.1")
    }
    assert "worst case (joint)" in out
    suite = tmp_path / "suite.toml"
    suite.write_text('[attacks.mine]\nkind = "mim"\nsteps = 2\n[attacks.mine.threat]\nkind = "l2"\neps = 0.3\n')
    assert "mine" in said("evaluate", run, "--suite", suite)[1]
    assert "mim20" in said("evaluate", run, "--suite", "fast")[1]
    monkeypatch.setattr("testudo.run.Evaluation.batches", None)  # nothing is computed again
    assert said("evaluate", run, "--suite", "fast", "--batch-size", "7")[0] == 0
    assert "run" in set(Run(run).rows({"clean": None})["run"])


@pytest.mark.parametrize("grey", [True, False])
def test_attack_writes_what_it_tells(place, said, tmp_path, grey):
    folder, out, eps = tmp_path / "in", tmp_path / "out", 12 / 255
    folder.mkdir()
    for name, size in (("a.png", (8, 8)), ("a.bmp", (8, 8)), ("b.png", (13, 9))):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels[..., 0] if grey else pixels).save(folder / name)
    assert said("attack", place / "run", "--image", folder, "--out", out, "--eps", eps, "--steps", "3")[0] == 0
    told, model = json.loads((out / "predictions.json").read_text()), Run(place / "run").model()
    assert len(told) == len({item["adversarial"] for item in told}) == 3
    for item in told:
        hurt, clean = (
            np.asarray(Image.open(out / item["adversarial"])),
            np.asarray(Image.open(item["image"]).convert("L")),
        )
        moved = np.abs(hurt.astype(int) - clean.astype(int)).max()
        assert 0 < moved <= 12
        assert item["linf"] == pytest.approx(moved / 255)
        with torch.no_grad():
            after = model(torch.from_numpy(hurt.copy())[None, None].float() / 255)
        now = {name: task.describe(after[name])[0].split(" ")[0] for name, task in model.tasks.items()}
        assert {t["task"]: t["after"].split(" ")[0] for t in item["tasks"]} == now


def test_attack_on_one_file_and_one_task(place, said, tmp_path):
    file = place / "images" / "0.png"
    words = ("attack", place / "run", "--image", file, "--out", tmp_path / "out", "--tasks", "digit", "--eps", "0")
    assert said(*words)[0] == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "0.adversarial.png")), np.asarray(Image.open(file)))


def test_compare_of_a_run_with_itself_finds_no_difference(place, run, said):
    code, out, _ = said("compare", place / "run", run)
    assert code == 0
    assert "McNemar" in out


def test_compare_leaves_out_attacks_that_share_only_their_name(place, run, refused, said):
    toml = run / "recipe.toml"
    toml.write_text(toml.read_text().replace("eps = 0.1", "eps = 0.2"))
    out = said("compare", place / "run", run)[1]
    assert "clean" in out
    assert "fgsm" not in out


def test_list_every_family(said):
    for family, registry in FAMILIES.items():
        out = said("list", family)[1]
        assert all(name in out for name in registry.names())


def test_data(place, said, refused, tmp_path):
    file = place / "images" / "digits.csv"
    assert "manifest" in said("data", "list")[1]
    assert "train: 40 images, 1 x 8 x 8" in said("data", "check", "manifest", "--data-dir", file)[1]
    assert said("data", "show", "digits", "--set", "data.size=8", "--out", tmp_path / "x.png", "--count", "4")[0] == 0
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"
    refused("is embedded and takes no --data-dir", "data", "check", "digits", "--data-dir", "x")
    refused("needs the name of a data set", "data", "check")
    refused("unknown data set 'didgits'; did you mean 'digits'?", "data", "check", "didgits")


@pytest.mark.parametrize("words", [[], *([verb] for verb in cli.VERBS)])
def test_help(said, words):
    code, out, _ = said(*words, "--help")
    assert code == 0
    assert "usage: testudo" in out
    assert said("--version")[1].strip().count(".") == 2


MISTAKES = [
    ("unknown command 'trian'; did you mean 'train'?", "trian"),
    ("did you mean --seed", "train", "x.toml", "--sed", "1"),
    ("--seed", "train", "x.toml", "--seed", "one"),
    ("Missing from testudo train", "train"),
    ("no recipe at nowhere.toml", "train", "nowhere.toml"),
    ("an override is written path=value", "train", "x.toml", "--set", "epochs"),
    ("is no run folder", "evaluate", "."),
    ("is no run folder", "compare", ".", "."),
    ("is no run folder", "attack", ".", "--image", "x.png", "--out", "out"),
    ("no study at", "report", "."),
    ("unknown study 'quick'; did you mean 'quickstart'?", "study", "quick"),
    ("workers must be at least 0", "study", "quickstart", "--workers", "-1", "--set", "data.size=8"),
    ("did you mean 'epochs'?", "study", "quickstart", "--set", "epoch=1"),
    ("study quickstart: linf must be rising radii", "study", "quickstart", "--set", "linf=[]"),
    ("data: digits: size must be", "study", "quickstart", "--set", "data.size=1"),
    ("attack", "list", "attack"),
    ("nowhere", "data", "check", "cifar10", "--data-dir", "nowhere"),
    ("nowhere.csv", "data", "check", "manifest", "--data-dir", "nowhere.csv"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: " ".join(case[1:]))
def test_what_is_typed_wrong_is_one_line(refused, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    refused(*case)


def test_mistakes_about_a_run(place, run, refused, said, tmp_path):
    refused("holds another recipe (trainer.epochs: 2 there, 3 here)", "train", run, "--set", "trainer.epochs=3")
    refused("unknown suite 'fsat'; did you mean 'fast'?", "evaluate", run, "--suite", "fsat")
    refused("no suite file at none.toml", "evaluate", run, "--suite", "none.toml")
    refused("batch_size must be at least 1", "evaluate", run, "--batch-size", "0")
    refused("device 'tpu' cannot be used", "evaluate", run, "--suite", "fast", "--device", "tpu")
    refused("unknown task 'digits'; did you mean 'digit'?", *attack_on(place, run, tmp_path), "--tasks", "digits")
    refused("eps must be at least 0", *attack_on(place, run, tmp_path), "--eps", "-1")
    refused("no image files at", "attack", run, "--image", run, "--out", tmp_path / "out")
    refused("cannot write", *attack_on(place, run, tmp_path)[:-1], run / "run.json" / "x")
    refused("holds the images themselves", *attack_on(place, run, tmp_path)[:-1], place / "images")
    assert "cannot write" in said("evaluate", run, "--out", run / "run.json" / "x")[2].splitlines()[-1]
    refused("cannot write", "train", place / "tiny.toml", "--out", run / "run.json")


def attack_on(place, run, tmp_path):
    return ["attack", run, "--image", place / "images" / "0.png", "--out", tmp_path / "out"]


def told_by(out):
    (item,) = json.loads((out / "predictions.json").read_text())
    return item


CHOSEN = [
    (("--attack", "fgsm"), "fgsm", "linf", 0.1),  # the recipe's suite has one of this name
    (("--attack", "mim", "--steps", "3", "--eps", "0.2"), "mim", "linf", 0.2),
    (("--norm", "l2", "--eps", "1.5", "--steps", "5"), "pgd", "l2", 1.5),
    (("--attack", "apgd", "--norm", "l1", "--eps", "6", "--steps", "5"), "apgd", "l1", 6.0),
    (("--attack", "autoattack", "--tasks", "digit", "--steps", "5", "--eps", "0.2"), "autoattack", "linf", 0.2),
    (("--attack", "pgd", "--norm", "l2", "--eps", "2"), "pgd", "l2", 2.0),
]


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: " ".join(case[0]))
def test_attack_by_name_norm_and_steps_stays_in_its_ball_after_rounding(place, run, said, tmp_path, case):
    words, family, norm, eps = case
    code, out, _ = said(*attack_on(place, run, tmp_path), *words)
    assert code == 0
    assert "8-bit rounding is included" in out
    assert "1 of 1 then lie within" in out
    item = told_by(tmp_path / "out")
    assert (item["attack"]["family"], item["attack"]["norm"]) == (family, norm)
    assert item["attack"]["eps"] == pytest.approx(eps)
    hurt, clean = (
        np.asarray(Image.open(path)).astype(float) / 255
        for path in (tmp_path / "out" / item["adversarial"], item["image"])
    )
    size = np.linalg.norm((hurt - clean).ravel(), {"linf": np.inf, "l2": 2, "l1": 1}[norm])
    assert item["size"] == pytest.approx(size, rel=1e-4)
    assert item["inside"]
    assert 0 < size <= eps + 1e-6
    with Image.open(tmp_path / "out" / "0.picture.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 800


def test_mistakes_about_an_attack(place, run, refused, tmp_path):
    words = attack_on(place, run, tmp_path)
    refused("unknown attack 'fsgm'; did you mean 'fgsm'?", *words, "--attack", "fsgm")
    refused("autoattack attacks one classification task, got digit, parity", *words, "--attack", "autoattack")
    refused("fgsm has no steps to choose", *words, "--attack", "fgsm", "--steps", "3")
    refused("--norm l2 needs --eps", *words, "--norm", "l2")
    refused("unknown threat 'l3'", *words, "--norm", "l3", "--eps", "1")
    refused("steps and restarts must be at least 1", *words, "--steps", "0")
    refused("worst_case needs attacks by name", *words, "--attack", "worst_case")


SUITE_MISTAKES = [
    (
        'kind = "apgd"\ntargets = 12\nobjective = { tasks = ["digit"] }',
        "targets must be at most 9 for task 'digit', got 12",
    ),
    ('kind = "apgd"\nobjective = { tasks = ["digits"] }', "unknown task 'digits'; did you mean 'digit'?"),
    ('kind = "autoattack"', "autoattack attacks one classification task, got digit, parity"),
    ('kind = "pgd"\nthreat = { kind = "linf", eps = 0.1, mask = [true] }', "mask"),
]


@pytest.mark.parametrize(("text", "message"), SUITE_MISTAKES)
def test_a_suite_that_the_model_cannot_be_given_is_one_line_before_any_work(run, refused, tmp_path, text, message):
    suite = tmp_path / "suite.toml"
    suite.write_text(f"[attacks.mine]\n{text}\n")
    before = set((run / "rows").iterdir())
    refused(message, "evaluate", run, "--suite", suite)
    assert set((run / "rows").iterdir()) == before


def test_autoattack_on_a_model_without_a_classification(tmp_path, refused, said):
    made = tiny.recipe(tiny.images(tmp_path / "images"), suite=False, epochs=1)
    numbers = Manifest(made.data.file, columns={"digit": "regression"})
    tiny.saved(replace(made, data=numbers, tasks=("digit",), validation=None), tmp_path / "tiny.toml")
    run = tmp_path / "run"
    assert said("train", tmp_path / "tiny.toml", "--out", run)[0] == 0
    suite = tmp_path / "suite.toml"
    suite.write_text('[attacks.strong]\nkind = "autoattack"\n')
    refused("attack 'strong': autoattack attacks one classification task, got digit", "evaluate", run, "--suite", suite)


def test_the_help_names_every_suite(said):
    out = " ".join(said("evaluate", "--help")[1].replace("│", " ").split())
    assert all(name in out for name in SUITES)
