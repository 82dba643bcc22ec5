"""Damaged run folders, changed data, impossible suites and recipes: one line, and nothing is lost."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from testudo import cli

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
    del facts["sha256"]  # as an older version wrote it
    (run / "run.json").write_text(json.dumps(facts))
    refused("have different test examples", "compare", place / "run", run)


def test_mistakes_in_a_manifest(place, refused, tmp_path):
    file = place / "images" / "digits.csv"
    words = ("train", place / "tiny.toml", "--out", tmp_path / "run", "--set")
    refused("dgit", *words, 'data.columns={dgit = "classification"}')
    refused("data.manifest: unknown kind of column 'digit'", *words, 'data.columns={digit = "clas"}')
    images = shutil.copytree(place / "images", tmp_path / "images")
    (images / "one.csv").write_text(file.read_text().replace("even", "odd"))  # a column of one value is no task
    refused("unknown task (in the recipe's tasks) 'parity'", *words, f"data.file={images / 'one.csv'}")


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
