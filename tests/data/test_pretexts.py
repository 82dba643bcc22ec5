"""Self-supervised labels: made as said, undone exactly, balanced, composed, masked where others are asked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from testudo.data.batch import Batch
from testudo.data.contrastive import ContrastiveViews
from testudo.data.jigsaw import Jigsaw
from testudo.data.pretext import check_pretexts, posed
from testudo.data.rotation import Rotation
from testudo.errors import TestudoError
from testudo.parts import build, dump
from testudo.registry import PRETEXTS
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.maps import Autoencoder
from testudo.tasks.regression import Regression

KINDS = {
    "rotation": Rotation(),
    "every rotation": Rotation(every=True),
    "jigsaw": Jigsaw(),
    "contrastive": ContrastiveViews(blur=0.5),
}
TASKS = (Classification("kind", classes=3), Regression("age"), Autoencoder("image", channels=2))


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def pretext(request):
    return request.param


def pictures(n=12, size=8, channels=2, seed=0):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


def batch(n=12, **shape):
    images = pictures(n, **shape)
    age = torch.linspace(0, 1, n)
    age[1] = torch.nan
    return Batch(images, {"kind": torch.arange(n) % 3, "age": age, "image": images.clone()}, torch.arange(n) * 5)


def pose(pretext, images, ids=None, places=None):
    ids = torch.arange(len(images)) if ids is None else ids
    places = torch.arange(len(images)) if places is None else places
    return pretext.pose(images, ids, places, places)


def counts(labels, classes):
    return torch.bincount(labels, minlength=classes).tolist()


def test_every_registered_pretext_is_here():
    assert {type(pretext) for pretext in KINDS.values()} == {PRETEXTS.get(name) for name in PRETEXTS.names()}


def test_shapes_range_and_labels_of_the_task(pretext):
    images = pictures()
    made, labels = pose(pretext, images)
    assert made.shape == (12 * pretext.views, 2, 8, 8)
    assert len(labels) == len(made)
    assert made.dtype == images.dtype
    assert made.min() >= 0
    assert made.max() <= 1
    pretext.task.check(labels)
    assert pretext.task.valid(labels).all()
    none, empty = pose(pretext, images[:0])
    assert len(none) == len(empty) == 0


def test_images_are_left_alone_and_no_global_draw_is_made(pretext):
    images = pictures()
    before, state = images.clone(), torch.get_rng_state()
    pose(pretext, images)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_does_not_know_its_neighbours_and_is_the_same_again(pretext):
    images, ids, places = pictures(), torch.arange(12) * 31, torch.arange(12) + 100
    whole, labels = pose(pretext, images, ids, places)
    rows = torch.tensor([7, 2, 9])
    part, some = pose(pretext, images[rows], ids[rows], places[rows])
    every = torch.cat([rows + 12 * view for view in range(pretext.views)])
    torch.testing.assert_close(part, whole[every], rtol=0, atol=1e-6)
    assert torch.equal(some, labels[every])
    again, same = pose(pretext, images, ids, places)
    assert torch.equal(again, whole)
    assert torch.equal(same, labels)


def test_the_recipe_says_it_all(pretext):
    assert build(type(pretext), {k: v for k, v in dump(pretext).items() if k != "kind"}) == pretext
    assert json.loads(json.dumps(pretext.facts())) == pretext.facts()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pose(Rotation(), torch.rand(1, 3, 4, 6)), "'rotation': images of 4x6 cannot be turned, only squares"),
        (lambda: pose(Rotation(every=True), torch.rand(1, 3, 4, 6)), "only squares can"),
        (lambda: pose(Jigsaw(), torch.rand(1, 3, 8, 10)), "8x10 cannot be cut into 4x4 tiles .* divisible by 4"),
        (lambda: Jigsaw(tiles=1), "tiles must be at least 2 along each side, got 1"),
        (lambda: Jigsaw(permutations=1), "permutations must be 2 to 1000 for 4x4 tiles, got 1"),
        (lambda: Jigsaw(tiles=2, permutations=25), "permutations must be 2 to 24 for 2x2 tiles, got 25"),
        (lambda: ContrastiveViews(scale=(0.5, 1.5)), "scale must be shares of the image, got 1.5"),
        (lambda: ContrastiveViews(scale=(0.0, 1.0)), "scale must be 0 < low <= high, got 0.0 and 1.0"),
        (lambda: ContrastiveViews(ratio=(2.0, 1.0)), "ratio must be 0 < low <= high, got 2.0 and 1.0"),
        (lambda: ContrastiveViews(grey=1.5), r"colour, grey and blur must be in \[0, 1\], got 0.5, 1.5 and 0.0"),
        (lambda: ContrastiveViews(temperature=0.0).task, "temperature must be above 0"),
        (lambda: check_pretexts((Rotation(),), (), "both"), "unknown main_sees 'both'"),
        (lambda: check_pretexts((Rotation(), Rotation(every=True)), (), "original"), "two tasks .* called 'rotation'"),
        (lambda: check_pretexts((Rotation("kind"),), TASKS, "original"), "two tasks of the run are called 'kind'"),
        (
            lambda: check_pretexts((Rotation(),), (Depth("far"),), "transformed"),
            "'far' is dense, and its labels do not",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(make, words):
    with pytest.raises(TestudoError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_dense_labels_are_fine_on_images_as_they_are():
    check_pretexts((Rotation(),), (Depth("far"), *TASKS), "original")
    check_pretexts((Rotation(),), TASKS, "transformed")


def test_the_main_task_sees_the_changed_image():
    data = batch()
    found = posed(data, (Jigsaw(), Rotation()), TASKS, "transformed", torch.arange(12))
    cut, jigsaw = pose(Jigsaw(), data.images)
    turned, rotation = Rotation().pose(cut, data.ids, torch.arange(12), torch.arange(12) // 10)
    assert torch.equal(found.images, turned)
    assert torch.equal(found.targets["jigsaw"], jigsaw)
    assert torch.equal(found.targets["rotation"], rotation)
    assert torch.equal(found.targets["image"], turned)  # the image's own target follows it
    assert torch.equal(found.targets["kind"], data.targets["kind"])
    assert torch.equal(found.targets["age"].isnan(), data.targets["age"].isnan())
    assert torch.equal(found.ids, data.ids)


def test_the_main_task_sees_the_image_as_it_is():
    data = batch()
    found = posed(data, (Jigsaw(), Rotation()), TASKS, "original", torch.arange(12))
    changed = posed(data, (Jigsaw(), Rotation()), TASKS, "transformed", torch.arange(12))
    plain, second = found[:12], found[12:]
    for name in data.targets:
        torch.testing.assert_close(plain.targets[name], data.targets[name], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(plain.images, data.images)
    assert torch.equal(plain.ids, data.ids)
    assert torch.equal(second.images, changed.images)
    for task in TASKS:
        assert not task.valid(second.targets[task.name]).any()
    for pretext in (Jigsaw(), Rotation()):
        assert not pretext.task.valid(plain.targets[pretext.name]).any()
        assert torch.equal(second.targets[pretext.name], changed.targets[pretext.name])


@pytest.mark.parametrize("sees", ["transformed", "original"])
def test_no_two_rows_draw_the_same_numbers(sees, pretext):
    data = replace(batch(), ids=torch.arange(12))  # one after the other, as a data set may number them
    found = posed(data, (pretext, replace(pretext, name="again")), TASKS, sees, torch.arange(12))
    assert len(found) == 12 * (pretext.views**2 + (sees == "original"))
    assert len(found.ids.unique()) == len(found)


def test_no_pretext_no_change():
    data = batch()
    assert posed(data, (), TASKS, "original", torch.arange(12)) is data


def test_unknown_images_stay_unknown():
    data = batch()
    data.targets["image"][3] = torch.nan
    found = posed(data, (Rotation(),), TASKS, "transformed", torch.arange(12))
    assert found.targets["image"].isnan().flatten(1).all(1).tolist() == [row == 3 for row in range(12)]


CHAINS = [
    (Jigsaw(permutations=5), Rotation()),
    (Rotation(), Jigsaw(permutations=6)),
    (Rotation(every=True), Jigsaw(permutations=6)),
    (Jigsaw(permutations=5), Rotation(every=True)),
    (Jigsaw(permutations=6), ContrastiveViews(), Rotation()),
    (ContrastiveViews(), Jigsaw(permutations=6), Rotation()),
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: "-".join(pretext.name for pretext in chain))
@pytest.mark.parametrize("shift", [0, 3])
def test_every_pair_of_labels_is_as_frequent(chain, shift):
    """No label tells anything of another, and any stretch of the batch as long as all pairs holds each of them once."""
    classes = {p.name: p.task.classes for p in chain if isinstance(p.task, Classification)}
    (first, many), (second, more) = classes.items()
    found = posed(
        batch(many * more, channels=1), chain, (), "transformed", shift * many * more + torch.arange(many * more)
    )
    pairs = found.targets[first] * more + found.targets[second]
    assert len(set(counts(pairs, many * more))) == 1


def test_labels_are_the_same_however_a_batch_is_spread():
    """What stands where decides, not who holds it; an odd share leaves the whole as balanced as it was."""
    data, chain = batch(12), (Rotation(), ContrastiveViews())
    whole = posed(data, chain, TASKS, "transformed", torch.arange(12))
    parts = [
        posed(data[rows], chain, TASKS, "transformed", torch.arange(12)[rows]) for rows in (slice(5), slice(5, 12))
    ]
    for view in range(2):
        rows = torch.cat([torch.arange(5) + 5 * view, torch.arange(7) + 7 * view + 10])
        both, one = Batch.cat(parts)[rows], whole[12 * view : 12 * view + 12]
        for name in ("rotation", "contrastive"):
            assert torch.equal(both.targets[name], one.targets[name])
        torch.testing.assert_close(both.images, one.images, rtol=0, atol=1e-6)
    assert counts(whole.targets["rotation"], 4) == [6] * 4


@pytest.mark.parametrize("chain", [(Jigsaw(), ContrastiveViews()), (Rotation(every=True), ContrastiveViews())])
def test_two_views_share_a_number_and_no_other_row_does(chain):
    found = posed(batch(), chain, TASKS, "transformed", torch.arange(12) + 40)
    numbers, frequency = found.targets["contrastive"].unique(return_counts=True)
    assert frequency.tolist() == [2] * len(numbers)
    half = len(found) // 2
    assert torch.equal(found.targets["contrastive"][:half], found.targets["contrastive"][half:])
