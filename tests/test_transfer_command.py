"""``testudo transfer``: what it shows and writes, and its mistakes."""

from __future__ import annotations

import shutil

import polars as pl
import pytest
import tiny

from testudo.evaluation.columns import read_rows
from testudo.evaluation.transfer import Transfer
from testudo.run import train


@pytest.fixture(scope="module")
def pair(place):
    """Two runs on the same images."""
    train(tiny.recipe(str(place / "images" / "digits.csv"), "madry", seed=3, name="second"), place / "second")
    return place / "run", place / "second"


def test_it_shows_the_matrix_and_writes_what_it_shows(pair, said, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    words = ("transfer", *pair, "--steps", "2", "--eps", "0.1", "--batch-size", "4")
    code, out, err = said(*words, "--out", tmp_path / "out")
    assert code == 0
    assert "transfer among 2 runs: 100%, done in" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("digit.svg", "matrix.csv", "parity.svg", "rows.parquet", "transfer.md")
    ]
    matrix = pl.read_csv(tmp_path / "out" / "matrix.csv")
    assert matrix.select("surrogate", "target").unique().height == 4
    assert set(matrix["attack"]) == {"pgd2 linf 0.1"}
    found = Transfer(read_rows(tmp_path / "out" / "rows.parquet"))
    assert found.markdown() == (tmp_path / "out" / "transfer.md").read_text()
    for line in found.matrix().iter_rows(named=True):
        assert f"{100 * line['success']:.1f}" in out
        assert line["target"] in out


def test_an_attack_of_the_recipes_suites_and_tasks_by_name(pair, said):
    assert "digit: fgsm linf 0.1 on digit" in said("transfer", *pair, "--attack", "fgsm")[1]
    assert (
        "digit: pgd2 l2 0.5 on parity"
        in said(*("transfer", *pair, "--norm", "l2", "--eps", "0.5", "--steps", "2", "--tasks", "parity"))[1]
    )


def test_mistakes(pair, refused, run, tmp_path):
    one, two = pair
    refused("needs two runs or more, got none", "transfer")
    refused("needs two runs or more, got 1", "transfer", one)
    refused("is given twice", "transfer", one, one)
    refused("unknown attack 'pdg'; did you mean 'pgd'?", "transfer", one, two, "--attack", "pdg")
    refused("no run folder", "transfer", one, tmp_path)
    refused("unknown task 'half'", "transfer", one, two, "--tasks", "half")
    refused("batch_size must be at least 1", "transfer", one, two, "--batch-size", "0")
    other = shutil.copytree(two, tmp_path / "other")
    toml = other / "recipe.toml"
    head, suite = toml.read_text().split("[suite.fgsm]")
    toml.write_text(head + "[suite.fgsm]" + suite.replace("eps = 0.1", "eps = 0.2", 1))
    refused("'fgsm' is one attack in the suite of", "transfer", one, other, "--attack", "fgsm")
