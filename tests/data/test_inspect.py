from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from testudo.data.cifar import CIFAR10
from testudo.data.cityscapes import Cityscapes
from testudo.data.digits import Digits
from testudo.data.inspect import check, listing, show
from testudo.data.manifest import Manifest
from testudo.data.scenes import Scenes
from testudo.errors import TestudoError
from testudo.registry import DATA
from testudo.tasks.paint import painted

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))
sets = SimpleNamespace(**run_path(str(Path(__file__).with_name("set_writers.py"))))
DECLARED = {"breed": "classification", "age": "regression", "seen": "multilabel"}


def test_listing_has_every_set_with_its_options():
    rows = {row.name: row for row in listing()}
    assert list(rows) == DATA.names()
    assert "size=8" in rows["digits"].options
    assert rows["digits"].summary.startswith("1,797 handwritten digits")
    assert all("\n" not in row.summary for row in rows.values())


def test_check_counts_every_label(tmp_path):
    report = check(Manifest(writers.animals(tmp_path), columns=DECLARED))
    assert report.problems == ()
    assert report.duplicates == ()
    labels = [part.labels for part in report.splits]
    assert sum(part["breed"]["cat"] for part in labels) == 13  # every third of 40, less the blank one
    assert sum(part["breed"].get("unknown", 0) for part in labels) == 1
    assert sum(part["seen"]["tail"] for part in labels) == 25
    assert max(part["age"]["greatest"] for part in labels) == 19.5
    assert [part.count for part in report.splits] == [28, 4, 8]


def test_check_finds_images_that_occur_twice(tmp_path):
    folder = writers.cifar10_batches(tmp_path)
    (folder / "test_batch").write_bytes((folder / "data_batch_1").read_bytes())
    report = check(CIFAR10(str(folder), val_share=0.0))
    assert report.problems == ("cifar10: no val examples: val_share is 0",)
    report = check(CIFAR10(str(folder), val_share=0.01))
    assert [words.split(" ")[0] for words in report.duplicates if "of test occur in train" in words] in (["20"], ["19"])


def test_check_reports_rather_than_raises(tmp_path):
    assert check(CIFAR10(str(tmp_path / "no"))).problems[0].startswith("cifar10: no folder")
    dataset = Manifest(writers.animals(tmp_path), columns=DECLARED)
    for index in (2, 7):
        (tmp_path / "images" / f"{index}.png").write_bytes(b"cut")
    assert len(check(dataset).problems) == 2
    assert len(check(Manifest(str(tmp_path / "no.csv"))).problems) == 1


@pytest.mark.parametrize("make", [lambda tmp: Digits(), lambda tmp: Manifest(writers.animals(tmp), columns=DECLARED)])
def test_show_writes_a_sheet_of_images(tmp_path, make):
    file = show(make(tmp_path), tmp_path / "new" / "sheet.png", split="val", count=3)
    sheet = np.array(Image.open(file).convert("L"))
    assert sheet.shape[1] > sheet.shape[0]  # three in a row
    assert len(np.unique(sheet)) > 50


def test_show_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(TestudoError, match=r"to a .png file, got 3 and '.*sheet.jpg'"):
        show(Digits(), tmp_path / "sheet.jpg", count=3)
    with pytest.raises(TestudoError, match="got 0 and"):
        show(Digits(), tmp_path / "sheet.png", count=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(TestudoError, match=r"cannot write '.*sheet.png'"):
        show(Digits(), tmp_path / "file" / "sheet.png")


def test_maps_are_counted_part_by_part(tmp_path, monkeypatch):
    monkeypatch.setattr("testudo.data.dataset.CHUNK", 2)
    dataset = Cityscapes(str(writers.cityscapes(tmp_path)), size=(32, 64))
    test = check(dataset).splits[2]
    targets = dataset.load("test").batch(range(4)).targets
    known = targets["segmentation"][targets["segmentation"] != 255]
    assert test.labels["segmentation"]["road"] == pytest.approx(float((known == 0).float().mean()))
    assert test.labels["segmentation"]["unknown"] == pytest.approx(1 - len(known) / targets["segmentation"].numel())
    assert test.labels["disparity"]["greatest"] == pytest.approx(float(targets["disparity"].nan_to_num().max()))


def test_the_command_tells_what_it_skips_and_what_it_doubts(tmp_path, said):
    root = writers.cityscapes(tmp_path)
    (broken,) = root.glob("gtFine/val/lindau/lindau_000000_000001_*labelIds.png")
    broken.write_bytes(b"cut")
    odd = root / "disparity/train/ulm/ulm_000000_000000_disparity.png"
    writers.put(odd, np.full((32, 64), 60_000, np.uint16))
    words = ("data", "check", "cityscapes", "--data-dir", str(root), "--set", "data.size=[16,32]")
    code, out, err = said(*words)
    assert code == 2
    assert err.startswith("testudo: cityscapes: cannot decode image")
    assert str(broken) in err
    code, out, err = said(*words, "--skip-bad")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].startswith(f"skipped: cityscapes: cannot decode image '{broken}'")
    assert lines[1].startswith(f"warning: '{odd}': the median is 234 pixels of disparity, outside 1 to 128")
    assert any(line.startswith("test: 3 images, 3 x 16 x 32") for line in lines)
    code, _, err = said("data", "check", "digits", "--skip-bad")
    assert (code, err) == (2, "testudo: data set 'digits' cannot skip bad examples; leave out --skip-bad\n")


def test_dense_labels_are_shown_beside_their_image(tmp_path):
    rooms = Scenes(size=(16, 32), rooms=(1, 1, 1), views=1)
    with Image.open(show(rooms, tmp_path / "sheet.png", count=1)) as sheet:
        assert sheet.width == round(4 * 1.8 * 120)  # the image, classes, depth, normals
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    flat = painted(rooms.labelled()[0], [rooms.load("train").batch([0]).targets["segmentation"][0]])[0]
    shown = {tuple(colour) for colour in np.round(255 * flat).astype(int).reshape(-1, 3).tolist()}
    assert len(shown) > 1
    assert shown <= {tuple(colour) for colour in np.unique(colours, axis=0).tolist()}


SETS = {  # the options that lead to tiny files, and what check counts
    "chexpert": (lambda tmp: {"root": sets.chexpert(tmp), "val_share": 0.2}, "train: 38 images, 1 x 64 x 64"),
    "stl10": (lambda tmp: {"root": sets.stl10(tmp), "unlabeled": "true"}, "train: 30 images, 3 x 96 x 96"),
    "robin": (lambda tmp: {"root": sets.robin(tmp), "test": "ood"}, "test: 59 images, 3 x 64 x 64"),
    "array": (lambda tmp: {"file": sets.arrays(tmp / "made.npz")}, "val: 4 images, 3 x 8 x 8"),
    "fraction": (lambda tmp: {"share": 0.1, "data.kind": "digits"}, "train: 105 images, 1 x 8 x 8"),
    "extended": (
        lambda tmp: {
            **{"data.kind": "stl10", "data.root": sets.stl10(tmp), "data.size": 8},
            **{"extra.kind": "array", "extra.file": sets.arrays(tmp / "made.npz"), "extra.task": "object"},
        },
        "train: 90 images, 3 x 8 x 8",
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_the_command_checks_and_shows_every_set(tmp_path, said, name):
    options, counted = SETS[name]
    words = [word for key, value in options(tmp_path).items() for word in ("--set", f"data.{key}={value}")]
    code, out, err = said("data", "check", name, *words)
    assert (code, err) == (0, "")
    assert counted in out
    assert out.splitlines()[-1].startswith("images that occur twice: ")
    assert said("data", "show", name, *words, "--out", tmp_path / "sheet.png", "--count", "3")[0] == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_sets_made_of_others_have_no_place_of_their_own(said):
    code, _, err = said("data", "check", "fraction", "--data-dir", "x", "--set", "data.data.kind=digits")
    assert (code, err) == (2, "testudo: data set 'fraction' is made of another: --set data.data.root=... places that\n")
