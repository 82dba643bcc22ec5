"""STL-10 on tiny binary files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from testudo.data.inspect import check
from testudo.data.stl10 import IMAGE, STL10
from testudo.errors import TestudoError

sets = SimpleNamespace(**run_path(str(Path(__file__).with_name("set_writers.py"))))


@pytest.fixture
def root(tmp_path):
    return sets.stl10(tmp_path)


def refused(dataset, message, split="train"):
    with pytest.raises(TestudoError, match=message) as caught:
        dataset.load(split)
    assert "\n" not in str(caught.value)


def test_images_stand_upright_and_labels_count_from_zero(root):
    test = STL10(str(root)).load("test")
    wanted = sets.writers.pixels(20, 1, (96, 96))  # (N, H, W, 3), written column by column
    batch = test.batch(range(20))
    assert np.array_equal((batch.images * 255).round().permute(0, 2, 3, 1).numpy(), wanted)
    assert batch.targets["object"].tolist() == [index % 10 for index in range(20)]
    assert batch.targets["vehicle"].tolist() == [int(index % 10 in (0, 2, 8, 9)) for index in range(20)]
    assert STL10(str(root / "stl10_binary")).load("test").fingerprint() == test.fingerprint()


def test_train_and_val_share_the_labelled_images_by_class(root):
    dataset = STL10(str(root), val_share=0.2)
    train, val = dataset.load("train"), dataset.load("val")
    assert sorted([*train.ids.tolist(), *val.ids.tolist()]) == list(range(50))
    assert val.targets["object"].bincount().tolist() == [1] * 10
    assert "10 training images held out as val" in val.note
    refused(STL10(str(root), val_share=0.0), "stl10: no val examples: val_share is 0", "val")


@pytest.mark.parametrize("fold", [1, 2])
def test_a_fold_is_whole_and_val_lies_outside(root, fold):
    dataset = STL10(str(root), val_share=0.2, fold=fold)
    train, val = dataset.load("train"), dataset.load("val")
    assert train.ids.tolist() == list(range(fold - 1, 50, 2))
    assert not set(val.ids.tolist()) & set(train.ids.tolist())
    assert len(val) == 10
    assert f"fold {fold} of 10" in train.note


def test_images_without_labels_are_reachable(root):
    dataset = STL10(str(root), unlabeled=True)
    train = dataset.load("train")
    assert len(train) == 30
    assert train.ids.tolist() == list(range(5000, 5030))
    assert set(train.targets["object"].tolist()) == set(train.targets["vehicle"].tolist()) == {-1}
    assert "images without labels" in train.note
    assert np.array_equal(
        (train.batch([7]).images[0] * 255).byte().permute(1, 2, 0), sets.writers.pixels(30, 2, (96, 96))[7]
    )
    labelled = replace(dataset, unlabeled=False)
    assert dataset.load("test").fingerprint() == labelled.load("test").fingerprint()
    assert dataset.statistics() == labelled.statistics()


def test_pixels_are_mapped_not_read(root):
    pixels = STL10(str(root), unlabeled=True).load("train").images.pixels
    wide = root / "stl10_binary" / "unlabeled_X.bin"
    with wide.open("r+b") as file:
        file.write(bytes([7]))  # the first red pixel of the first image, after loading
    assert int(pixels[0, 0, 0, 0]) == 7


def test_images_are_brought_to_another_size(root):
    small = STL10(str(root), size=40).load("test")
    assert small.size == (40, 40)
    assert "resized to 40x40" in small.note
    with Image.fromarray(sets.writers.pixels(20, 1, (96, 96))[3]) as image:
        wanted = np.asarray(image.resize((40, 40), Image.Resampling.BILINEAR)).astype(int)
    found = small.images.pixels[3].permute(1, 2, 0).numpy().astype(int)
    assert abs(found - wanted).max() <= 1  # Pillow rounds twice


@pytest.mark.parametrize("part", ["train", "test"])
def test_damaged_files_are_named(root, part):
    folder = root / "stl10_binary"
    dataset, split = STL10(str(root)), part
    images, labels = folder / f"{part}_X.bin", folder / f"{part}_y.bin"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    refused(dataset, rf"{part}_X.bin: {len(whole) - 1:,} bytes are no whole number of 96x96 RGB images", split)
    images.write_bytes(b"")
    refused(dataset, "0 bytes are no whole number", split)
    images.write_bytes(whole[:-IMAGE])
    refused(dataset, rf"{part}_y.bin: \d+ labels for \d+ images in {part}_X.bin", split)
    images.write_bytes(whole)
    told = bytearray(labels.read_bytes())
    for wrong in (0, 11):
        told[4] = wrong
        labels.write_bytes(told)
        refused(dataset, rf"{part}_y.bin: label {wrong} of image 4 must be 1 to 10", split)
    labels.unlink()
    refused(dataset, f"stl10: missing file .*{part}_y.bin", split)
    assert f"{part}_y.bin" in check(dataset).problems[0]


def test_folds_that_cannot_be_are_named(root):
    file = root / "stl10_binary" / "fold_indices.txt"
    refused(STL10(str(root), fold=3), "fold_indices.txt: no line of row numbers for fold 3")
    file.write_text("0 1 50\n")
    refused(STL10(str(root), fold=1), r"fold 1 names image 50, there are 50 \(from 0\)")
    file.write_text("0 one\n")
    refused(STL10(str(root), fold=1), "no line of row numbers for fold 1: .*'one'")
    file.unlink()
    refused(STL10(str(root), fold=1), "missing file .*fold_indices.txt")
    refused(STL10(str(root / "no")), "stl10: no folder")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"val_share": -0.1}, "stl10: val_share"),
        ({"size": 4}, "stl10: size must be at least 8 pixels, got 4"),
        ({"fold": 11}, "stl10: fold must be 1 to 10, or 0 for all images, got 11"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(TestudoError, match=message):
        STL10(**fields)
