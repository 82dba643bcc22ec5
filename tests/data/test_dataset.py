from dataclasses import replace

import numpy as np
import pytest
import torch

from testudo.data.dataset import Examples, joined
from testudo.data.derived import Relabel
from testudo.data.digits import Digits
from testudo.data.images import Stored
from testudo.errors import TestudoError

SMALL = Relabel("small", "digit", ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9)), ("small", "large"))


@pytest.fixture
def examples():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), dtype=np.uint8))
    return Examples(Stored(pixels), {"kind": torch.arange(7) % 2}, torch.arange(7) * 10, "half of them")


def test_batch_and_take_pick_the_same(examples):
    taken = examples.take([4, 2], "two left")
    batch = examples.batch(torch.tensor([4, 2]))
    assert torch.equal(taken.batch([0, 1]).images, batch.images)
    assert taken.ids.tolist() == batch.ids.tolist() == [40, 20]
    assert taken.targets["kind"].tolist() == batch.targets["kind"].tolist() == [0, 0]
    assert taken.note == "half of them; two left"
    assert (taken.channels, taken.size) == (3, (4, 5))


def test_statistics_are_those_of_all_pixels(examples):
    mean, std = examples.statistics()
    pixels = examples.images.pixels.numpy() / 255
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3)), rtol=1e-6)


def test_a_constant_channel_can_be_divided_by():
    grey = Examples(Stored(torch.full((2, 1, 3, 3), 51, dtype=torch.uint8)), {}, torch.arange(2))
    assert grey.statistics() == (pytest.approx((0.2,)), (1 / 255,))


def test_fingerprint_knows_the_order_but_not_the_note(examples):
    assert replace(examples, note="").fingerprint() == examples.fingerprint()
    assert examples.take([1, 0]).fingerprint() != examples.take([0, 1]).fingerprint()


def test_ids_and_targets_must_fit(examples):
    with pytest.raises(TestudoError, match="'kind' holds 6 labels for 7 images"):
        replace(examples, targets={"kind": torch.zeros(6)})
    with pytest.raises(TestudoError, match="id 3 stands for more than one example"):
        replace(examples, ids=torch.tensor([0, 1, 2, 3, 3, 5, 6]))


def test_derived_tasks_come_with_any_data_set():
    again = Relabel("again", "small", ((1,), (0,)), ("large", "small"))
    dataset = Digits(derived=(SMALL, again))
    assert [task.name for task in dataset.tasks()] == ["digit", "parity", "loop", "small", "again"]
    targets = dataset.load("val").targets
    assert torch.equal(targets["small"], (targets["digit"] >= 5).long())
    assert torch.equal(targets["again"], 1 - targets["small"])


def test_derived_tasks_that_cannot_be_made():
    with pytest.raises(TestudoError, match="unknown source task 'digits'; did you mean 'digit'"):
        Digits(derived=(replace(SMALL, source="digits"),)).load("test")
    with pytest.raises(TestudoError, match="a task of that name already"):
        Digits(derived=(replace(SMALL, name="loop"),)).tasks()


def test_joined_skips_what_is_empty():
    assert joined("", "a", "", "b") == "a; b"
