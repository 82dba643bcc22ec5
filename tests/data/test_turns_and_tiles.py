"""Turns and tiles: exact, undone exactly; permutations far apart and a function of their seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.data.jigsaw import Jigsaw, orders
from testudo.data.rotation import Rotation


def pose(pretext, images, places=None):
    places = torch.arange(len(images)) if places is None else places
    return pretext.pose(images, torch.arange(len(images)), places, places)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**31))
def test_turns_are_turned_back_exactly(side, channels, first):
    images = torch.rand(5, channels, side, side)
    places = first + torch.arange(5)
    turned, labels = pose(Rotation(), images, places=places)
    assert torch.equal(labels, places % 4)
    for row in range(5):
        assert torch.equal(torch.rot90(turned[row], -int(labels[row]), (1, 2)), images[row])
    turned, labels = pose(Rotation(every=True), images)
    assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert torch.equal(turned[:5], images)
    back = torch.stack([torch.rot90(t, -int(k), (1, 2)) for t, k in zip(turned, labels, strict=True)])
    assert torch.equal(back, images.repeat(4, 1, 1, 1))


def test_a_quarter_is_anticlockwise():
    image = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])
    turned, _ = pose(Rotation(), image, places=torch.tensor([1]))
    assert torch.equal(turned, torch.tensor([[[[0.2, 0.4], [0.1, 0.3]]]]))


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 50), st.integers(0, 1000))
def test_tiles_are_put_back_exactly(tiles, height, width, seed, first):
    jigsaw = Jigsaw(tiles=tiles, permutations=7, seed=seed)
    images, places = torch.rand(8, 2, tiles * height, tiles * width), first + torch.arange(8)
    changed, labels = pose(jigsaw, images, places=places)
    assert torch.equal(labels, places % 7)
    assert torch.equal(jigsaw.put_back(changed, labels), images)
    assert torch.equal(changed[labels == 0], images[labels == 0])
    assert torch.equal(changed.flatten(1).sort(1).values, images.flatten(1).sort(1).values)


def test_the_permutations_say_which_tile_lies_where():
    jigsaw, images = Jigsaw(seed=3), torch.rand(10, 2, 12, 12)
    changed, labels = pose(jigsaw, images)
    for image, was, label in zip(changed, images, labels.tolist(), strict=True):
        for place, tile in enumerate(jigsaw.facts()["permutations"][label]):
            (y, x), (v, u) = divmod(place, 4), divmod(tile, 4)
            here, there = image[:, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3], was[:, 3 * v : 3 * v + 3, 3 * u : 3 * u + 3]
            assert torch.equal(here, there)


def distances(found):
    table = torch.tensor(found)
    return (table[:, None] != table).sum(2)[~torch.eye(len(table), dtype=torch.bool)]


@pytest.mark.parametrize(("length", "count", "least"), [(4, 4, 4), (4, 24, 2), (9, 10, 8), (16, 10, 15), (16, 50, 14)])
def test_permutations_are_far_apart(length, count, least):
    for seed in range(3):
        found = orders(length, count, seed)
        assert found[0] == tuple(range(length))
        assert len(set(found)) == count
        assert all(sorted(order) == list(range(length)) for order in found)
        assert distances(found).min() >= least
        at_random = torch.rand(count, length, generator=torch.Generator().manual_seed(seed)).argsort(1)
        assert distances(at_random.tolist()).min() <= least
        assert orders(length, count - 1, seed) == found[:-1]


def test_permutations_are_a_function_of_the_seed_alone():
    first = Jigsaw(seed=5).facts()["permutations"]
    orders.cache_clear()
    torch.manual_seed(123)
    assert Jigsaw(seed=5).facts()["permutations"] == first
    assert Jigsaw(seed=6).facts()["permutations"] != first
    assert Jigsaw(seed=6, permutations=2).facts()["permutations"][0] == list(range(16))
