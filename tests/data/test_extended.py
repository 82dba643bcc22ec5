"""Training images joined by those of another data set: shares, labels by name, what cannot be joined."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from testudo.data.array import Array
from testudo.data.augment import Augment
from testudo.data.chexpert import CheXpert
from testudo.data.cityscapes import Cityscapes
from testudo.data.digits import Digits
from testudo.data.extended import FURTHER, Extended, _counts
from testudo.data.images import Files, Stored
from testudo.data.inspect import check
from testudo.data.joined import Joined
from testudo.data.loader import Loader
from testudo.data.manifest import Manifest
from testudo.data.nyuv2 import NYUv2
from testudo.data.pixel_labels import ImageLabel
from testudo.data.scenes import Scenes
from testudo.data.stl10 import STL10
from testudo.data.wrapped import Wrapped
from testudo.data.xray import NIH
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification

HERE = Path(__file__).parent
writers = SimpleNamespace(**run_path(str(HERE / "writers.py")))
sets = SimpleNamespace(**run_path(str(HERE / "set_writers.py")))


def grey(tmp, count=30, **fields):
    """Grey 8x8 images with a task ``digit`` of three named classes, all for training."""
    images = writers.pixels(count, 33, (8, 8))[..., 0]
    for index, image in enumerate(images):
        writers.put(tmp / f"{index}.png", image)
    rows = [{"image": f"{index}.png", "digit": "" if index == 5 else str(7 + index % 3)} for index in range(count)]
    return Manifest(writers.write_csv(tmp / "grey.csv", rows), columns={"digit": "classification"}, **fields)


def refused(dataset, message):
    with pytest.raises(TestudoError, match=message) as caught:
        dataset.load("train")
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.floats(0.05, 0.95))
def test_shares_are_met_with_no_image_left_out(own, other, share):
    ours, theirs = _counts(own, other, share)
    assert ours >= own
    assert theirs >= other
    assert ours == own or theirs == other  # no more than it takes
    assert abs(theirs - share * (ours + theirs)) <= 1


@pytest.mark.parametrize(("share", "copies"), [(0.2, (4, 1)), (0.5, (1, 1)), (0.75, (1, 3)), (0.6, (1, 1.5))])
def test_an_epoch_has_the_share_and_every_image_comes_equally_often(tmp_path, share, copies):
    data = replace(Digits(), seed=3)
    few = Array(_some(tmp_path, 1047), task="digit")
    dataset = Extended(data, few, share=share, seed=5)
    train, own = dataset.load("train"), data.load("train")
    rows = train.images.rows
    times = rows.bincount(minlength=2 * 1047)
    assert float((rows >= 1047).float().mean()) == pytest.approx(share, abs=1e-3)
    for part, wanted in zip(times.split(1047), copies, strict=True):
        assert part.min() >= int(wanted)
        assert part.max() <= -(-wanted // 1)
        assert float(part.float().mean()) == pytest.approx(wanted, abs=1e-3)
    assert train.ids.unique().numel() == len(train)
    assert train.ids[:1047].tolist() == own.ids.tolist()
    assert train.ids[1047:].tolist() == [FURTHER + k for k in range(len(train) - 1047)]
    assert train.fingerprint() == replace(dataset).load("train").fingerprint()
    assert (share in (0.2, 0.6)) or train.fingerprint() == replace(dataset, seed=6).load("train").fingerprint()


def _some(tmp_path, count):
    images = np.random.default_rng(2).integers(0, 256, (count, 8, 8), np.uint8)
    np.savez(tmp_path / "some.npz", image=images, label=np.arange(count) % 10)
    return str(tmp_path / "some.npz")


def test_examples_keep_their_images_and_labels(tmp_path):
    data, extra = Digits(), grey(tmp_path)
    dataset = Extended(data, extra, share=0.5)
    train, own, more = (
        dataset.load("train"),
        data.load("train"),
        replace(extra, val_share=0, test_share=0).load("train"),
    )
    batch = train.batch([0, 1047, 1047 + 31])
    assert torch.equal(batch.images[0], own.batch([0]).images[0])
    assert torch.equal(batch.images[1:], more.batch([0, 1]).images)
    assert batch.targets["digit"].tolist() == [int(own.targets["digit"][0]), 7, 8]
    digits = train.targets["digit"][1047 : 1047 + 30]
    assert digits.tolist() == [-1 if index == 5 else 7 + index % 3 for index in range(30)]
    assert train.targets["parity"][1047 : 1047 + 4].tolist() == [1, 0, 1, 1]  # derived from the digit, 7 8 9 7
    assert train.targets["loop"][1052] == -1
    assert dataset.tasks() == data.tasks()
    assert dataset.statistics() == data.statistics()
    for split in ("val", "test"):
        assert dataset.load(split).fingerprint() == data.load(split).fingerprint()
    assert "30 extra training images make up 0.5 of an epoch: those of the data come 1 times" in train.note


def test_all_training_images_of_the_extra_set_are_used(tmp_path):
    shares = grey(tmp_path, val_share=0.3, test_share=0.3)
    assert len(shares.load("train")) == 12
    assert Extended(Digits(), shares).load("train").images.parts[1].shape == (1, 8, 8)
    assert len(Extended(Digits(), shares).load("train").images.parts[1]) == 30


def test_batches_mix_both_and_resume(tmp_path):
    train = Extended(Digits(), grey(tmp_path), share=0.5).load("train")
    loader = Loader(train, 64, seed=1, shuffle=True, augment=Augment(flip=True))
    whole = list(loader(epoch=2))
    shares = [float((batch.ids >= FURTHER).float().mean()) for batch in whole[:-1]]
    assert 0.2 < min(shares) <= max(shares) < 0.8
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(next(loader(epoch=2, start=5)).images, whole[5].images)


def test_missing_tasks_are_unknown_and_findings_match_by_name(tmp_path):
    data = CheXpert(str(sets.chexpert(tmp_path)), 20, auxiliary=("Cardiomegaly",), target=("Edema", "Fracture"))
    extra = NIH(str(writers.nih(tmp_path / "nih")), size=20, target=("Hernia", "Edema"))
    dataset = Extended(data, extra, share=0.5)
    train = dataset.load("train")
    first = len(data.load("train"))
    parts = extra.load("train").targets
    count = len(parts["age"])
    pathology = train.targets["pathology"][first : first + count]
    assert torch.equal(pathology[:, 0], parts["pathology"][:, 1])  # Edema
    assert pathology[:, 1].isnan().all()  # Fracture
    assert train.targets["Cardiomegaly"][first:].isnan().all()
    assert torch.equal(train.targets["age"][first : first + count].nan_to_num(-1), parts["age"].nan_to_num(-1))
    for task in dataset.tasks():
        task.check(train.targets[task.name])


def test_maps_in_memory_are_unknown_for_images_without(tmp_path):
    rooms = Scenes(size=(8, 8), rooms=(2, 1, 1), views=2, derived=(ImageLabel("copy"),))
    np.savez(tmp_path / "some.npz", image=writers.pixels(12, 3, (8, 8)), label=np.arange(12) % 2)
    batch = Extended(rooms, Array(str(tmp_path / "some.npz")), share=0.75).load("train").batch(range(16))
    assert (batch.targets["segmentation"][4:] == 255).all()
    assert batch.targets["depth"][4:].isnan().all()
    assert batch.targets["normal"][4:].isnan().all()
    assert torch.equal(batch.targets["copy"], batch.images)
    nyu = Extended(NYUv2(str(writers.nyuv2_arrays(tmp_path)), size=(8, 8)), rooms, share=0.5).load("train")
    assert nyu.batch([len(nyu) - 1]).targets["depth"].isfinite().all()  # those of the same kind are taken over


@pytest.fixture
def unlabelled(tmp_path):
    return STL10(str(sets.stl10(tmp_path)), size=16, val_share=0.2, unlabeled=True)


def table(tmp_path, rows):
    return writers.write_csv(tmp_path / "labels.csv", rows)


def test_a_table_labels_some_of_the_extra_images(tmp_path, unlabelled):
    rows = [
        {"id": 5000 + index, "vehicle": "animal", "object": name} for index, name in ((7, "ship"), (2, "cat"), (29, ""))
    ]
    data = replace(unlabelled, unlabeled=False)
    train = Extended(data, unlabelled, share=3 / 43, labels=table(tmp_path, rows)).load("train")
    assert len(train) == 43
    assert train.targets["object"][40:].tolist() == [8, 3, -1]
    assert train.targets["vehicle"][40:].tolist() == [1, 0, -1]  # from the object, whatever the table says
    wanted = unlabelled.load("train").batch([7, 2, 29]).images
    assert torch.equal(train.batch([40, 41, 42]).images, wanted)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 5030, "object": "cat"}], "labels.csv row 1: no image has the id 5030; is it of other images"),
        ([{"id": "", "object": "cat"}], "labels.csv row 1, column 'id': must be a whole number"),
        (
            [{"id": 5001, "object": "cta"}],
            "labels.csv row 1, unknown class in column 'object': 'cta'; did you mean 'cat'",
        ),
        ([{"id": 5001, "objects": "cat"}], r"labels.csv: no column for any of the tasks \(object\)"),
        ([{"image": "a.png", "object": "cat"}], "unknown column in .*labels.csv: 'id'"),
    ],
)
def test_wrong_tables_are_named(tmp_path, unlabelled, rows, message):
    data = replace(unlabelled, unlabeled=False)
    dataset = Extended(data, unlabelled, labels=table(tmp_path, rows))
    refused(dataset, message)
    with pytest.raises(TestudoError):
        dataset.load("train")


@dataclass(frozen=True)
class Wider(Wrapped):
    """The same maps, said to be of one class more."""

    def read(self, split):
        return self.data.read(split)

    def labelled(self):
        return tuple(replace(task, classes=task.classes + 1, labels=()) for task in self.data.labelled())


def test_what_does_not_fit_is_refused(tmp_path):
    refused(
        Extended(Digits(size=16), grey(tmp_path)), "extended: images of 1x16x16 and 1x8x8 .* has the extra data set"
    )
    odd = Manifest(str(tmp_path / "grey.csv"), columns={"digit": "regression"})
    refused(Extended(Digits(), odd), "task 'digit': labels of different kinds cannot be joined .Classification and Reg")
    rows = list(csv.DictReader((tmp_path / "grey.csv").read_text().splitlines()))
    named = writers.write_csv(tmp_path / "named.csv", [row | {"digit": f"x{row['digit']}"} for row in rows])
    extra = Manifest(named, columns={"digit": "classification"})
    refused(Extended(Digits(), extra), "unknown class of task 'digit' in the other data set: 'x'")
    images = np.zeros((13, 8, 8), np.uint8)
    np.savez(tmp_path / "many.npz", image=images, label=np.arange(13))
    refused(Extended(Digits(), Array(str(tmp_path / "many.npz"), task="digit")), "13 classes cannot be joined to 10")
    few = Scenes(size=(8, 8), rooms=(1, 1, 1), views=1, wanted=("parts",))
    wrong = Wider(few)
    refused(Extended(few, wrong), "task 'parts': maps of other classes cannot be joined to these")
    streets = Cityscapes(str(writers.cityscapes(tmp_path / "streets")), size=(8, 8))
    refused(Extended(streets, extra), "extended: labels that stay in files, as those of Cityscapes, cannot be joined")
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(TestudoError, match="extended: share must be above 0 and below 1"):
            Extended(Digits(), extra, share=share)


def test_check_tells_what_is_wrong_with_either(tmp_path):
    dataset = Extended(Digits(), grey(tmp_path))
    assert not check(dataset).problems
    (tmp_path / "3.png").write_bytes(b"cut")
    (problem,) = check(dataset).problems
    assert "grey.csv row 4: cannot decode image" in problem
    (problem,) = check(Extended(Digits(), Manifest(str(tmp_path / "no.csv")))).problems
    assert "missing file" in problem


def test_joined_images_are_those_of_the_parts(tmp_path):
    pixels = torch.from_numpy(writers.pixels(6, 1, (8, 8))).permute(0, 3, 1, 2)
    stored = Stored(pixels[:4])
    items = tuple(writers.encoded(image) for image in writers.pixels(6, 1, (8, 8))[4:])
    files = Files(items, ("a", "b"), (3, 8, 8))
    rows = torch.tensor([5, 0, 3, 4, 0, 2])
    both = Joined((stored, files), rows)
    assert torch.equal(both.read(torch.arange(6)), pixels[rows].float() / 255)
    assert torch.equal(both.take(torch.tensor([3, 0])).read(torch.tensor([1, 0])), pixels[[5, 4]].float() / 255)
    assert len(set(both.digests())) == 5
    assert both.digests()[1] == both.digests()[4] == stored.digests()[0]
    assert both.read(torch.empty(0, dtype=torch.int64)).shape == (0, 3, 8, 8)
    assert both.problems() == []
    with pytest.raises(TestudoError, match="images of 3x8x8 and 3x4x8"):
        Joined((stored, Stored(pixels[:, :, :4])), rows)


def test_classes_without_names_match_by_number(tmp_path):
    np.savez(tmp_path / "some.npz", image=np.zeros((6, 8, 8), np.uint8), label=[0, 1, 9, -1, 3, 9])
    train = Extended(Digits(), Array(str(tmp_path / "some.npz"), task="digit"), share=6 / 1053).load("train")
    assert train.targets["digit"][1047:].tolist() == [0, 1, 9, -1, 3, 9]
    assert isinstance(Digits().tasks()[0], Classification)
