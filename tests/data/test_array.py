"""Images and labels in arrays: every kind of file gives the same examples, damaged ones a line."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from testudo.data.array import Array
from testudo.data.inspect import check
from testudo.errors import TestudoError

sets = SimpleNamespace(**run_path(str(Path(__file__).with_name("set_writers.py"))))
KINDS = ("npz", "compressed", "npy", "safetensors")


def made(tmp_path, kind, **fields):
    name = tmp_path / f"made.{'npz' if kind == 'compressed' else kind}"
    labels = {"labels": str(tmp_path / "labels.npy")} if kind == "npy" else {}
    return Array(sets.arrays(name, kind=kind), **labels, **fields)


def written(tmp_path, images, labels, **fields):
    np.savez(tmp_path / "some.npz", image=images, label=labels)
    return Array(str(tmp_path / "some.npz"), **fields)


def refused(dataset, message):
    with pytest.raises(TestudoError, match=message) as caught:
        dataset.load("train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same(tmp_path, kind):
    dataset = made(tmp_path, kind, val_share=0.0, test_share=0.0)
    train = dataset.load("train")
    batch = train.batch(range(40))
    wanted = sets.writers.pixels(40, 90, (8, 8))
    assert np.array_equal((batch.images * 255).round().permute(0, 2, 3, 1).numpy(), wanted)
    assert batch.targets["label"].tolist() == [index % 4 for index in range(40)]
    assert batch.ids.tolist() == list(range(40))
    (tmp_path / "other").mkdir()
    assert train.fingerprint() == made(tmp_path / "other", "npz", val_share=0, test_share=0).load("train").fingerprint()


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_images_are_mapped_not_read(tmp_path, kind):
    pixels = made(tmp_path, kind, val_share=0.0, test_share=0.0).load("train").images.pixels
    content = sets.writers.pixels(40, 90, (8, 8)).tobytes()
    file = tmp_path / f"made.{kind}"
    at = file.read_bytes().index(content)
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(bytes([(content[0] + 1) % 256]))
    assert int(pixels[0, 0, 0, 0]) == (content[0] + 1) % 256


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.zeros((6, 5, 7, 3), np.uint8), (3, 5, 7)),
        (np.zeros((6, 5, 7, 1), np.uint8), (1, 5, 7)),
        (np.zeros((6, 3, 5, 7), np.uint8), (3, 5, 7)),
        (np.zeros((6, 5, 7), np.uint8), (1, 5, 7)),
        (np.zeros((6, 3, 5, 7), np.float64), (3, 5, 7)),
        (np.asfortranarray(np.zeros((6, 3, 5, 7), np.float16)), (3, 5, 7)),
    ],
)
def test_orders_of_axes_are_known_apart(tmp_path, images, shape):
    dataset = written(tmp_path, images, np.arange(6), val_share=0.0, test_share=0.0)
    assert dataset.load("train").images.shape == shape
    assert dataset.load("train").batch([0]).images.dtype == torch.float32
    assert dataset.tasks()[0].classes == 6


def test_numbers_are_kept_through_fortran_order(tmp_path):
    images = np.random.default_rng(0).random((6, 3, 5, 7)).astype(np.float32)
    dataset = written(tmp_path, np.asfortranarray(images), np.arange(6), val_share=0.0, test_share=0.0)
    assert np.array_equal(dataset.load("train").batch(range(6)).images.numpy(), images)


def test_shares_are_of_every_class_and_unknown_labels_stay(tmp_path):
    labels = np.array([0, 1, 2, 3] * 9 + [-1] * 4)
    images = np.zeros((40, 8, 8, 3), np.uint8)
    dataset = written(tmp_path, images, labels, classes=("a", "b", "c", "d"), task="kind")
    parts = [dataset.load(split) for split in dataset.splits]
    assert [len(part) for part in parts] == [28, 4, 8]
    assert sorted(torch.cat([part.ids for part in parts]).tolist()) == list(range(40))
    assert sum(int((part.targets["kind"] == -1).sum()) for part in parts) == 4
    assert dataset.tasks()[0].labels == ("a", "b", "c", "d")
    whole = Array(dataset.file, val_share=0.0)
    with pytest.raises(TestudoError, match="array: no val examples: val_share is 0"):
        whole.load("val")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 8, 8, 2), np.uint8), np.arange(4), "images must be .* 1 or 3 channels.* got .4, 8, 8, 2."),
        (np.zeros((4, 8), np.uint8), np.arange(4), "images must be"),
        (np.zeros((0, 8, 8, 3), np.uint8), np.arange(0), "images must be"),
        (np.zeros((4, 8, 8, 3), np.int64), np.arange(4), "images must be uint8, or floats in .0, 1., got torch.int64"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.arange(3), "labels must be integers of shape .4,., one per image"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.eye(4), "labels must be integers"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 2, -2]), "label -2 of image 3 is out of range .allowed: 0"),
    ],
)
def test_wrong_shapes_and_types_are_named(tmp_path, images, labels, message):
    refused(written(tmp_path, images, labels), f"some.npz: {message}")


def test_labels_beyond_the_classes_and_pixels_beyond_the_range_are_named(tmp_path):
    refused(made(tmp_path, "npz", classes=("a", "b", "c")), "label 3 of image 3 is out of range .allowed: 0 to 2")
    images = np.zeros((10, 8, 8, 3), np.float32)
    images[4] = 255.0
    (problem,) = check(written(tmp_path, images, np.arange(10) % 2)).problems
    assert "image of id 4 must be finite and in [0, 1]" in problem


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_is_named(tmp_path, kind):
    dataset = made(tmp_path, kind)
    file = Path(dataset.file)
    whole = file.read_bytes()
    for size in (len(whole) // 2, 20, 0):
        file.write_bytes(whole[:size])
        refused(Array(dataset.file, dataset.labels), f"{file.name}: not a readable file of arrays: ")
    file.unlink()
    refused(Array(dataset.file, dataset.labels), f"missing file .*{file.name}")


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was run')",)


def test_pickles_are_refused_not_run(tmp_path):
    trap = np.array([Trap(), Trap()], dtype=object)
    np.save(tmp_path / "trap.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "trap.npz", image=trap, label=np.arange(2))
    np.savez_compressed(tmp_path / "tight.npz", image=trap, label=np.arange(2))
    for name, labels in (("trap.npy", "trap.npy"), ("trap.npz", ""), ("tight.npz", "")):
        refused(Array(str(tmp_path / name), labels and str(tmp_path / labels)), rf"{name}: .*(pickle|Python objects)")
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Trap()))
    refused(Array(str(tmp_path / "bare.npy"), str(tmp_path / "bare.npy")), "bare.npy: not a readable file of arrays")


def test_unknown_names_and_endings_are_named(tmp_path):
    refused(made(tmp_path, "npz", names=("images", "label")), "unknown array in .*: 'images'; did you mean 'image'")
    refused(made(tmp_path, "safetensors", names=("image", "lable")), "'lable'; did you mean 'label'")
    refused(Array(str(tmp_path / "x.pickle")), "x.pickle' must be a file of arrays .allowed: .npz, .npy, .safetensors")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    refused(Array(str(tmp_path / "empty.npz")), "unknown array in .*empty.npz")
    save_file({"image": np.zeros((2, 8, 8, 3), np.uint8)}, tmp_path / "one.safetensors")
    refused(Array(str(tmp_path / "one.safetensors")), "unknown array in .*one.safetensors: 'label'")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"file": "x.npy"}, "array: labels names a .npy file where file is one"),
        ({"file": "x.npz", "labels": "y.npy"}, "array: labels names a .npy file where file is one"),
        ({"file": "x.npz", "val_share": 1.0}, "array: val_share"),
        ({"file": "x.npz", "val_share": 0.5, "test_share": 0.5}, "must leave images for train"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(TestudoError, match=message):
        Array(**fields)
