import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from testudo.data.digits import Digits
from testudo.errors import TestudoError

LOOPS = {0, 6, 8, 9}


@pytest.fixture(scope="module")
def splits():
    dataset = Digits(size=16)
    return {split: dataset.load(split) for split in dataset.splits}


def test_the_splits_are_all_of_it_once(splits):
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 1047, "val": 150, "test": 600}
    ids = torch.cat([examples.ids for examples in splits.values()])
    assert sorted(ids.tolist()) == list(range(1797))


def test_every_split_has_every_digits_share(splits):
    whole = np.bincount(load_digits().target) / 1797
    for examples in splits.values():
        counts = examples.targets["digit"].bincount(minlength=10).numpy()
        assert np.abs(counts - whole * len(examples)).max() < 2.5


def test_labels_are_those_of_the_rows(splits):
    target = load_digits().target
    for examples in splits.values():
        digit = examples.targets["digit"]
        assert digit.tolist() == target[examples.ids.numpy()].tolist()
        assert torch.equal(examples.targets["parity"], digit % 2)
        assert examples.targets["loop"].tolist() == [int(d in LOOPS) for d in digit.tolist()]


def test_size_8_is_untouched():
    test = Digits(size=8).load("test")
    scans = load_digits().images[test.ids.numpy()] / 16
    assert test.note == ""
    np.testing.assert_array_equal(test.batch(range(600)).images[:, 0].numpy(), scans.astype(np.float32))


def test_enlarging_keeps_the_ink_and_the_split(splits):
    small = Digits(size=8).load("test").batch(range(600)).images
    large = splits["test"].batch(range(600)).images
    assert splits["test"].note == "8x8 scans enlarged to 16x16 bilinearly"
    assert torch.allclose(torch.nn.functional.avg_pool2d(large, 2).mean(), small.mean(), atol=1e-3)
    assert Digits(size=12).load("val").size == (12, 12)


def test_the_seed_decides_the_split(splits):
    assert set(Digits(seed=1).load("test").ids.tolist()) != set(splits["test"].ids.tolist())


def test_smaller_than_the_scans_is_refused():
    with pytest.raises(TestudoError, match="size must be at least 8 pixels, got 7"):
        Digits(size=7)
