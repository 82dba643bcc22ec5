"""Derived labels of a split: the same whether made ahead, found on disk, or made with the batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from testudo.data import made as module
from testudo.data.cache import CACHE_ENV
from testudo.data.dataset import Examples
from testudo.data.derived import Relabel
from testudo.data.digits import Digits
from testudo.data.images import Files, Stored
from testudo.data.loader import Loader
from testudo.data.made import made
from testudo.data.pixel_labels import CannyLabel, HarrisLabel, HogLabel, ImageLabel, OcclusionLabel, SobelLabel
from testudo.errors import TestudoError

HOW = (
    ImageLabel("image"),
    SobelLabel("slopes"),
    CannyLabel("edges", sigma=0.5, low=0.02, high=0.05),
    HarrisLabel("corners"),
    HogLabel("hog", cell=4),
    OcclusionLabel("gaps"),
)
KEPT = len(HOW) - 1  # the image is not


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_ENV, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pixels():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 10, 12), dtype=np.uint8))


@pytest.fixture
def stored(pixels):
    metres = (pixels[:, :1] / 64 + 0.5).half()
    return Examples(Stored(pixels), {"depth": metres}, torch.arange(9) * 7)


@pytest.fixture
def filed(pixels, stored, tmp_path):
    """The same, its images in files."""
    paths = tuple(tmp_path / f"{row}.png" for row in range(9))
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return replace(stored, images=Files(paths, tuple(map(str, paths)), (3, 10, 12)))


def made_of(how, examples):
    return made(how, examples, examples.fingerprint)


def with_all(examples):
    return replace(examples, made=tuple(made_of(how, examples) for how in HOW))


def same(a, b):
    assert a.targets.keys() == b.targets.keys() == {"depth", *(how.name for how in HOW)}
    for name in a.targets:
        assert a.targets[name].dtype == b.targets[name].dtype == torch.float32
        assert torch.equal(a.targets[name], b.targets[name]), name


def test_ahead_from_disk_and_with_the_batch_are_the_same(folder, stored, filed, monkeypatch):
    first = with_all(stored)
    assert len(list(folder.iterdir())) == KEPT
    monkeypatch.setattr(module, "_found", None)  # what is on disk is not made again
    second = with_all(stored)
    third = with_all(filed)
    assert all(label.kept is None for label in third.made)
    for indices in (range(9), [4], [7, 2, 2], []):
        batches = [examples.batch(list(indices)) for examples in (first, second, third)]
        same(batches[0], batches[1])
        same(batches[0], batches[2])
    whole = first.batch(range(9))
    assert torch.equal(whole.targets["image"], whole.images)
    assert torch.equal(whole.targets["hog"], HogLabel("hog", cell=4).targets(whole.images))


def test_encoded_images_in_memory_count_where_their_labels_are_small(folder, filed, monkeypatch):
    files = filed.images
    in_memory = replace(filed, images=replace(files, items=tuple(path.read_bytes() for path in files.items)))
    ahead = with_all(in_memory)
    assert [label.kept is not None for label in ahead.made] == [False] + [True] * KEPT
    same(ahead.batch(range(9)), with_all(filed).batch(range(9)))
    monkeypatch.setattr(module, "MOST", 9 * 10 * 12 * 2)
    assert [label.kept is not None for label in with_all(in_memory).made[1:]] == [True, True, True, True, True]
    monkeypatch.setattr(module, "MOST", 9 * 10 * 12 * 2 - 1)
    assert [label.kept is not None for label in with_all(in_memory).made[1:]] == [False, False, False, True, False]


def test_made_in_any_number_of_parts_they_are_the_same(folder, stored, monkeypatch):
    whole = with_all(stored).batch(range(9))
    for file in folder.iterdir():
        file.unlink()
    monkeypatch.setattr(module, "CHUNK", 800)
    same(with_all(stored).batch(range(9)), whole)


def test_other_data_fields_or_code_are_made_anew(folder, stored, monkeypatch):
    sobel, canny = SobelLabel("slopes"), CannyLabel("edges")
    made_of(sobel, stored)
    made_of(canny, stored)
    made_of(replace(canny, low=0.01), stored)
    made_of(sobel, stored.take(range(8)))
    made_of(sobel, replace(stored, images=Stored(255 - stored.images.pixels)))
    monkeypatch.setattr(SobelLabel, "version", 2)
    made_of(sobel, stored)
    assert len(list(folder.iterdir())) == 6
    made_of(canny, stored)
    assert len(list(folder.iterdir())) == 6


def test_taking_some_takes_their_labels(folder, stored, filed):
    for examples in (with_all(stored), with_all(filed)):
        same(examples.take([5, 0]).batch([1, 0]), examples.batch([0, 5]))
        same(examples.take([5, 0, 3]).take([2]).batch([0]), examples.batch([3]))


def test_workers_make_the_same(folder, filed):
    loader = Loader(with_all(filed), batch_size=4, shuffle=True)
    for here, there in zip(loader(1), replace(loader, workers=2)(1), strict=True):
        same(here, there)


def test_the_fingerprint_names_what_is_derived(folder, stored, filed):
    plain = stored.fingerprint()
    assert with_all(stored).fingerprint() != plain
    assert with_all(stored).fingerprint() == with_all(stored).fingerprint()
    other = replace(stored, made=(made_of(CannyLabel("edges", low=0.01), stored),))
    assert other.fingerprint() != replace(stored, made=(made_of(CannyLabel("edges"), stored),)).fingerprint()


def test_a_data_set_gives_them_with_its_own(folder):
    half = Relabel("half", "digit", ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9)), ("low", "high"))
    digits = Digits(size=8, derived=(HogLabel("hog"), half, ImageLabel("image", channels=1)))
    batch = digits.load("val").batch(range(20))
    tasks = {task.name: task for task in digits.tasks()}
    assert batch.targets.keys() == tasks.keys() == {"digit", "parity", "loop", "hog", "half", "image"}
    for name, task in tasks.items():
        task.check(batch.targets[name])
    assert torch.equal(batch.targets["image"], batch.images)
    assert torch.equal(batch.targets["hog"], HogLabel("hog").targets(batch.images))


def test_what_a_data_set_cannot_derive_is_one_line():
    with pytest.raises(TestudoError, match="derived task 'image': channels is 3, but the images have 1"):
        Digits(derived=(ImageLabel("image"),)).load("val")
    with pytest.raises(TestudoError, match=r"unknown source task 'depth'; \(allowed: digit, loop, parity\)"):
        Digits(derived=(OcclusionLabel("gaps"),)).load("val")
    with pytest.raises(TestudoError, match="derived task 'digit': there is a task of that name already"):
        Digits(derived=(SobelLabel("digit"),)).tasks()


def test_only_what_is_wanted_is_made(folder, filed, monkeypatch):
    asked = []
    read = module.Made.read
    monkeypatch.setattr(module.Made, "read", lambda self, *rest: asked.append(self.how.name) or read(self, *rest))
    everything, name = with_all(filed), HOW[-1].name
    some = everything.batch([0, 3], [name, "nothing"])
    assert list(some.targets) == asked == [name]
    assert torch.equal(some.targets[name], everything.batch([0, 3]).targets[name])
    origin = next((how for how in HOW if how.origin), None)
    if origin is not None:
        assert list(everything.batch([1], [origin.name]).targets) == [origin.name]
