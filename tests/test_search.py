"""A search: every setting once, the best by validation, and going on after a stop; the command, too."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import tiny

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.errors import TestudoError
from testudo.run import Run, train
from testudo.search import FOUND, Found, Trial, search
from testudo.tensor_file import load
from testudo.training.trainer import Trainer

RATE = "trainer.optimiser.lr"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A recipe of two epochs, validated on clean images."""
    file = tiny.images(tmp_path_factory.mktemp("images"))
    return replace(tiny.recipe(file, suite=False), tasks=("parity", "digit"), validation=None)


@pytest.fixture(scope="module")
def done(made, tmp_path_factory):
    """A finished search over two fields."""
    return search(made, {RATE: [1e-6, 0.05], "trainer.batch_size": [10, 20]}, tmp_path_factory.mktemp("search"))


@pytest.fixture
def fitted(monkeypatch):
    """Which folders are trained in."""
    seen, fit = [], Trainer.fit

    def noted(self, *args):
        seen.append(args[4].folder.name)
        return fit(self, *args)

    monkeypatch.setattr(Trainer, "fit", noted)
    return seen


def test_every_combination_is_a_run_and_the_best_validates_best(made, done):
    assert [tuple(trial.values.values()) for trial in done.trials] == [(1e-6, 10), (1e-6, 20), (0.05, 10), (0.05, 20)]
    for trial in done.trials:
        lr, size = trial.values.values()
        recipe = Run(trial.run.folder).recipe
        assert (recipe.trainer.optimiser.lr, recipe.trainer.batch_size) == (lr, size)
        assert trial.run.folder.name == f"{RATE}={lr},trainer.batch_size={size}"
        assert trial.score == load(trial.run.folder / "best.safetensors")[1]["validation"]["score"]
    scores = [trial.score for trial in done.trials]
    assert done.best is done.trials[scores.index(max(scores))]
    assert len(set(scores)) > 1


def test_what_was_found_is_written_down(done):
    told = json.loads((done.folder / FOUND).read_text())
    assert [trial["values"] for trial in told["trials"]] == [trial.values for trial in done.trials]
    assert told["best"] == told["trials"][done.trials.index(done.best)]
    assert told["best"]["folder"] == done.best.run.folder.name
    assert told["best"]["validation"] == done.best.record["validation"]
    assert told["best"]["epoch"] == done.best.record["epoch"]


def test_a_run_of_it_is_the_run_of_that_recipe(done, tmp_path):
    trial = done.trials[2]
    assert tiny.same_run(train(trial.run.recipe, tmp_path / "alone"), trial.run) is None


def test_the_same_recipe_is_trained_once(made, tmp_path, fitted):
    over = {RATE: ["1/10", 0.1, 0.1], "seed": [4, 4]}
    found = search(made, over, tmp_path)
    assert [trial.values for trial in found.trials] == [{RATE: "1/10", "seed": 4}]
    assert len(fitted) == 1
    assert fitted[0].startswith(f"{RATE}=1-10,seed=4-")


def test_stopped_it_goes_on_where_it_was(made, tmp_path):
    over, notes = {RATE: [0.02, 0.05, 0.1]}, []

    def watch(share, note):
        notes.append((share, note))
        if share > 1.5 / 3 and stop:
            raise tiny.Stop

    stop = True
    with pytest.raises(tiny.Stop):
        search(made, over, tmp_path / "stopped", watch=watch)
    assert not (tmp_path / "stopped" / FOUND).exists()
    assert len(list((tmp_path / "stopped").iterdir())) == 2
    first = (tmp_path / "stopped" / f"{RATE}=0.02" / "best.safetensors").stat().st_mtime_ns
    stop = False
    found, straight = search(made, over, tmp_path / "stopped", watch=watch), search(made, over, tmp_path / "straight")
    assert found.trials[0].run.folder.joinpath("best.safetensors").stat().st_mtime_ns == first
    for one, other in zip(found.trials, straight.trials, strict=True):
        assert tiny.same_run(one.run, other.run) is None
    assert found.best.values == straight.best.values
    assert notes[-1] == (1.0, f"{RATE}=0.1")
    assert all(0 < share <= 1 for share, _ in notes)


def test_more_values_may_be_added_and_nothing_is_trained_twice(made, tmp_path, monkeypatch):
    search(made, {RATE: [0.05]}, tmp_path)
    before = (tmp_path / f"{RATE}=0.05" / "best.safetensors").stat().st_mtime_ns
    found = search(made, {RATE: [0.1, 0.05]}, tmp_path)
    assert len(found.trials) == 2
    assert (tmp_path / f"{RATE}=0.05" / "best.safetensors").stat().st_mtime_ns == before


def test_a_recipe_file_with_values_for_every_run(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = search(tiny.saved(made, tmp_path / "x.toml"), {"optimiser.lr": [0.05]}, overrides={"seed": 3})
    assert found.folder == Path("runs/tiny-search")
    assert found.trials[0].run.recipe.seed == 3


def test_parts_may_be_tried_too(made, tmp_path):
    found = search(made, {"validation": [PGD(Linf(eps), steps=1) for eps in (0.01, 0.2)]}, tmp_path)
    assert [trial.run.recipe.validation.threat.eps for trial in found.trials] == [0.01, 0.2]
    assert len({trial.run.folder for trial in found.trials}) == 2
    assert all(len(trial.run.folder.name) < 120 for trial in found.trials)


@dataclass(frozen=True)
class Told:
    """A run of which only its log is asked for."""

    score: float
    log: list = field(init=False)

    def __post_init__(self):
        worse = {"validation": {"score": 0.9}, "best": False}
        object.__setattr__(self, "log", [{"validation": {"score": self.score}, "best": True}, worse, {}])


def test_of_equal_scores_the_first_counts_and_nan_never_does():
    def found(*scores):
        return Found(Path("x"), tuple(Trial({"seed": i}, Told(score)) for i, score in enumerate(scores)))

    nan = float("nan")
    assert found(0.1, 0.3, 0.3).best.values == {"seed": 1}
    assert found(nan, -0.5, -0.2, nan).best.values == {"seed": 2}
    with pytest.raises(TestudoError, match="no run in x has a validation score"):
        _ = found(nan, nan).best


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "a search needs values to try, got none"),
        ({"seed": [1], RATE: []}, f"a search needs values to try for {RATE}, got none"),
        ({"trainer.epoch": [1]}, "trainer.epoch: unknown field; did you mean 'epochs'?"),
        ({"trainer.epochs": [1, 0]}, "trainer: epochs must be at least 1, got 0"),
        ({"tasks": [["digit"], ["digits"]]}, "unknown task .* 'digits'; did you mean 'digit'?"),
        ({"seed.x": [1]}, "cannot set seed.x: seed is no table"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(made, tmp_path, over, message):
    with pytest.raises(TestudoError, match=message) as caught:
        search(made, over, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_command(place, said, refused, tmp_path):
    words = ("search", place / "tiny.toml", "--out", tmp_path / "found", "--set", "epochs=1")
    for _ in range(2):  # the second time there is nothing left to do
        code, out, err = said(*words, "--over", "optimiser.lr=1e-6,0.1", "--over", "seed=1")
        assert code == 0
    told = json.loads((tmp_path / "found" / FOUND).read_text())
    best = "optimiser.lr={optimiser.lr}, seed=1".replace("{optimiser.lr}", str(told["best"]["values"]["optimiser.lr"]))
    assert f"best: {best}\n" in out
    assert f"judge it with: testudo evaluate {tmp_path / 'found' / told['best']['folder']}" in out.replace("\n", "")
    assert "1e-06" in out
    assert "digit.attacked" in out
    assert "search found: 100%" in err
    assert said("evaluate", tmp_path / "found" / told["best"]["folder"])[0] == 0
    refused("a search needs values to try, got none", *words)
    refused("--over is written path=value,value,..., got 'seed'", *words, "--over", "seed")
    refused("--over seed is given twice", *words, "--over", "seed=1", "--over", "seed=2")
    refused("no recipe at nowhere.toml", "search", "nowhere.toml", "--over", "seed=1")
    refused("holds another recipe", *words[:4], "--over", "optimiser.lr=1e-6", "--set", "epochs=2", "--over", "seed=1")
