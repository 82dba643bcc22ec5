"""The trainer: same seed same bits, resuming, best weights, the log, precision, balance, faults."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import tiny
import torch

from testudo.data.digits import Digits
from testudo.environment import threads
from testudo.errors import TestudoError
from testudo.models.encoder import Encoder
from testudo.parts import build
from testudo.run import Run, train
from testudo.tensor_file import load
from testudo.training import journal
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.tensorboard import TensorBoard
from testudo.training.trainer import Trainer


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny.images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def first(file, tmp_path_factory):
    """A finished run of three epochs."""
    return train(tiny.recipe(file, "madry", epochs=3), tmp_path_factory.mktemp("runs") / "first")


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(file, first, tmp_path):
    again = train(first.recipe, tmp_path / "again")
    other = train(replace(first.recipe, seed=1), tmp_path / "other")
    assert tiny.same_run(first, again) is None
    assert not tiny.same_tensors(first.folder / journal.BEST, other.folder / journal.BEST)


@pytest.mark.parametrize("batch", [1, 4, 6, 11, 12])
def test_going_on_from_any_batch_is_the_straight_run(first, tmp_path, monkeypatch, batch):
    monkeypatch.setattr(journal, "SAVE_EVERY", -1.0)
    with pytest.raises(tiny.Stop):
        train(first.recipe, tmp_path / "run", watchers=(tiny.Stopper(batch),))
    assert (tmp_path / "run" / journal.LAST).exists() == (batch > 1)
    assert tiny.same_run(first, train(first.recipe, tmp_path / "run")) is None


def test_a_run_goes_on_with_the_threads_it_began_with(file, tmp_path, monkeypatch):
    """Their number decides how sums are split, hence bits; a study may go on with other workers."""
    used = []
    fit = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", lambda *args: (used.append(torch.get_num_threads()), fit(*args))[1])
    recipe, before = tiny.recipe(file, "standard", epochs=1), torch.get_num_threads()
    with threads(before + 1):
        train(recipe, tmp_path / "run")
    train(recipe, tmp_path / "run")
    assert used == [before + 1, before + 1]
    assert torch.get_num_threads() == before


def test_the_log_has_a_line_per_epoch_and_the_best_weights_score_best(first):
    lines = first.log
    assert len((first.folder / journal.LOG).read_text().splitlines()) == len(lines)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["steps"] for line in lines] == [4, 8, 12]
    names = {f"{task}.{kind}" for task in ("digit", "parity") for kind in ("clean", "adv")}
    scores = [line["validation"]["score"] for line in lines]
    best = [index for index, line in enumerate(lines) if line["best"]][-1]
    assert all(set(line["terms"]) == names and line["seconds"] > 0 for line in lines)
    assert scores[best] == max(scores)
    assert load(first.folder / journal.BEST)[1] == tiny.timeless(lines[best])
    rates = [first.recipe.trainer.schedule.at((epoch * 4 + 3) / 12) * 0.05 for epoch in range(3)]
    assert [line["lr"] for line in lines] == pytest.approx(rates)
    assert first.finished


def test_training_draws_from_no_global_generator_and_descends(file, tmp_path):
    state = torch.get_rng_state()
    made = tiny.recipe(file, Standard(), epochs=8, optimiser=Optimiser("adam", lr=0.02))
    log = train(made, tmp_path / "run").log
    assert torch.equal(torch.get_rng_state(), state)
    losses = [sum(record["terms"].values()) for record in log]
    assert losses[-1] < 0.7 * losses[0]


def test_processes_that_read_ahead_change_no_bit(file, first, tmp_path):
    made = replace(first.recipe, trainer=replace(first.recipe.trainer, workers=2, epochs=1))
    ahead = train(made, tmp_path / "ahead")
    here = train(replace(made, trainer=replace(made.trainer, workers=0)), tmp_path / "here")
    assert tiny.same_run(ahead, here) is None


def test_bf16_trains(file, tmp_path):
    run = train(tiny.recipe(file, "madry", epochs=1, precision="bf16"), tmp_path / "half")
    weights = load(run.folder / journal.BEST)[0]
    assert all(tensor.dtype != torch.bfloat16 and tensor.float().isfinite().all() for tensor in weights.values())


def test_a_balance_changes_the_weights_and_its_state_is_in_the_checkpoint(file, tmp_path):
    with_balance = train(tiny.recipe(file, "standard"), tmp_path / "balanced")
    plain = train(tiny.recipe(file, Standard()), tmp_path / "plain")
    assert not tiny.same_tensors(with_balance.folder / journal.BEST, plain.folder / journal.BEST)
    state = {name: t for name, t in load(with_balance.folder / journal.LAST)[0].items() if name.startswith("balance.")}
    weights = next(value for name, value in state.items() if name.endswith("/weights"))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] != weights[1]


def test_a_loss_that_is_not_finite_is_one_line_and_the_last_checkpoint_stays(file, tmp_path):
    made = tiny.recipe(file, Standard(), epochs=3, optimiser=Optimiser(lr=1e30, momentum=0.0))
    with pytest.raises(TestudoError, match=r"loss term '\w+\.clean' is no longer finite in epoch \d; try a smaller"):
        train(made, tmp_path / "run")
    good = train(tiny.recipe(file, Standard(), epochs=2), tmp_path / "good")
    before = (good.folder / journal.LAST).read_bytes()
    with pytest.raises(TestudoError, match="holds another recipe"):
        train(replace(good.recipe, method=Standard(weights={"digit": 1e38})), good.folder)
    assert (good.folder / journal.LAST).read_bytes() == before


def test_a_last_batch_of_one_example_is_refused_before_any_work(tmp_path):
    made = tiny.recipe("unused", Standard(), suite=False, batch_size=523)  # 1,047 = 2 x 523 + 1
    made = replace(made, data=Digits(size=8))
    with pytest.raises(TestudoError, match=r"cannot learn from 1 image.* try another batch_size"):
        train(made, tmp_path / "run")
    assert not (tmp_path / "run" / journal.LAST).exists()


def test_a_batch_larger_than_the_data_is_one_batch(file, tmp_path):
    assert train(tiny.recipe(file, epochs=1, batch_size=1000), tmp_path / "run").log[0]["steps"] == 1


def test_a_large_stem_takes_small_images(file, tmp_path):
    made = replace(tiny.recipe(file, epochs=1), model=build(Encoder, {"kind": "resnet18", "width": 2, "stem": "large"}))
    assert train(made, tmp_path / "run").finished


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_is_told(file, tmp_path):
    with pytest.raises(TestudoError, match="device 'cuda' is not available"):
        train(tiny.recipe(file, device="cuda"), tmp_path / "run")


def test_a_score_that_is_nan_gives_way(file, tmp_path, monkeypatch):
    scores = iter([float("nan"), 0.5, float("nan"), 0.4])
    monkeypatch.setattr("testudo.run.Validation.__call__", lambda self, model: {"score": next(scores)})
    log = train(tiny.recipe(file, Standard(), epochs=4), tmp_path / "run").log
    assert [record["best"] for record in log] == [True, True, False, False]


def test_validation_now_and_then_and_always_at_the_end(file, tmp_path):
    log = train(tiny.recipe(file, Standard(), epochs=3, validate_every=2), tmp_path / "run").log
    assert ["validation" in record for record in log] == [False, True, True]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="TensorBoard is installed")
def test_tensorboard_that_is_not_installed_is_one_line(tmp_path):
    with pytest.raises(TestudoError, match=r"pip install 'testudo\[tensorboard\]'"):
        TensorBoard(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard_gets_a_scalar_per_term(file, tmp_path):
    train(tiny.recipe(file, Standard(), epochs=1), tmp_path / "run", watchers=(TensorBoard(tmp_path / "run"),))
    assert list((tmp_path / "run").glob("events.out.*"))


SHAPES = [
    ("constant", {}, {0.0: 1, 0.9: 1}),
    ("cosine", {}, {0.0: 1, 0.5: 0.5, 1.0: 0}),
    ("linear", {}, {0.0: 1, 0.25: 0.75, 1.0: 0}),
    ("multistep", {"milestones": (0.5, 0.75), "factor": 0.1}, {0.49: 1, 0.5: 0.1, 0.75: 0.01}),
    ("linear", {"warmup": 0.2}, {0.0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5}),
]


@pytest.mark.parametrize(("shape", "fields", "values"), SHAPES)
def test_schedules(shape, fields, values):
    schedule = Schedule(shape, **fields)
    assert [schedule.at(done) for done in values] == pytest.approx(list(values.values()))


def test_a_run_folder_says_what_it_lacks(tmp_path):
    with pytest.raises(TestudoError, match=r"is no run folder: it has no recipe\.toml"):
        _ = Run(tmp_path).recipe
    with pytest.raises(TestudoError, match=r"is no run folder: it has no run\.json"):
        Run(tmp_path).model()


def test_a_run_without_weights_says_how_to_go_on(first, tmp_path):
    (tmp_path / "run.json").write_bytes((first.folder / "run.json").read_bytes())
    for use in (Run(tmp_path).model, lambda: Run(tmp_path).rows({"clean": None})):
        with pytest.raises(TestudoError, match="no trained weights yet; go on with: testudo train"):
            use()
