"""What every registered data set must have."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from testudo.data.array import Array
from testudo.data.augment import Augment
from testudo.data.chexpert import CheXpert
from testudo.data.cifar import CIFAR10, CIFAR100
from testudo.data.cityscapes import Cityscapes
from testudo.data.digits import Digits
from testudo.data.extended import Extended
from testudo.data.fraction import Fraction
from testudo.data.images import Files, Stored
from testudo.data.loader import Loader
from testudo.data.manifest import Manifest
from testudo.data.nyuv2 import NYUv2
from testudo.data.robin import ROBIN
from testudo.data.scenes import TASKS as SCENE_TASKS
from testudo.data.scenes import Scenes
from testudo.data.stl10 import STL10
from testudo.data.taskonomy import Taskonomy
from testudo.data.xray import NIH
from testudo.errors import TestudoError
from testudo.registry import DATA

HERE = Path(__file__).resolve().parent
writers = SimpleNamespace(**run_path(str(HERE.parent / "data" / "writers.py")))
sets = SimpleNamespace(**run_path(str(HERE.parent / "data" / "set_writers.py")))
SAMPLES = Path(os.environ.get("TESTUDO_DATA") or HERE.parents[1] / "../shared/data")
ANIMALS = {"breed": "classification", "age": "regression", "seen": "multilabel"}
BIRDS = {"columns": {"kind": "classification", "parts": "multilabel"}, "classes": {"parts": ("wing", "beak")}}


def _sample(cls, name):
    if not (SAMPLES / name).is_dir():
        pytest.skip(f"no sample {name} in {SAMPLES} (see TESTUDO_DATA)")
    return cls(str(SAMPLES / name), train_limit=100, test_limit=100)


def _grey(tmp):
    return Manifest(writers.birds(tmp), size=(8, 8), channels=3, **BIRDS)


CASES = {
    "digits": lambda tmp: Digits(),
    "digits-8": lambda tmp: Digits(size=8, seed=3),
    "cifar10-batches": lambda tmp: CIFAR10(str(writers.cifar10_batches(tmp).parent), val_share=0.2),
    "cifar10-hub": lambda tmp: CIFAR10(str(writers.cifar10_hub(tmp)), val_share=0.2),
    "cifar10-sample": lambda tmp: _sample(CIFAR10, "cifar10"),
    "cifar100-batches": lambda tmp: CIFAR100(str(writers.cifar100_batches(tmp)), val_share=0.2),
    "cifar100-hub": lambda tmp: CIFAR100(str(writers.cifar100_hub(tmp)), val_share=0.2),
    "cifar100-sample": lambda tmp: _sample(CIFAR100, "cifar100"),
    "nih-sample": lambda tmp: NIH(str(writers.nih(tmp)), size=16),
    "nih-published": lambda tmp: NIH(str(writers.nih(tmp, published=True)), size=20),
    "chexpert": lambda tmp: CheXpert(str(sets.chexpert(tmp)), size=16, val_share=0.2),
    "chexpert-tasks": lambda tmp: CheXpert(
        str(sets.chexpert(tmp)), 16, 1, ("Edema",), ("Cardiomegaly", "Pleural Effusion"), "positive", False, 0.2
    ),
    "stl10": lambda tmp: STL10(str(sets.stl10(tmp)), val_share=0.2),
    "stl10-fold": lambda tmp: STL10(str(sets.stl10(tmp)), size=16, val_share=0.2, fold=2),
    "robin-iid": lambda tmp: ROBIN(str(sets.robin(tmp)), size=16, val_share=0.3),
    "robin-ood": lambda tmp: ROBIN(str(sets.robin(tmp)), size=8, test="ood", val_share=0.3),
    "array-npz": lambda tmp: Array(sets.arrays(tmp / "made.npz"), classes=("a", "b", "c", "d")),
    "array-npy": lambda tmp: Array(sets.arrays(tmp / "made.npy", kind="npy"), str(tmp / "labels.npy")),
    "array-safetensors": lambda tmp: Array(sets.arrays(tmp / "made.safetensors", kind="safetensors")),
    "fraction": lambda tmp: Fraction(Digits(), share=0.25),
    "fraction-nih": lambda tmp: Fraction(NIH(str(writers.nih(tmp)), size=16), share=0.5, seed=2),
    "extended": lambda tmp: Extended(_grey(tmp), Array(sets.arrays(tmp / "made.npz"), task="kind"), share=40 / 58),
    "nyuv2-images": lambda tmp: NYUv2(str(writers.nyuv2_images(tmp)), size=(12, 16)),
    "nyuv2-arrays": lambda tmp: NYUv2(str(writers.nyuv2_arrays(tmp)), size=(24, 32)),
    "cityscapes-minmax": lambda tmp: Cityscapes(str(writers.cityscapes(tmp)), size=(16, 32)),
    "cityscapes-mao": lambda tmp: Cityscapes(str(writers.cityscapes(tmp)), "mao", size=(20, 24), skip_bad=True),
    "cityscapes-prepared": lambda tmp: Cityscapes(str(writers.cityscapes_prepared(tmp)), size=(8, 16)),
    "taskonomy-tiny": lambda tmp: Taskonomy(str(writers.taskonomy(tmp)), size=(16, 16)),
    "taskonomy-drawn": lambda tmp: Taskonomy(str(writers.taskonomy(tmp, order="omnidata")), "drawn", size=(8, 8)),
    "scenes": lambda tmp: Scenes(size=(24, 32), rooms=(3, 2, 3), views=2),
    "scenes-all": lambda tmp: Scenes(size=(16, 24), rooms=(2, 2, 2), views=3, wanted=SCENE_TASKS, supersample=1),
    "manifest-csv": lambda tmp: Manifest(writers.animals(tmp), columns=ANIMALS),
    "manifest-parquet": lambda tmp: Manifest(writers.birds(tmp), **BIRDS),
}


@pytest.fixture(scope="module", params=CASES)
def dataset(request, tmp_path_factory):
    return CASES[request.param](tmp_path_factory.mktemp(request.param))


def _same(a, b):
    assert a.ids.tolist() == b.ids.tolist()
    assert torch.equal(a.images, b.images)
    assert a.targets.keys() == b.targets.keys()
    for name in a.targets:
        assert torch.equal(a.targets[name].nan_to_num(-7), b.targets[name].nan_to_num(-7)), name


def test_every_registered_data_set_is_here():
    assert set(DATA.names()) == {case.partition("-")[0] for case in CASES}


def test_images_and_targets_are_valid(dataset):
    for split in dataset.splits:
        examples = dataset.load(split)
        batch = examples.batch(range(len(examples)))
        assert len(batch) == len(examples) > 0
        assert batch.images.shape[1:] == (examples.channels, *examples.size)
        assert batch.images.dtype == torch.float32
        assert 0 <= batch.images.min() < batch.images.max() <= 1
        assert batch.ids.dtype == torch.int64
        assert list(batch.targets) == [task.name for task in dataset.tasks()]
        for task in dataset.tasks():
            task.check(batch.targets[task.name])
            assert task.valid(batch.targets[task.name]).any(), task.name
        assert "\n" not in examples.note


def test_statistics_fit_a_model(dataset):
    mean, std = dataset.statistics()
    assert len(mean) == len(std) == dataset.load("train").channels
    assert all(0 < value < 1 for value in (*mean, *std))


def test_splits_share_no_image_and_train_shares_no_id_with_val(dataset):
    loaded = {split: dataset.load(split) for split in dataset.splits}
    digests = [digest for examples in loaded.values() for digest in examples.images.digests()]
    assert len(set(digests)) == len(digests)
    assert not set(loaded["train"].ids.tolist()) & set(loaded["val"].ids.tolist())


def test_two_loads_are_the_same(dataset):
    for split in dataset.splits:
        first, second = dataset.load(split), replace(dataset).load(split)
        assert first.fingerprint() == second.fingerprint()
        assert re.fullmatch(r"[0-9a-f]{64}", first.fingerprint())
        _same(first.batch([2, 0, 1]), second.batch([2, 0, 1]))


def test_fingerprint_tells_one_pixel_one_label_and_one_id(dataset):
    examples = dataset.load("test")
    seen = {examples.fingerprint(), replace(examples, images=_one_pixel_off(examples.images)).fingerprint()}
    ids = examples.ids.clone()
    ids[0] = ids.max() + 1
    seen.add(replace(examples, ids=ids).fingerprint())
    for name, values in examples.targets.items():
        changed = values.nan_to_num(0)
        changed.view(-1)[0] += 1
        seen.add(replace(examples, targets={**examples.targets, name: changed}).fingerprint())
    assert len(seen) == 3 + len(examples.targets)


def _one_pixel_off(images):
    if isinstance(images, Stored):
        pixels = images.pixels.clone()
        pixels[0, 0, 0, 0] = 1 - pixels[0, 0, 0, 0].float().clamp(0, 1)
        return Stored(pixels)
    array = images.pixels(torch.tensor([0]))[0].permute(1, 2, 0).squeeze(2).numpy().copy()
    array.reshape(-1)[0] ^= 1
    return Files((writers.encoded(array), *images.items[1:]), images.where, images.shape, images.resize)


@pytest.mark.parametrize("augment", [None, Augment(crop=2, flip=True, scale=(0.8, 1.2))], ids=["plain", "augmented"])
def test_batches_do_not_depend_on_workers_or_on_where_one_starts(dataset, augment):
    examples = dataset.load("test")
    size = -(-len(examples) // 5)
    here = Loader(examples, size, seed=4, shuffle=True, augment=augment, tasks=dataset.tasks())
    there = replace(here, workers=2)
    whole = list(here(epoch=2))
    assert sum(len(batch) for batch in whole) == len(examples)
    assert sorted(torch.cat([batch.ids for batch in whole]).tolist()) == sorted(examples.ids.tolist())
    for start in range(len(whole) + 1):
        resumed = list(here(epoch=2, start=start))
        assert len(resumed) == len(whole) - start
        for a, b in zip(whole[start:], resumed, strict=True):
            _same(a, b)
    for a, b in zip(whole[1:], there(epoch=2, start=1), strict=True):
        _same(a, b)


@pytest.mark.parametrize("workers", [0, 2])
def test_global_random_state_is_left_alone(dataset, workers):
    before = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    examples = dataset.load("test")
    augment, size = Augment(crop=1, flip=True), -(-len(examples) // 2)
    loader = Loader(examples, size, shuffle=True, augment=augment, workers=workers, tasks=dataset.tasks())
    first = torch.cat([batch.ids for batch in loader(epoch=1)])
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    torch.rand(3)
    assert torch.equal(first, torch.cat([batch.ids for batch in loader(epoch=1)]))


def test_unknown_split_suggests_the_nearest(dataset):
    with pytest.raises(TestudoError, match=r"unknown split 'tset'; did you mean 'test'\?"):
        dataset.load("tset")
