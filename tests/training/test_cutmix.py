"""CutMix against loops over pixels, and what becomes of every kind of label."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest
import torch
from scipy import stats

from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.model import Model
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.maps import Autoencoder
from testudo.tasks.segmentation import Segmentation
from testudo.tensors import uniform
from testudo.training.partners.cutmix import STREAM, CutMix, neighbours

DENSE = (Segmentation("rooms", classes=3), Depth("depth"), Autoencoder("image", channels=2))


class Known(Model):
    """No network at all: CutMix only asks for the tasks."""

    def __init__(self, tasks):
        super().__init__()
        self.tasks = {task.name: task for task in tasks}


MODEL = Known((*helpers.TASKS, *DENSE))


def marked(n, height=7, width=10):
    """Images that are their row's number over n everywhere, each with its own class."""
    images = (torch.arange(n) / n).reshape(n, 1, 1, 1).expand(n, 1, height, width)
    return Known([Classification("row", classes=n)]), Batch(images, {"row": torch.arange(n)}, torch.arange(n) * 5 + 2)


def boxes(ids, height, width, seed, epoch):
    """The box of every example, pixel by pixel, from the paper's formula."""
    found = torch.zeros(len(ids), height, width, dtype=torch.bool)
    for row, (_, draw, y, x) in enumerate(uniform(ids, (4,), seed, epoch, STREAM).tolist()):
        side = (1 - draw) ** 0.5  # alpha = 1: lambda is uniform
        high, wide = int(height * side), int(width * side)
        top, left = int(y * height) - high // 2, int(x * width) - wide // 2
        for i in range(top, top + high):
            for j in range(left, left + wide):
                if 0 <= i < height and 0 <= j < width:
                    found[row, i, j] = True
    return found


def test_boxes_and_labels_are_those_of_the_paper():
    model, data = marked(300)
    mixed = CutMix()(model, data, seed=3, epoch=4)
    want = boxes(data.ids, 7, 10, 3, 4)
    other = torch.arange(300) ^ 1
    shares = want.flatten(1).double().mean(1)
    assert 0.2 < shares.mean() < 0.45  # half of the image, less what falls off its edge
    assert torch.equal(mixed.images, torch.where(want[:, None], data.images[other], data.images))
    label = mixed.targets["row"].double()
    torch.testing.assert_close(label[torch.arange(300), other], shares, rtol=0, atol=1e-6)
    torch.testing.assert_close(label[torch.arange(300), torch.arange(300)], 1 - shares, rtol=0, atol=1e-6)
    torch.testing.assert_close(label.sum(1), torch.ones(300, dtype=torch.float64), rtol=0, atol=1e-6)
    assert torch.equal(mixed.ids, data.ids)


def test_the_last_of_an_odd_number_stays_as_it_is():
    model, data = marked(5)
    mixed = CutMix()(model, data, 0, 0)
    assert neighbours(5).tolist() == [1, 0, 3, 2, 4]
    assert neighbours(0).tolist() == []
    assert torch.equal(mixed.images[4], data.images[4])
    assert mixed.targets["row"][4].tolist() == [0, 0, 0, 0, 1]


def test_even_parts_of_a_batch_have_the_pairs_of_the_whole():
    data = with_maps(helpers.batch(11))
    whole = CutMix()(MODEL, data, 1, 2)
    for part in (slice(0, 4), slice(4, 10), slice(10, 11)):
        mixed = CutMix()(MODEL, data[part], 1, 2)
        assert torch.equal(mixed.images, whole.images[part])
        for name, target in mixed.targets.items():
            assert torch.equal(target.nan_to_num(9), whole.targets[name][part].nan_to_num(9)), name


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_lambda_is_beta_distributed(alpha):
    draws = uniform(torch.arange(4000), (1,), 0)[:, 0]
    found = CutMix(alpha)._lambda(draws)
    assert stats.kstest(found.double().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.05
    torch.testing.assert_close(found.double(), torch.from_numpy(stats.beta.ppf(draws.double(), alpha, alpha)))


def test_an_image_is_given_a_box_with_the_probability_asked_for():
    model, data = marked(2000)
    mixed = CutMix(probability=0.25)(model, data, 0, 0)
    whole = (mixed.targets["row"] == 1).any(1)
    always = (CutMix()(model, data, 0, 0).targets["row"] == 1).any(1)  # a lambda near 1 cuts nothing either
    assert (1 - whole.double().mean()) / (1 - always.double().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(mixed.images[whole], data.images[whole])


def with_maps(data, size=(5, 4)):
    """The shared tests' batch with labels for every pixel, some of them unknown."""
    draw = torch.Generator().manual_seed(5)
    rooms = torch.randint(0, 3, (len(data), *size), generator=draw)
    depth = torch.rand(len(data), 1, *size, generator=draw) + 1
    rooms[:, 0, 0], depth[:, :, 1, 1] = 255, torch.nan
    return replace(data, targets={**data.targets, "rooms": rooms, "depth": depth, "image": data.images})


def test_labels_of_pixels_are_cut_and_pasted_and_others_are_the_mean():
    data = with_maps(helpers.batch(8))
    mixed = CutMix()(MODEL, data, 0, 1)
    inside = boxes(data.ids, 5, 4, 0, 1)
    other, share = torch.arange(8) ^ 1, inside.flatten(1).float().mean(1)
    given = data.targets
    assert torch.equal(mixed.targets["rooms"], torch.where(inside, given["rooms"][other], given["rooms"]))
    assert mixed.targets["rooms"].dtype == torch.int64
    pasted = torch.where(inside[:, None], given["depth"][other], given["depth"])
    torch.testing.assert_close(mixed.targets["depth"], pasted, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(mixed.targets["image"], mixed.images)
    for name in ("angle", "signs"):
        mean = (1 - share)[:, None] * given[name] + share[:, None] * given[name][other]
        cut = (share > 0)[:, None]
        torch.testing.assert_close(mixed.targets[name], torch.where(cut, mean, given[name]), equal_nan=True)
        assert mixed.targets[name].isnan().sum() > given[name].isnan().sum()
    for name, target in mixed.targets.items():
        MODEL.tasks[name].check(target)


def test_what_counts_must_be_known_on_both_sides():
    ids = torch.arange(400)
    images = (ids % 2).reshape(400, 1, 1, 1).float().expand(400, 2, 4, 4)
    classes = torch.where(ids % 4 == 1, -1, 0)  # the second of every other pair
    targets = {"digit": classes, "signs": torch.where(classes[:, None] < 0, torch.nan, 1.0).expand(400, 3)}
    mixed = CutMix(alpha=0.05)(MODEL, Batch(images, targets, ids), 0, 0)
    share = (mixed.images - images).abs().mean((1, 2, 3))
    assert {0.0, 1.0} < set(share.tolist())
    own, theirs = classes >= 0, classes[ids ^ 1] >= 0
    want = (own | (share == 1)) & (theirs | (share == 0))
    assert {*want[share == 0].tolist()} == {*want[share == 1].tolist()} == {True, False}
    assert torch.equal(MODEL.tasks["digit"].valid(mixed.targets["digit"]), want)
    assert torch.equal(MODEL.tasks["signs"].valid(mixed.targets["signs"]), want)
    assert torch.equal(mixed.targets["digit"].isnan().all(1), ~want)


def test_what_is_mixed_already_may_be_mixed_again():
    model, data = marked(6)
    once = CutMix()(model, data, 0, 0)
    twice = CutMix()(model, once, 1, 0)
    share = boxes(data.ids, 7, 10, 1, 0).flatten(1).float().mean(1)[:, None]
    first = once.targets["row"]
    torch.testing.assert_close(twice.targets["row"], (1 - share) * first + share * first[torch.arange(6) ^ 1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": 0.0}, "cutmix: alpha must be above 0 and finite, got 0.0"),
        ({"alpha": float("inf")}, "alpha must be above 0 and finite"),
        ({"probability": 0.0}, "probability must be above 0 and at most 1, got 0.0"),
        ({"probability": 1.5}, "at most 1, got 1.5"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(TestudoError, match=message):
        CutMix(**fields)


def test_targets_that_cannot_be_mixed_are_refused_in_one_line():
    data = helpers.batch(4)
    for targets, message in [
        ({"digits": torch.zeros(4)}, "unknown task 'digits'; did you mean 'digit'"),
        ({"angle": torch.zeros(4, 2).long()}, "labels of task 'angle' have no mean: they are torch.int64"),
        ({"rooms": torch.zeros(4, 3, 3).long()}, r"target 'rooms' is \(3, 3\) pixels, its images are \(5, 4\)"),
    ]:
        with pytest.raises(TestudoError, match=message) as caught:
            CutMix()(MODEL, replace(data, targets=targets), 0, 0)
        assert "\n" not in str(caught.value)
