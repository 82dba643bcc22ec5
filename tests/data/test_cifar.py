import os
import pickle
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from testudo.data.cifar import CIFAR10, CIFAR100, COARSE, FINE, OBJECTS
from testudo.errors import TestudoError

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    return writers.cifar10_batches(tmp_path_factory.mktemp("batches"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return writers.cifar10_hub(tmp_path_factory.mktemp("hub"))


def refused(dataset, words, split="train"):
    with pytest.raises(TestudoError, match=words) as caught:
        dataset.load(split)
    assert "\n" not in str(caught.value)


def test_both_layouts_and_both_places_are_the_same_data(batches, hub):
    for split in ("train", "val", "test"):
        prints = {
            CIFAR10(str(root), val_share=0.2).load(split).fingerprint() for root in (batches, batches.parent, hub)
        }
        assert len(prints) == 1


def test_pixels_labels_and_ids_are_those_written(batches):
    examples = CIFAR10(str(batches), val_share=0.0).load("train")
    assert examples.ids.tolist() == [10_000 * number + place for number in range(5) for place in range(20)]
    expected = np.concatenate([writers.pixels(20, number) for number in range(5)]).transpose(0, 3, 1, 2)
    assert (examples.images.pixels.numpy() == expected).all()
    assert examples.targets["object"].tolist() == writers.labels(20, 10) * 5
    vehicle = [int(OBJECTS[c] in ("airplane", "automobile", "ship", "truck")) for c in examples.targets["object"]]
    assert examples.targets["vehicle"].tolist() == vehicle


def test_cifar100_has_fine_and_coarse_labels(tmp_path):
    examples = CIFAR100(str(writers.cifar100_batches(tmp_path))).load("test")
    assert examples.targets["fine"].tolist() == writers.labels(200, 100)
    assert examples.targets["coarse"].tolist() == writers.labels(200, 20)
    assert (len(set(FINE)), len(set(COARSE)), len(set(OBJECTS))) == (100, 20, 10)
    assert list(FINE) == sorted(FINE)
    assert list(COARSE) == sorted(COARSE)


def test_val_and_limits_keep_the_classes_shares_and_say_so(batches):
    dataset = CIFAR10(str(batches), val_share=0.2, train_limit=30, test_limit=10)
    train, val, test = (dataset.load(split) for split in dataset.splits)
    assert [int(c) for c in val.targets["object"].bincount()] == [2] * 10
    assert [int(c) for c in train.targets["object"].bincount()] == [3] * 10
    assert [int(c) for c in test.targets["object"].bincount()] == [1] * 10
    assert train.note == "100 of 50,000 training images; limited to 30 of 80, chosen by class with seed 0"
    assert val.note == "100 of 50,000 training images; 20 training images held out as val"
    assert test.note == "20 of 10,000 test images; limited to 10 of 20, chosen by class with seed 0"
    assert val.ids.tolist() == CIFAR10(str(batches), val_share=0.2).load("val").ids.tolist()
    assert val.ids.tolist() != CIFAR10(str(batches), val_share=0.2, seed=1).load("val").ids.tolist()


def test_jpegs_are_told(tmp_path):
    examples = CIFAR10(str(writers.cifar10_hub(tmp_path, kind="JPEG"))).load("test")
    assert examples.note == "20 of 10,000 test images; decoded from lossy JPEG files"


def test_an_empty_root_is_the_folder_named_by_the_environment(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("TESTUDO_DATA", str(tmp_path))
    refused(CIFAR10(), f"cifar10: no folder '{tmp_path}/cifar10'; set its root, or TESTUDO_DATA")
    (tmp_path / "cifar10").symlink_to(hub)
    assert len(CIFAR10().load("test")) == 20
    monkeypatch.delenv("TESTUDO_DATA")
    monkeypatch.chdir(tmp_path)
    refused(CIFAR100(), r"no folder '../shared/data/cifar100'; set its root")


def test_missing_files_are_named(batches, tmp_path):
    refused(CIFAR10(str(tmp_path / "no")), "no folder '.*no'; root must be the folder of cifar-10-batches-py")
    refused(CIFAR10(str(tmp_path)), r"has no Parquet file train\*.parquet and no folder cifar-10-batches-py")
    folder = writers.cifar10_batches(tmp_path)
    (folder / "data_batch_3").unlink()
    refused(CIFAR10(str(folder)), "missing file '.*data_batch_3'")
    assert len(CIFAR10(str(folder)).load("test")) == 20


def test_every_truncation_of_a_batch_is_one_line(tmp_path):
    folder = writers.cifar10_batches(tmp_path, each=1)
    whole = (folder / "test_batch").read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        (folder / "test_batch").write_bytes(whole[:length])
        refused(CIFAR10(str(folder)), "test_batch: not a readable batch file: ", "test")


class Evil:
    """Runs a command when unpickled in the ordinary way."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_pickle_that_runs_something_is_refused_and_not_run(tmp_path):
    folder = writers.cifar10_batches(tmp_path)
    mark = tmp_path / "ran"
    writers.dump(folder / "test_batch", {b"data": Evil(f"touch {mark}"), b"labels": [0]})
    refused(CIFAR10(str(folder)), "it asks for posix.system, and only arrays are allowed", "test")
    assert not mark.exists()
    pickle.loads((folder / "test_batch").read_bytes())  # the test would prove nothing if this were harmless
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "no 'data' in it"),
        ({b"data": np.zeros((2, 3072), np.uint8)}, "no 'labels' in it"),
        ({b"data": np.zeros((2, 3072), np.float32), b"labels": [0, 1]}, "'data' must be bytes of shape"),
        ({b"data": np.zeros((2, 100), np.uint8), b"labels": [0, 1]}, "'data' must be bytes of shape"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "'labels' must be a list of 2 integers"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, "a"]}, "'labels' must be a list of 2 integers"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "test: task 'object': label 10 is out of range"),
    ],
)
def test_batches_of_another_layout(tmp_path, content, words):
    folder = writers.cifar10_batches(tmp_path, each=1)
    writers.dump(folder / "test_batch", content)
    refused(CIFAR10(str(folder)), words, "test")


def test_a_cut_parquet_file_is_one_line(tmp_path):
    root = writers.cifar10_hub(tmp_path)
    file = root / "data/test-00000-of-00001.parquet"
    whole = file.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        refused(CIFAR10(str(root)), "test-00000-of-00001.parquet: not a readable Parquet file: ", "test")


def test_wrong_columns_of_a_parquet_file_are_named(tmp_path):
    images = writers.pixels(2)
    writers.hub(tmp_path / "test.parquet", images, {"labels": [0, 1]})
    refused(CIFAR10(str(tmp_path)), r"unknown column in .*test.parquet: 'label'; did you mean 'labels'\?", "test")
    writers.hub(tmp_path / "test.parquet", images, {"label": ["cat", "dog"]})
    refused(CIFAR10(str(tmp_path)), "test.parquet: column 'label' must hold integers", "test")
    writers.hub(tmp_path / "test.parquet", images, {"label": [0, None]})
    refused(CIFAR10(str(tmp_path)), "test.parquet row 2: no value in column 'label'", "test")
    writers.hub(tmp_path / "test.parquet", images[:0], {"label": pl.Series([], dtype=pl.Int64)})
    refused(CIFAR10(str(tmp_path)), "cifar10: no test images in", "test")


def test_an_unreadable_image_is_named_by_its_row(tmp_path, monkeypatch):
    good = writers.encoded(writers.pixels(1)[0])
    cells = iter([good, good[:-1500]])
    monkeypatch.setitem(writers.hub.__globals__, "encoded", lambda image, kind: next(cells))
    writers.hub(tmp_path / "test.parquet", writers.pixels(2), {"label": [0, 1]})
    refused(CIFAR10(str(tmp_path)), r"test.parquet row 2: cannot decode image", "test")


@pytest.mark.parametrize("wrong", [{"val_share": 1.0}, {"val_share": -0.1}, {"train_limit": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TestudoError, match="cifar10: "):
        CIFAR10(**wrong)


def test_statistics_are_the_published_sets(batches):
    mean, std = CIFAR10(str(batches)).statistics()
    assert torch.tensor(mean).sum().item() == pytest.approx(1.42, abs=0.01)
    assert len(std) == 3


@pytest.mark.parametrize("cls", [CIFAR10, CIFAR100])
def test_statistics_are_near_the_samples(cls):
    samples = Path(os.environ.get("TESTUDO_DATA") or Path(__file__).parents[2] / "../shared/data")
    root = samples / cls.name
    if not root.is_dir():
        pytest.skip(f"no sample {cls.name} in {samples} (see TESTUDO_DATA)")
    found = cls(str(root), train_limit=800).load("train").statistics()
    assert torch.allclose(torch.tensor(found), torch.tensor(cls().statistics()), atol=0.02)
