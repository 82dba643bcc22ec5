from dataclasses import replace
from pathlib import Path

import pytest
import torch

from testudo.data.dataset import Examples
from testudo.data.digits import Digits
from testudo.data.images import Files
from testudo.data.loader import Loader
from testudo.errors import TestudoError


@pytest.fixture(scope="module")
def loader():
    return Loader(Digits().load("val"), batch_size=40, seed=5, shuffle=True)


def ids(batches):
    return torch.cat([batch.ids for batch in batches]).tolist()


def test_an_epoch_has_every_example_once_and_a_small_last_batch(loader):
    batches = list(loader(epoch=1))
    assert [len(batch) for batch in batches] == [40, 40, 40, 30]
    assert len(loader) == 4
    assert sorted(ids(batches)) == sorted(loader.examples.ids.tolist())


def test_the_order_is_that_of_seed_and_epoch(loader):
    orders = [tuple(replace(loader, seed=seed).order(epoch).tolist()) for seed in (5, 6) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert torch.equal(replace(loader, batch_size=7, workers=2).order(1), loader.order(1))


def test_without_shuffling_the_order_is_that_of_the_examples(loader):
    assert ids(replace(loader, shuffle=False)(epoch=3)) == loader.examples.ids.tolist()


def test_no_examples_no_batches(loader):
    none = replace(loader, examples=loader.examples.take([]))
    assert list(none()) == []
    assert len(none) == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line_from_any_process(workers):
    files = Files((Path("/nowhere/a.png"),), ("list.csv row 1",), (3, 4, 4))
    broken = Loader(Examples(files, {}, torch.arange(1)), batch_size=1, workers=workers)
    with pytest.raises(TestudoError, match=r"^list.csv row 1: cannot read image '/nowhere/a.png': No such file[^\n]*$"):
        next(iter(broken()))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"workers": -1}])
def test_impossible_numbers_are_refused(loader, wrong):
    with pytest.raises(TestudoError, match="batch_size must be at least 1 and workers at least 0"):
        replace(loader, **wrong)
