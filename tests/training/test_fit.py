"""What a run does beside the steps: parts of batches, averaged weights, bad terms, pretexts, twins, other weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import tiny
import torch

import testudo as td
from testudo.balance.gramian import MGDA
from testudo.data.contrastive import ContrastiveViews
from testudo.data.jigsaw import Jigsaw
from testudo.data.rotation import Rotation
from testudo.errors import TestudoError
from testudo.run import Run, train
from testudo.tensor_file import load
from testudo.training import fit, journal
from testudo.training.average import Average
from testudo.training.methods.awp import AWP
from testudo.training.methods.gat import GAT
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser
from testudo.training.partners.base import Partner
from testudo.training.trainer import Trainer


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny.images(tmp_path_factory.mktemp("images"))


def faulty(monkeypatch, bad):
    """Standard training whose terms are NaN wherever the batch holds one of the first ``bad`` digits."""
    terms = Standard.terms

    def spoilt(self, model, batch):
        factor = torch.nan if bool((batch.targets["digit"] < bad).any()) else 1.0
        return {name: factor * term for name, term in terms(self, model, batch).items()}

    monkeypatch.setattr(Standard, "terms", spoilt)


TURNED = {
    "pretexts": Standard(pretexts=(Jigsaw(tiles=2, permutations=3), Rotation())),
    "transformed": Standard(pretexts=(Rotation(),), main_sees="transformed"),
    "gradients": Standard(balance=MGDA("features")),
}


@pytest.mark.parametrize("method", TURNED.values(), ids=TURNED)
@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"accumulate": 3}], ids=["plain", "ema", "accumulate"])
def test_going_on_is_the_straight_run(file, tmp_path, monkeypatch, method, settings):
    if settings.get("accumulate") and method.balance is not None:
        method = replace(method, balance=MGDA())
    recipe = tiny.recipe(file, method, **settings)
    straight = train(recipe, tmp_path / "straight")
    monkeypatch.setattr(journal, "SAVE_EVERY", -1.0)
    with pytest.raises(tiny.Stop):
        train(recipe, tmp_path / "run", watchers=(tiny.Stopper(6),))
    assert tiny.same_run(straight, train(recipe, tmp_path / "run")) is None


def test_averaged_weights_by_hand():
    model = td.wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), [td.classification("a", classes=2)])
    average = Average(model, 0.5, {})
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (30, 0.5)):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(1.0)
        average.follow(model, step)
        expected = {n: decay * expected[n] + (1 - decay) * p.detach() for n, p in model.named_parameters()}
    torch.testing.assert_close(dict(average.model.named_parameters()), expected)
    again = Average(model, 0.5, average.states())
    torch.testing.assert_close(dict(again.model.named_parameters()), expected, rtol=0, atol=0)


def test_the_average_is_what_is_kept(file, tmp_path):
    run = train(tiny.recipe(file, ema=0.9, epochs=1), tmp_path / "run")
    best, last = (load(run.folder / name)[0] for name in (journal.BEST, journal.LAST))
    for name, value in best.items():
        assert torch.equal(value, last[name.replace("model.", "ema.", 1)])
    assert not torch.equal(best["model.encoder.stem.0.weight"], last["model.encoder.stem.0.weight"])


def test_the_average_does_not_follow_perturbed_weights(file, tmp_path):
    still = Optimiser(lr=1e-12, weight_decay=0.0)
    method = AWP(method=Standard(), gamma=0.3)
    run = train(tiny.recipe(file, method, ema=0.5, epochs=1, optimiser=still), tmp_path / "run")
    tensors, _ = load(run.folder / journal.LAST)
    for name, _ in run.blank().named_parameters():
        torch.testing.assert_close(tensors[f"ema.{name}"], tensors[f"model.{name}"], rtol=0, atol=1e-5)


def test_bad_terms_stop_the_run_or_cost_their_steps(file, tmp_path, monkeypatch):
    faulty(monkeypatch, 2)
    with pytest.raises(TestudoError, match=r"the loss term 'digit.clean' is no longer finite in epoch 1; try"):
        train(tiny.recipe(file, Standard()), tmp_path / "stops")
    run = train(tiny.recipe(file, Standard(), batch_size=4, bad_term="skip"), tmp_path / "skips")
    skipped = [record["skipped"] for record in run.log]
    assert all(0 < count < 10 for count in skipped)
    assert run.log[-1]["steps"] == 20 - sum(skipped)


def test_a_run_of_nothing_but_bad_steps_stops(file, tmp_path, monkeypatch):
    faulty(monkeypatch, 10)
    monkeypatch.setattr(fit, "MOST_SKIPPED", 5)
    with pytest.raises(TestudoError, match="no longer finite in epoch 2"):
        train(tiny.recipe(file, Standard(), bad_term="skip"), tmp_path / "run")


def test_weights_that_are_not_finite_are_not_saved(file, tmp_path, monkeypatch):
    """The terms were finite, their gradient was not."""
    run = train(tiny.recipe(file, epochs=1), tmp_path / "run")
    before = (run.folder / journal.LAST).read_bytes()

    def spoil(self):
        next(iter(self.parameters.values())).grad.fill_(torch.inf)

    monkeypatch.setattr("testudo.training.update.Summed.finish", spoil)
    monkeypatch.setattr(journal, "SAVE_EVERY", -1.0)
    with pytest.raises(TestudoError, match="a weight is no longer finite in epoch 1"):
        train(tiny.recipe(file, Standard(), epochs=1), tmp_path / "other")
    assert not (tmp_path / "other" / journal.LAST).exists()
    assert (run.folder / journal.LAST).read_bytes() == before


def test_heads_of_pretexts_are_dropped_at_the_end(file, tmp_path):
    run = train(tiny.recipe(file, TURNED["pretexts"]), tmp_path / "run")
    with_all, without = run.model(pretexts=True), td.load(run.folder)
    assert list(with_all.tasks) == ["digit", "parity", "jigsaw", "rotation"]
    assert list(without.tasks) == [task.name for task in run.tasks] == ["digit", "parity"]
    images = torch.rand(3, 1, 8, 8)
    for name, output in without(images).items():
        assert torch.equal(output, with_all(images)[name])
    assert {"jigsaw.clean", "rotation.clean"} < run.log[0]["terms"].keys()
    assert not any("rotation" in name for name in run.log[-1]["validation"])
    rows = run.rows({"clean": None})
    assert set(rows["task"]) == {"digit", "parity"}


def test_the_order_of_tiles_is_kept_with_the_run(file, tmp_path, monkeypatch):
    recipe = tiny.recipe(file, TURNED["pretexts"], epochs=1)
    run = train(recipe, tmp_path / "run")
    assert run.facts["pretexts"] == {"jigsaw": TURNED["pretexts"].pretexts[0].facts()}
    monkeypatch.setattr(Jigsaw, "facts", lambda self: {"permutations": []})
    with pytest.raises(TestudoError, match="began with other self-supervised labels"):
        train(recipe, tmp_path / "run")


def test_starting_from_another_runs_weights(file, tmp_path):
    first = train(tiny.recipe(file, epochs=1), tmp_path / "first")
    recipe = replace(tiny.recipe(file, epochs=1, batch_size=1000), name="second", start=str(first.folder))
    tuned = replace(recipe, trainer=replace(recipe.trainer, optimiser=td.Optimiser(lr=1e-9, weight_decay=0.0)))
    second = train(tuned, tmp_path / "second")
    for name, value in first.model().named_parameters():
        torch.testing.assert_close(dict(second.model().named_parameters())[name], value, atol=1e-6, rtol=0)
    assert f"taken from {first.folder}" in (second.folder / "start.txt").read_text()
    (tmp_path / "first").rename(tmp_path / "gone")
    assert train(tuned, tmp_path / "second").finished  # its own checkpoint needs no other


def test_single_task_twins(file):
    recipe = tiny.recipe(file, replace(TURNED["pretexts"], weights={"digit": 0.5, "parity": 0.1}))
    twin = recipe.alone()
    assert twin.tasks == ("digit",)
    assert twin.method == Standard(weights={"digit": 0.5})
    assert twin.learnt().keys() == {"digit"}
    aimed = replace(recipe, method=Madry(attack=replace(tiny.INNER, objective=td.Objective(("digit", "parity")))))
    assert aimed.alone().method.attack.objective.tasks == ("digit",)
    mao = replace(recipe, method=Mao()).alone()
    assert mao.method.combinations == (("digit",), ("digit",))
    both = list(recipe.learnt().values())[:2]
    assert mao.method.passes(list(mao.learnt().values())) == Mao().passes(both)


@dataclass(frozen=True)
class Darker(Partner):
    """Half the light."""

    def __call__(self, model, batch, seed, epoch):
        assert model.training
        return batch.with_images(batch.images / 2)


def test_partners_change_the_batch(file, tmp_path):
    seen = []

    @dataclass(frozen=True)
    class Looking(Standard):
        def terms(self, model, batch):
            seen.append(float(batch.images.max()))
            return super().terms(model, batch)

    trainer = Trainer(epochs=1, batch_size=20, precision="float32", partners=(Darker(), Darker()))
    recipe = tiny.recipe(file, Standard())
    model = td.MultiTaskModel(recipe.model.build(1), recipe.chosen(), [0.5], [0.5])
    examples = recipe.data.load("train")
    trainer.fit(model, Looking(), examples, lambda model: {"score": 0.0}, journal.Journal(folder_of(tmp_path)))
    assert seen
    assert max(seen) <= 0.25


def folder_of(path):
    """A folder for a journal."""
    (path / "run").mkdir()
    return path / "run"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"ema": 1.0}, r"ema must be a decay in \[0, 1\), got 1.0"),
        ({"bad_term": "ignore"}, "unknown bad_term 'ignore'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(TestudoError, match=message):
        Trainer(**settings)


def test_what_cannot_come_in_parts_is_told_before_any_work(file, tmp_path):
    with pytest.raises(TestudoError, match="at the features needs its batch in one part, got accumulate = 2"):
        train(tiny.recipe(file, TURNED["gradients"], accumulate=2), tmp_path / "run")


def test_contrasts_take_their_batch_whole(file, tmp_path):
    method = Standard(pretexts=(ContrastiveViews(),), main_sees="transformed")
    with pytest.raises(TestudoError, match="contrasts a whole batch, which cannot come in parts; got accumulate = 2"):
        train(tiny.recipe(file, method, accumulate=2), tmp_path / "run")


def test_images_that_a_step_sees():
    turned, views = Rotation(every=True), ContrastiveViews()
    assert [Standard(pretexts=p).images for p in ((), (Rotation(),), (turned,), (turned, views))] == [1, 2, 5, 9]
    assert Standard(pretexts=(views,), main_sees="transformed").images == 2


def test_gat_through_a_run(file, tmp_path):
    run = train(tiny.recipe(file, GAT(attack=tiny.INNER, pretexts=(Rotation(),)), epochs=1), tmp_path / "run")
    assert run.finished
    assert isinstance(run, Run)
