"""MaxUp: of several draws the hardest, example by example."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest
import torch
from helpers import SHAPE

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.fast import fast
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification
from testudo.tasks.segmentation import Segmentation
from testudo.tensors import rekey
from testudo.training.partners.cutmix import CutMix
from testudo.training.partners.maxup import STREAM, MaxUp

MOVES = Augment(crop=1, flip=True)
CASES = {
    "cutmix": MaxUp(count=5),
    "augment": MaxUp(count=5, augment=MOVES, partners=()),
    "both": MaxUp(count=5, augment=MOVES),
}


class Shifted(Classification):
    """A classification whose loss is 100 lower, so that the 0 of an unknown label would win."""

    def loss(self, prediction, target):
        return torch.where(self.valid(target), super().loss(prediction, target) - 100, 0)


def draws(partner, net, data, seed=0, epoch=0):
    """Every draw of every example and its loss, written out: (count batches, (count, N) losses)."""
    found, losses, name = [], [], next(iter(net.tasks))
    task, frozen = net.tasks[name], fast(net)
    for number in range(partner.count):
        drawn = Batch(data.images, data.targets, rekey(data.ids, STREAM, number))
        if partner.augment != Augment():
            drawn = partner.augment(drawn, seed, epoch, net.tasks.values())
        for each in partner.partners:
            drawn = each(net, drawn, seed, epoch)
        found.append(drawn)
        losses.append(task.loss(frozen(drawn.images)[name], drawn.targets[name]))
    return found, torch.stack(losses)


@pytest.mark.parametrize("partner", CASES.values(), ids=CASES)
def test_the_draw_with_the_largest_loss_is_kept(partner):
    net, data = helpers.multi(), helpers.batch(9)
    found, losses = draws(partner, net, data)
    mixed, hardest = partner(net, data, 0, 0), losses.argmax(0)
    assert len(set(hardest.tolist())) > 2
    for row, number in enumerate(hardest.tolist()):
        assert torch.equal(mixed.images[row], found[number].images[row])
        for task, target in mixed.targets.items():
            assert torch.equal(target[row].nan_to_num(9), found[number].targets[task][row].nan_to_num(9))


def test_a_choice_does_not_depend_on_the_neighbours():
    partner, net, data = CASES["augment"], helpers.multi().train(), helpers.batch(9)
    whole = partner(net, data, 0, 0)
    for rows in ([3], [8, 0, 5]):
        part = partner(net, data[rows], 0, 0)
        assert torch.equal(part.images, whole.images[rows])
        assert torch.equal(part.targets["digit"], whole.targets["digit"][rows])


def test_more_draws_are_never_easier():
    net, data = helpers.multi(), helpers.batch(9)
    partner, task = CASES["augment"], net.tasks["digit"]
    losses = []
    for count in (2, 4, 8):
        mixed = replace(partner, count=count)(net, data, 0, 0)
        losses.append(task.loss(net(mixed.images)["digit"], mixed.targets["digit"]))
    assert (losses[0] <= losses[1] + 1e-6).all()
    assert (losses[1] <= losses[2] + 1e-6).all()
    assert (losses[0] < losses[2] - 1e-3).any()


def test_where_nothing_is_known_of_the_main_task_the_first_draw_is_kept():
    partner, net, data = CASES["augment"], helpers.multi(), helpers.unlabelled(6)
    assert torch.equal(partner(net, data, 0, 0).images, draws(partner, net, data)[0][0].images)


def test_a_draw_with_an_unknown_label_is_worth_nothing():
    net, data = helpers.conv(), helpers.batch(2)
    data = replace(data, targets={"digit": torch.tensor([1, -1])})
    partner = MaxUp(count=8, partners=(CutMix(alpha=0.3, probability=0.5),))
    found, losses = draws(partner, net, data)
    known = torch.stack([net.tasks["digit"].valid(drawn.targets["digit"]) for drawn in found])[:, 0]
    assert {True, False} == {*known.tolist()}
    net.tasks["digit"] = Shifted("digit", classes=3)
    mixed = partner(net, data, 0, 0)
    best = torch.where(known, losses[:, 0], -1).argmax()
    assert torch.equal(mixed.images[0], found[best].images[0])


def test_a_dense_main_task_moves_with_its_image():
    module = torch.nn.Conv2d(SHAPE[0], 3, 3, padding=1)
    net, draw = wrap(module, [Segmentation("rooms", classes=3)]), torch.Generator().manual_seed(0)
    rooms = torch.randint(0, 3, (6, *SHAPE[1:]), generator=draw)
    data = Batch(helpers.batch(6).images, {"rooms": rooms})
    partner = MaxUp(count=4, augment=MOVES)
    losses = draws(partner, net, data)[1]
    mixed = partner(net, data, 0, 0)
    torch.testing.assert_close(net.tasks["rooms"].loss(module(mixed.images), mixed.targets["rooms"]), losses.amax(0))


def test_passes_and_mistakes():
    assert CutMix().passes == 0
    assert MaxUp(count=3, partners=(MaxUp(count=2),)).passes == 9
    with pytest.raises(TestudoError, match="maxup: count must be at least 2, got 1"):
        MaxUp(count=1)
    with pytest.raises(TestudoError, match="maxup: all draws would be the same"):
        MaxUp(partners=())
