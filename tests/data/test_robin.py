"""ROBIN on tiny files in the layout of the challenge's release."""

from __future__ import annotations

import shutil
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

from testudo.data.inspect import check
from testudo.data.robin import NUISANCES, OBJECTS, ROBIN
from testudo.errors import TestudoError

sets = SimpleNamespace(**run_path(str(Path(__file__).with_name("set_writers.py"))))


def files(examples):
    return [item.name for item in examples.images.items]


def photograph(name):
    return name.rsplit("_", 1)[0]


def test_classes_are_told_by_the_folder(tmp_path):
    dataset = ROBIN(str(sets.robin(tmp_path)), size=16)
    for split in dataset.splits:
        examples = dataset.load(split)
        for name, label in zip(files(examples), examples.targets["object"].tolist(), strict=True):
            assert name.split("_")[1] == OBJECTS[label]
    assert dataset.tasks()[0].labels == OBJECTS
    assert (
        ROBIN(str(tmp_path / "ROBINv1.1-cls-pose"), 16).load("test").fingerprint() == dataset.load("test").fingerprint()
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_photograph_is_in_train_and_val(tmp_path, seed):
    dataset = ROBIN(str(sets.robin(tmp_path)), size=8, val_share=0.25, seed=seed)
    train, val = dataset.load("train"), dataset.load("val")
    assert not {photograph(name) for name in files(train)} & {photograph(name) for name in files(val)}
    assert val.targets["object"].bincount().tolist() == [2] * 10  # one of the four photographs of each class
    assert len(train) == 60
    assert "20 training images held out as val" in val.note


@pytest.mark.parametrize("test", ["iid", *NUISANCES])
def test_each_part_can_be_the_test(tmp_path, test):
    examples = ROBIN(str(sets.robin(tmp_path)), size=8, test=test).load("test")
    number = 1 if test == "iid" else 2 + NUISANCES.index(test)
    assert {name.split("_")[2] for name in files(examples)} == {f"n0{number}"}
    assert len(examples) == (9 if test == "weather" else 10)  # nobody dines in bad weather
    assert examples.note == f"{test}; resized to 8x8"


def test_all_nuisances_together_are_each_of_them(tmp_path):
    root = str(sets.robin(tmp_path))
    single = [ROBIN(root, size=8, test=name).load("test") for name in NUISANCES]
    whole = ROBIN(root, size=8, test="ood").load("test")
    assert whole.ids.tolist() == [number for part in single for number in part.ids.tolist()]
    assert files(whole) == [name for part in single for name in files(part)]


def test_what_is_missing_or_unknown_is_named(tmp_path):
    root = sets.robin(tmp_path) / "ROBINv1.1-cls-pose"
    image = next((root / "train/Images/boat").iterdir())
    image.write_bytes(b"cut")
    (problem,) = check(ROBIN(str(root))).problems
    assert problem == f"robin: cannot decode image '{image}': not an image of a known kind"
    (root / "train/Images/boot").mkdir()
    with pytest.raises(TestudoError, match=r"robin: .*train/Images: unknown class 'boot'; did you mean 'boat'"):
        ROBIN(str(root)).load("val")
    shutil.rmtree(root / "nuisances" / "pose")
    with pytest.raises(TestudoError, match=r"robin: no folder '.*nuisances/pose/Images'"):
        ROBIN(str(root), test="pose").load("test")
    shutil.rmtree(root / "iid_test" / "Images")
    (root / "iid_test" / "Images" / "boat").mkdir(parents=True)
    with pytest.raises(TestudoError, match=r"robin: no images in '.*iid_test/Images'"):
        ROBIN(str(root)).load("test")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 4}, "robin: size must be at least 8 pixels, got 4"),
        ({"test": "wether"}, "unknown robin test 'wether'; did you mean 'weather'"),
        ({"val_share": 1.0}, "robin: val_share"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(TestudoError, match=message):
        ROBIN(**fields)
