"""A set that stays in files goes the whole way; a file that goes bad on the way costs nothing that was computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest
import tiny

from testudo.attacks.fgsm import FGSM
from testudo.attacks.threat import Linf
from testudo.data.cityscapes import Cityscapes
from testudo.errors import TestudoError
from testudo.evaluation.evaluate import Evaluation
from testudo.models.unet import UNet
from testudo.recipe import Recipe
from testudo.run import train
from testudo.training.methods.standard import Standard
from testudo.training.trainer import Trainer

writers = SimpleNamespace(**run_path(str(Path(__file__).resolve().parents[1] / "data" / "writers.py")))


class Breaker:
    """A watcher that ruins files after some batches."""

    def __init__(self, after, paths):
        self.after, self.paths = after, paths

    def step(self, done, total):
        if done == self.after:
            for path in self.paths:
                path.write_bytes(b"cut")

    def epoch(self, record):
        pass


@pytest.fixture
def recipe(tmp_path):
    return Recipe(
        name="streets",
        data=Cityscapes(str(writers.cityscapes(tmp_path / "data", each=6)), size=(16, 32)),
        model=UNet(width=4),
        method=Standard(),
        trainer=Trainer(epochs=2, batch_size=2, precision="float32"),
        suite={"fgsm": FGSM(Linf(0.1))},
    )


@pytest.mark.parametrize(("workers", "ahead"), [(0, 0), (1, 3)])
def test_training_goes_on_where_a_file_went_bad(recipe, tmp_path, workers, ahead):
    straight = train(recipe, tmp_path / "straight")
    recipe = replace(recipe, trainer=replace(recipe.trainer, workers=workers))
    paths = [path for name in recipe.data.listed("train")[0] for path in recipe.data.files(name)]
    whole = {path: path.read_bytes() for path in paths}
    with pytest.raises(TestudoError, match=r"^cityscapes: cannot decode image '[^\n]*\.(png|tif)'[^\n]*$"):
        train(recipe, tmp_path / "run", watchers=(Breaker(7, paths),))
    for path, content in whole.items():
        path.write_bytes(content)
    seen = []
    watcher = SimpleNamespace(step=lambda done, total: seen.append(done), epoch=lambda record: None)
    run = train(recipe, tmp_path / "run", watchers=(watcher,))
    assert 8 <= min(seen) <= 8 + ahead  # no batch is learnt from twice; a worker has read some ahead
    assert seen[-1] == 12
    assert tiny.same_run(straight, run) is None


def test_an_epoch_waits_for_its_validation_where_a_file_of_that_split_went_bad(recipe, tmp_path):
    straight = train(recipe, tmp_path / "straight")
    paths = [path for name in recipe.data.listed("val")[0] for path in recipe.data.files(name)]
    whole = {path: path.read_bytes() for path in paths}
    with pytest.raises(TestudoError, match=r"^cityscapes: cannot decode image"):
        train(recipe, tmp_path / "run", watchers=(Breaker(6, paths),))
    for path, content in whole.items():
        path.write_bytes(content)
    seen = []
    watcher = SimpleNamespace(step=lambda done, total: seen.append(done), epoch=lambda record: None)
    run = train(recipe, tmp_path / "run", watchers=(watcher,))
    assert seen == [7, 8, 9, 10, 11, 12]
    assert tiny.same_run(straight, run) is None


def test_judging_goes_on_where_a_file_went_bad(recipe, tmp_path, monkeypatch):
    run = train(recipe, tmp_path / "run")
    how, suite = Evaluation(batch_size=2), {"clean": None, **recipe.suite}
    expected = run.rows(suite, how)
    again = train(recipe, tmp_path / "again")
    (path,) = (tmp_path / "data" / "gtFine" / "val").glob("*/*_000004_*labelIds.png")
    content, made = path.read_bytes(), []
    batches = Evaluation.batches

    def watched(self, model, data, name, attack, run="", start=0):
        for number, rows in enumerate(batches(self, model, data, name, attack, run, start), start):
            made.append((name, number))
            if len(made) == 1:
                path.write_bytes(b"cut")
            yield rows

    monkeypatch.setattr(Evaluation, "batches", watched)
    with pytest.raises(TestudoError, match=r"cannot decode image '.*_000004_gtFine_labelIds\.png'"):
        again.rows(suite, how)
    assert made == [("clean", 0), ("clean", 1)]
    path.write_bytes(content)
    found = again.rows(suite, how)
    assert made == [(name, number) for name in ("clean", "fgsm") for number in range(3)]
    assert found.drop("run").equals(expected.drop("run"))
