"""Every verb end to end, in this process, on a run of less than a second; every mistake is one line."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from PIL import Image

from testudo import cli
from testudo.registry import FAMILIES
from testudo.run import Run, train


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, a recipe, and a trained and judged run; nothing in it is changed."""
    root = tmp_path_factory.mktemp("place")
    made = tiny.recipe(tiny.images(root / "images"), "standard")
    tiny.saved(made, root / "tiny.toml")
    train(made, root / "run").rows({"clean": None, **made.suite})
    return root


@pytest.fixture
def run(place, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(place / "run", tmp_path / "run")


@pytest.fixture
def said(capsys):
    """Call the command line: ``(exit code, standard output, standard error)``."""

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


@pytest.fixture
def refused(said):
    """Call the command line, which must refuse in one line that holds ``message``."""

    def call(message, *words):
        code, _, err = said(*words)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith("testudo: ")
        assert message in err, err

    return call


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
    assert set(pl.read_parquet(tmp_path / "new" / "rows.parquet")["attack"]) == {"clean", "fgsm", "pgd"}
    assert "pgd" in out
    suite = tmp_path / "suite.toml"
    suite.write_text('[attacks.mine]\nkind = "mim"\nsteps = 2\n[attacks.mine.threat]\nkind = "l2"\neps = 0.3\n')
    assert "mine" in said("evaluate", run, "--suite", suite)[1]
    assert "mim20" in said("evaluate", run, "--suite", "fast")[1]
    monkeypatch.setattr("testudo.run.Evaluation.rows", None)  # nothing is computed again
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


SUITES = [
    ("", "holds [attacks.NAME] tables and nothing else"),
    ("[attacks]\na = 5", "attacks.a: must be a table"),
    ('[attacks.a]\nkind = "pdg"', "attacks.a.kind: unknown attack 'pdg'; did you mean 'pgd'?"),
    ('[attacks.a]\nkind = "pgd"\nsteps = -1', "attacks.a.pgd: steps and restarts must be at least 1"),
    ('[attacks.clean]\nkind = "pgd"', "no attack may be called 'clean'"),
    ('[attack.a]\nkind = "pgd"', "holds [attacks.NAME] tables and nothing else"),
    ('[attacks.a]\nkind = "fgsm"\n[attacks.a.objective]\ntasks = ["paritie"]', "did you mean 'parity'?"),
]


@pytest.mark.parametrize(("text", "message"), SUITES)
def test_mistakes_in_a_suite_file(run, refused, tmp_path, text, message):
    (tmp_path / "suite.toml").write_text(text)
    refused(message, "evaluate", run, "--suite", tmp_path / "suite.toml")


def test_a_recipe_whose_attacks_the_model_cannot_be_given_is_refused_before_training(place, refused, tmp_path):
    words = ("train", place / "tiny.toml", "--out", tmp_path / "run", "--set")
    refused("attack 'fgsm': unknown task 'half'", *words, 'suite.fgsm.objective.tasks=["half"]')
    refused("attack 'validation': unknown task", *words, 'validation.objective.tasks=["x"]')
    refused("unknown task (in the recipe's tasks) 'half'", *words, 'tasks=["half"]')
    refused("unknown task (in the method's weights) 'digits'", *words, "method.weights={digits = 1.0}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["run.json", "recipe.toml", "log.jsonl", "best.safetensors", "last.safetensors"])
def test_a_run_folder_with_a_changed_byte_is_as_before_or_one_line(run, said, name):
    draw, whole = random.Random(name), (run / name).read_bytes()
    shutil.rmtree(run / "rows")
    for number in range(12):
        content = bytearray(whole)
        place = draw.randrange(len(content))
        content[place : place + 1] = bytes(draw.choice([b"", b"\xff", b"x", b"0", b'"', b"{"]))
        (run / name).write_bytes(content if number else b"")
        before = {path: path.read_bytes() for path in run.glob("*") if path.is_file()}
        for verb in ("train", "evaluate"):
            code, _, err = said(verb, run)
            assert code in (0, 2)
            if code == 2:
                assert err.strip().splitlines()[-1].startswith("testudo: ")
                assert "Traceback" not in err
        if code == 2:
            assert {path: path.read_bytes() for path in before} == before or name == "log.jsonl"
        (run / name).write_bytes(whole)


def test_rows_that_are_damaged_or_cut_are_one_line(run, refused):
    path = next((run / "rows").glob("*.parquet"))
    whole = path.read_bytes()
    draw = random.Random(0)
    flipped = [bytearray(whole) for _ in range(20)]
    for content in flipped:
        place = draw.randrange(whole.index(b"testudo-sha256:"))
        content[place] ^= 1 << draw.randrange(8)
    for content in (b"", whole[:100], whole[:-1], b"x" + whole[1:], *flipped):
        path.write_bytes(content)
        refused(str(path), "evaluate", run)


def test_data_that_changed_since_is_told(run, refused, tmp_path, place):
    images = shutil.copytree(place / "images", tmp_path / "images")
    toml = run / "recipe.toml"
    toml.write_text(toml.read_text().replace(str(place / "images"), str(images)))
    shutil.rmtree(run / "rows")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(images / "5.png")  # the sixth row is a test image
    refused("has changed since it was trained (test)", "evaluate", run)
    refused("has changed since it began (test)", "train", run)
    (images / "digits.csv").unlink()
    refused(str(images / "digits.csv"), "train", run)


def test_an_image_cut_short_is_told_with_its_row(place, refused, tmp_path):
    images = shutil.copytree(place / "images", tmp_path / "images")
    (images / "4.png").write_bytes((images / "4.png").read_bytes()[:60])
    words = ("train", place / "tiny.toml", "--out", tmp_path / "run", "--set", f"data.file={images / 'digits.csv'}")
    for _ in range(2):
        refused("row 5: cannot decode image", *words)


def test_compare_of_runs_on_other_test_data_is_refused(place, run, refused):
    facts = json.loads((run / "run.json").read_text())
    facts["data"]["test"] = "0" * 64
    (run / "run.json").write_text(json.dumps(facts))
    refused("have different test examples", "compare", place / "run", run)


def test_mistakes_in_a_manifest(place, refused, tmp_path):
    file = place / "images" / "digits.csv"
    words = ("train", place / "tiny.toml", "--out", tmp_path / "run", "--set")
    refused("dgit", *words, 'data.columns={dgit = "classification"}')
    refused("data.manifest: unknown kind of column 'digit'", *words, 'data.columns={digit = "clas"}')
    (tmp_path / "one.csv").write_text(Path(file).read_text().replace("even", "odd"))
    refused("unknown task", *words, f"data.file={tmp_path / 'one.csv'}")  # one class is no task


def test_out_of_memory_is_one_line(refused, monkeypatch):
    def greedy(words):
        torch.empty(2**60)

    monkeypatch.setattr(cli, "run", greedy)
    refused("out of memory", "train")


def test_an_error_that_is_not_the_users_is_not_hidden(monkeypatch):
    def broken(words):
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["train"])
