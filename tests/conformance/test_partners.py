"""What holds for every partner of a method."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest
import tiny
import torch

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.augment import Augment
from testudo.models.wrap import wrap
from testudo.parts import build, dump
from testudo.registry import METHODS, PARTNERS
from testudo.run import Run, train
from testudo.training import journal
from testudo.training.methods.madry import Madry
from testudo.training.partners.base import Partner
from testudo.training.partners.cutmix import CutMix
from testudo.training.partners.maxup import MaxUp

MOVES = Augment(crop=1, flip=True)
CASES = {
    "cutmix": CutMix(),
    "cutmix-half": CutMix(alpha=0.5, probability=0.5),
    "maxup": MaxUp(count=3),
    "maxup-augment": MaxUp(count=2, augment=MOVES, partners=()),
    "maxup-both": MaxUp(count=2, augment=MOVES),
}


def test_every_registered_partner_is_here():
    assert {type(partner) for partner in CASES.values()} == {PARTNERS.get(name) for name in PARTNERS.names()}


@pytest.fixture(params=CASES.values(), ids=CASES)
def partner(request):
    return request.param


def same(first, second):
    return torch.equal(first.images, second.images) and all(
        torch.equal(target.nan_to_num(9), second.targets[name].nan_to_num(9)) for name, target in first.targets.items()
    )


def test_a_partner_changes_the_batch_and_nothing_else(partner):
    net, data = helpers.multi().train(), helpers.batch(8)
    images, targets = data.images.clone(), {name: target.clone() for name, target in data.targets.items()}
    before, state = helpers.snapshot(net), torch.get_rng_state()
    mixed = partner(net, data, 0, 0)
    assert not torch.equal(mixed.images, data.images)
    assert torch.equal(mixed.ids, data.ids)
    assert (mixed.images.shape, list(mixed.targets)) == (data.images.shape, list(data.targets))
    for name, target in mixed.targets.items():
        net.tasks[name].check(target)
    assert torch.equal(data.images, images)
    assert all(torch.equal(targets[name].nan_to_num(9), data.targets[name].nan_to_num(9)) for name in targets)
    assert torch.equal(torch.get_rng_state(), state)
    after = helpers.snapshot(net)
    assert after[0] == before[0]
    assert all(torch.equal(value[1], before[1][name][1]) and value[3] is None for name, value in after[1].items())


def test_draws_are_those_of_seed_and_epoch(partner):
    net, data = helpers.multi(), helpers.batch(8)
    first = partner(net, data, 0, 0)
    assert same(first, partner(net, data, 0, 0))
    assert not same(first, partner(net, data, 0, 1))
    assert not same(first, partner(net, data, 1, 0))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_batches_of_any_size(partner, count):
    mixed = partner(helpers.multi(), helpers.batch(4)[:count], 0, 0)
    assert len(mixed) == count


def test_a_method_learns_from_it_and_unknown_labels_stay_so(partner):
    net = helpers.multi().train()
    for data in (helpers.batch(8), helpers.unlabelled(4)):
        mixed = partner(net, data, 0, 0)
        terms = Madry(attack=PGD(Linf(0.1), steps=2, keep="last"), clean=0.5).terms(net, mixed)
        assert all(term.isfinite() for term in terms.values())
        known = any(net.tasks[name].valid(target).any() for name, target in data.targets.items())
        assert (sum(terms.values()) > 0) == known
        for name, target in mixed.targets.items():
            assert net.tasks[name].valid(target).any() == known


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_takes_what_a_partner_made(partner, name):
    method, tasks, data = METHODS.get(name)(), helpers.TASKS, helpers.batch(8)
    made = tuple(pretext.task for pretext in method.pretexts)
    net = wrap(helpers.network(0, (*tasks, *made)), (*tasks, *made)).train()
    mixed = partner(net, data.with_images(data.images[:, :, :4]), 0, 0)  # squares, which can be turned
    method.check(net.tasks)
    for terms in method.steps(net, method.pose(mixed, net.tasks, torch.arange(8)), {}):
        total = sum(terms.values())
        assert total > 0
        assert all(term.isfinite() for term in terms.values())
        total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_in_a_recipe(partner):
    values = dump(partner)
    assert values["kind"] in PARTNERS.names()
    assert build(Partner, values) == partner


@pytest.mark.parametrize("name", ["cutmix", "maxup-both"])
def test_a_run_with_partners_goes_on_bit_by_bit(tmp_path, monkeypatch, name):
    made = tiny.recipe(tiny.images(tmp_path / "images"), "madry", suite=False, partners=(CASES[name],))
    plain = replace(made, trainer=replace(made.trainer, partners=()))
    straight, other = train(made, tmp_path / "straight"), train(plain, tmp_path / "plain")
    assert not tiny.same_tensors(straight.folder / journal.BEST, other.folder / journal.BEST)
    monkeypatch.setattr(journal, "SAVE_EVERY", -1.0)
    with pytest.raises(tiny.Stop):
        train(made, tmp_path / "stopped", watchers=(tiny.Stopper(6),))
    assert tiny.same_run(straight, train(made, tmp_path / "stopped")) is None
    assert Run(straight.folder).recipe == made
