from dataclasses import replace
from pathlib import Path

import pytest
import torch

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.dataset import Examples
from testudo.data.digits import Digits
from testudo.data.images import Files, Stored
from testudo.data.loader import Loader
from testudo.errors import TestudoError
from testudo.tasks.depth import Depth
from testudo.tasks.maps import Edges


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


def test_only_the_tasks_that_are_named_have_targets(loader):
    tasks = Digits().tasks()
    some = replace(loader, tasks=tasks[1:])
    for batch, whole in zip(some(2), loader(2), strict=True):
        assert list(batch.targets) == ["parity", "loop"]
        assert torch.equal(batch.images, whole.images)
        assert all(torch.equal(batch.targets[name], whole.targets[name]) for name in batch.targets)


@pytest.mark.parametrize("workers", [0, 2])
def test_labels_that_an_augmentation_changes_change_as_their_task_says(workers):
    images, depth = torch.rand(6, 3, 8, 8), torch.rand(6, 1, 8, 8) + 1
    examples = Examples(Stored(images), {"depth": depth, "other": depth}, torch.arange(6))
    zoom = Augment(scale=(2.0, 2.0))
    loader = Loader(examples, 4, augment=zoom, workers=workers, tasks=(Depth("depth"),))
    for batch in loader():
        plain = zoom(Batch(images, {"depth": depth}), 0, 0, (Edges("depth"),))[batch.ids]
        assert torch.equal(batch.images, plain.images)
        assert torch.equal(batch.targets["depth"], plain.targets["depth"] / 2)
        assert "other" not in batch.targets  # it would be of no known task
    with pytest.raises(TestudoError, match="how labels 'depth' change"):
        next(replace(loader, tasks=())())


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
