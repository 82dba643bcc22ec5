"""``testudo diagnose`` end to end on a tiny run: its files, going on after a stop, and every mistake in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import tiny
from PIL import Image

from testudo.attacks.threat import L2, Linf
from testudo.commands import diagnose as command
from testudo.evaluation.diagnosis.battery import Battery
from testudo.evaluation.diagnosis.diagnose import Examination
from testudo.evaluation.evaluate import Evaluation
from testudo.run import train

LEAST = Battery(steps=2, restarts=2, longer=3, strong=2, queries=5, draws=2, unbounded=2)


class Stopped(Exception):
    """Raised in the middle of a diagnosis."""


@pytest.fixture(autouse=True)
def _least(monkeypatch):
    monkeypatch.setattr(command, "Examination", partial(Examination, battery=LEAST))
    monkeypatch.setattr("testudo.evaluation.diagnosis.substitute.STEPS", 3)


@pytest.fixture
def made(monkeypatch):
    """The names of the attacks that are made, one for each batch; ``stop`` among them breaks off before "square"."""
    names, real = [], Evaluation.carried

    def carried(self, surrogate, targets, data, name, attack):
        if name == "square" and "stop" in names:
            raise Stopped
        names.append(name)
        return real(self, surrogate, targets, data, name, attack)

    monkeypatch.setattr(Evaluation, "carried", carried)
    return names


def test_it_writes_what_it_shows_and_makes_nothing_twice(run, said, made):
    code, out, err = said("diagnose", run)
    assert code == 0
    assert "diagnosing run: 100%" in err
    assert "not decided" in out
    told = json.loads((run / "diagnosis.json").read_text())
    assert (told["run"], told["threat"], told["examples"]) == ("run", "linf 0.05", 10)  # the validation attack's
    assert {finding["task"] for finding in told["findings"]} == {"digit"}
    assert (run / "diagnosis.md").read_text().startswith(f"# run in linf 0.05, 10 examples: {told['verdict']}")
    with Image.open(run / "diagnosis.png") as picture:
        assert picture.format == "PNG"
    assert {"clean", "pgd", "gradients", "square", "transfer", "pgd box"} <= set(made)
    assert len(set(made)) == len(made)
    made.clear()
    assert said("diagnose", run)[1] == out
    assert made == []
    assert json.loads((run / "diagnosis.json").read_text()) == told


def test_it_goes_on_where_it_was_stopped(run, said, made):
    made.append("stop")
    with pytest.raises(Stopped):
        command.diagnose(run)
    done = set(made)
    assert "pgd" in done
    assert not (run / "diagnosis.json").exists()
    made.clear()
    assert said("diagnose", run)[0] == 0
    assert "square" in made
    assert done.isdisjoint(made)


def test_other_tasks_balls_weights_and_twins_are_other_rows(place, run, said, made):
    words = ("diagnose", run, "--task", "parity", "--norm", "l2", "--eps", "0.5", "--examples", "6")
    assert said(*words)[0] == 0
    told = json.loads((run / "diagnosis.json").read_text())
    assert (told["threat"], told["examples"], told["findings"][0]["task"]) == ("l2 0.5", 6, "parity")
    made.clear()
    assert said(*words, "--twin", place / "run")[0] == 0
    assert made == ["transfer"]
    made.clear()
    shutil.copy(run / "last.safetensors", run / "best.safetensors")
    assert said(*words)[0] == 0
    assert made == [] or "pgd" in made  # the last weights may be the best


def test_the_ball_is_that_of_training_then_validation_then_the_suite(tmp_path):
    made = tiny.recipe("digits.csv", "madry")
    assert command.own_threat(made) == Linf(0.1)
    made = replace(made, method=tiny.METHODS["standard"])
    assert command.own_threat(made) == Linf(0.05)
    assert command.own_threat(replace(made, validation=None)) == Linf(0.1)
    assert command.own_threat(replace(made, validation=None, suite={})) == Linf(8 / 255)
    assert command.Look(norm="l2", eps=0.5).threat(made) == L2(0.5)
    assert command.Look(eps=0.3).threat(made) == Linf(0.3)


def test_mistakes(place, run, refused, tmp_path):
    refused("unknown task 'digits'; did you mean 'digit'?", "diagnose", run, "--task", "digits")
    refused("--norm l2 needs --eps", "diagnose", run, "--norm", "l2")
    refused("unknown threat 'l3'", "diagnose", run, "--norm", "l3", "--eps", "1")
    refused("eps must be above 0, got 0", "diagnose", run, "--eps", "0")
    refused("examples and batch_size must be at least 1, got 0 and 128", "diagnose", run, "--examples", "0")
    refused("is no run folder", "diagnose", tmp_path)
    refused("is no run folder", "diagnose", run, "--twin", tmp_path)
    refused("device 'cuba' cannot be used", "diagnose", run, "--device", "cuba")
    (run / "best.safetensors").unlink()
    refused("has no trained weights yet", "diagnose", run)
    refused("has no trained weights yet", "diagnose", place / "run", "--twin", run)


def test_a_twin_of_other_data_and_data_that_changed(place, run, refused, tmp_path):
    made = tiny.recipe(tiny.images(tmp_path / "images", 48), "standard", epochs=1)
    train(made, tmp_path / "other")
    refused("a twin must be of the same data", "diagnose", run, "--twin", tmp_path / "other")
    shutil.copy(tmp_path / "images" / "0.png", tmp_path / "images" / "5.png")  # the first of the test split
    refused("has changed since it was trained (test)", "diagnose", tmp_path / "other")


def test_damaged_rows_are_one_line(run, said, refused):
    assert said("diagnose", run)[0] == 0
    path = next((run / "diagnosis").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-30])
    refused("remove it and run again", "diagnose", run)
