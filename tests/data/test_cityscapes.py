"""Cityscapes on tiny files in its own layouts: every value as the files have it, splits by city, damaged files."""

from __future__ import annotations

import shutil
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from testudo.data.cityscapes import Cityscapes
from testudo.data.inspect import check
from testudo.data.loader import Loader
from testudo.errors import TestudoError

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))
FULL = (32, 64)
EVERY = ("segmentation", "parts", "disparity", "depth", "image")
AACHEN = "train/aachen/aachen_000000_000001"
LINDAU = "val/lindau/lindau_000000_000002"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return writers.cityscapes(tmp_path_factory.mktemp("cityscapes"))


@pytest.fixture
def copy(root, tmp_path):
    return Path(shutil.copytree(root, tmp_path / "copy"))


def test_maps_are_read_as_they_are(root):
    batch = Cityscapes(str(root), size=FULL, wanted=EVERY).load("test").batch([2])
    assert list(batch.targets) == list(EVERY)
    image = np.array(Image.open(root / f"leftImg8bit/{LINDAU}_leftImg8bit.png"))
    ids = np.array(Image.open(root / f"gtFine/{LINDAU}_gtFine_labelIds.png"))
    raw = np.array(Image.open(root / f"disparity/{LINDAU}_disparity.png")).astype(float)
    assert torch.equal(batch.images[0], torch.from_numpy(image).permute(2, 0, 1) / 255)
    assert torch.equal(batch.targets["image"], batch.images)
    order = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]  # cityscapesScripts' train ids
    expected = [[order.index(value) if value in order else 255 for value in row] for row in ids.tolist()]
    assert batch.targets["segmentation"][0].tolist() == expected
    unknown = np.where(raw > 0, raw, np.nan)
    np.testing.assert_allclose(batch.targets["disparity"][0, 0], (unknown - 1) / 256 * 64 / 2048, rtol=1e-6)
    np.testing.assert_allclose(batch.targets["depth"][0, 0], unknown / 1000, rtol=1e-6)
    assert batch.targets["disparity"].isnan().sum() == 64  # the first row


def test_the_papers_units(tmp_path):
    """At 512 pixels across, disparity is Auto-Lambda's (p - 1) / 1024; 1 is infinitely far, 0 unknown."""
    writers.cityscapes(tmp_path, each=1, size=(8, 512))
    path = tmp_path / "disparity/val/lindau/lindau_000000_000000_disparity.png"
    raw = np.array(Image.open(path))
    raw[2, 5] = 1
    writers.put(path, raw)
    dataset = Cityscapes(str(tmp_path), size=(8, 512))
    found = dataset.load("test").batch([0]).targets["disparity"][0, 0]
    np.testing.assert_allclose(found, np.where(raw > 0, (raw.astype(float) - 1) / 1024, np.nan), rtol=1e-6)
    assert found[2, 5] == 0
    dataset.tasks()[2].check(found[None, None])


def test_preparations_choose_size_and_tasks(root):
    minmax, mao = Cityscapes(str(root)), Cityscapes(str(root), "mao")
    assert [task.name for task in minmax.tasks()] == ["segmentation", "parts", "disparity"]
    assert [task.name for task in mao.tasks()] == ["segmentation", "depth", "image"]
    assert mao.tasks()[-1].loss_kind == "l2"
    assert (minmax.load("test").size, mao.load("test").size) == ((256, 512), (340, 680))
    assert minmax.statistics() == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert [task.name for task in Cityscapes(str(root), "mao", wanted=("parts",)).tasks()] == ["parts"]


def test_train_ids_serve_where_there_are_no_ids(tmp_path):
    writers.cityscapes(tmp_path, train_ids=True)
    found = Cityscapes(str(tmp_path), size=FULL, wanted=("segmentation",)).load("test").batch([1]).targets
    path = tmp_path / "gtFine/val/lindau/lindau_000000_000001_gtFine_labelTrainIds.png"
    assert found["segmentation"][0].tolist() == np.array(Image.open(path)).tolist()


def test_the_prepared_files_hold_the_same(root, tmp_path):
    """Auto-Lambda's script in a few lines: what it makes of the files is read as the files themselves are."""
    size = (16, 8)  # width, height; a quarter, as of the real ones
    for part in ("train", "val"):
        for number, path in enumerate(sorted((root / "leftImg8bit" / part).glob("*/*.png"))):
            start = f"{part}/{path.parent.name}/{path.name.removesuffix('_leftImg8bit.png')}"
            for kind, file in (
                (f"image/{number}.png", path),
                (f"seg/{number}.png", root / f"gtFine/{start}_gtFine_labelIds.png"),
                (f"depth/{number}.png", root / f"disparity/{start}_disparity.png"),
                (f"part_seg/{number}.tif", root / f"gtFinePanopticParts/{start}_gtFinePanopticParts.tif"),
            ):
                target = tmp_path / part / kind
                target.parent.mkdir(parents=True, exist_ok=True)
                how = Image.Resampling.BILINEAR if "image" in kind else Image.Resampling.NEAREST
                Image.open(file).resize(size, how).save(target)
    first, second = (Cityscapes(str(place), size=(8, 16)).load("test") for place in (root, tmp_path))
    one, two = first.batch(range(4)), second.batch(range(4))
    assert torch.equal(one.images, two.images)
    for name, values in one.targets.items():
        assert torch.equal(values.nan_to_num(-1), two.targets[name].nan_to_num(-1)), name


def test_prepared_images_are_in_the_order_of_their_numbers_and_held_out_in_blocks(tmp_path):
    writers.cityscapes_prepared(tmp_path)
    loaded = {split: Cityscapes(str(tmp_path), size=(8, 16)).load(split) for split in ("train", "val", "test")}
    numbers = {split: [int(name.split("/")[1]) for name in part.maps.examples] for split, part in loaded.items()}
    assert numbers["test"] == [0, 1, 2]
    assert all(found == sorted(found) for found in numbers.values())
    assert sorted(numbers["train"] + numbers["val"]) == list(range(220))
    assert not {n // 100 for n in numbers["train"]} & {n // 100 for n in numbers["val"]}
    assert loaded["train"].note == loaded["val"].note != loaded["test"].note


def test_val_is_whole_cities_drawn_by_the_seed(root):
    seen = set()
    for seed in range(6):
        loaded = {s: Cityscapes(str(root), size=FULL, seed=seed).load(s) for s in ("train", "val", "test")}
        cities = {s: {name.split("/")[1] for name in part.maps.examples} for s, part in loaded.items()}
        assert not cities["train"] & cities["val"]
        assert cities["train"] | cities["val"] == {"aachen", "bochum", "ulm"}
        assert cities["test"] == {"lindau"}
        (held,) = cities["val"]
        assert f"val is {held}, held out of train (seed {seed})" in loaded["train"].note
        seen.add(held)
    assert len(seen) > 1
    with pytest.raises(TestudoError, match="cityscapes: no val images"):
        Cityscapes(str(root), val_share=0.0).load("val")


def test_ids_depend_on_names_alone(copy):
    before = Cityscapes(str(copy), size=FULL).load("test").ids.tolist()
    for path in copy.glob("*/val/lindau/lindau_000000_000000_*"):
        path.unlink()
    assert Cityscapes(str(copy), size=FULL).load("test").ids.tolist() == before[1:]


def test_what_is_not_wanted_need_not_be_there(copy):
    shutil.rmtree(copy / "gtFinePanopticParts")
    assert Cityscapes(str(copy), wanted=("segmentation", "disparity"), size=FULL).check() == []
    with pytest.raises(TestudoError, match=r"no folder '.*Parts/val'; without it, leave 'parts' out of wanted"):
        Cityscapes(str(copy)).load("test")


DAMAGED = [
    ("gtFine", "_gtFine_labelIds.png", None, r"cannot read image '.*_labelIds.png': No such file"),
    ("gtFine", "_gtFine_labelIds.png", np.full(FULL, 34, np.uint8), r"labelIds.png': label 34 is out of range \(allo"),
    ("gtFine", "_gtFine_labelIds.png", np.full((9, 9), 7, np.uint8), r"_labelIds.png' is 9x9 .*, its image 32x64"),
    ("gtFine", "_gtFine_labelIds.png", np.zeros(FULL, np.uint8), r"_labelIds.png' labels no pixel: all of them are u"),
    ("gtFine", "_gtFine_labelIds.png", np.zeros((*FULL, 3), np.uint8), r"must hold one number of 8 bits .* mode RGB"),
    ("disparity", "_disparity.png", b"\x89PNG", r"cannot decode image '.*_disparity.png'"),
    ("disparity", "_disparity.png", np.full(FULL, 9, np.uint8), r"_disparity.png' must hold one number of more than 8"),
    ("disparity", "_disparity.png", np.zeros(FULL, np.uint16), r"_disparity.png' labels no pixel"),
    ("gtFinePanopticParts", "_gtFinePanopticParts.tif", np.full(FULL, 240, np.int32), r"Parts.tif': 240 is no number"),
    ("leftImg8bit", "_leftImg8bit.png", b"cut", r"cannot decode image '.*_leftImg8bit.png': not an image of a known"),
    ("leftImg8bit", "_leftImg8bit.png", None, r"cannot read image '.*_leftImg8bit.png': No such file"),
]


def damage(root, folder, ending, content, name=AACHEN):
    """Bytes, an array, or nothing, in place of a file."""
    path = root / folder / f"{name}{ending}"
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        writers.put(path, content, "TIFF" if ending.endswith("tif") else "PNG")


@pytest.mark.parametrize(("folder", "ending", "content", "message"), DAMAGED)
def test_a_damaged_file_is_named_in_one_line(copy, folder, ending, content, message):
    damage(copy, folder, ending, content)
    dataset = Cityscapes(str(copy), size=FULL)
    examples = dataset.load("train")
    where = examples.maps.examples.index(AACHEN)
    assert len(examples.batch([index for index in range(len(examples)) if index != where])) == len(examples) - 1
    with pytest.raises(TestudoError, match=message) as caught:
        examples.batch([where])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("cityscapes: ")
    assert check(dataset).problems == (str(caught.value),)


def test_a_truncated_image_is_named(copy):
    path = copy / f"disparity/{AACHEN}_disparity.png"
    path.write_bytes(path.read_bytes()[:200])
    (problem,) = Cityscapes(str(copy), size=FULL).check()
    assert str(path) in problem


def test_check_names_every_file_and_skip_bad_counts_examples(copy):
    damage(copy, "gtFine", "_gtFine_labelIds.png", None)
    damage(copy, "disparity", "_disparity.png", b"cut")
    damage(copy, "gtFinePanopticParts", "_gtFinePanopticParts.tif", b"cut", LINDAU)
    dataset = Cityscapes(str(copy), size=FULL)
    problems = check(dataset).problems
    assert len(problems) == 3
    skipping = Cityscapes(str(copy), size=FULL, skip_bad=True)
    loads = [{split: skipping.load(split) for split in skipping.splits} for _ in range(2)]
    train, test = loads[0]["train"], loads[0]["test"]
    assert train.note.endswith(f"; 1 of 8 skipped: first {problems[0]}")
    assert test.note.endswith(f"; 1 of 4 skipped: first {problems[2]}")
    assert "skipped" not in loads[0]["val"].note
    for split, part in loads[0].items():
        assert (part.fingerprint(), part.note) == (loads[1][split].fingerprint(), loads[1][split].note)
        assert len(part.batch(range(len(part)))) == len(part)
    assert set(train.ids.tolist()) < set(dataset.load("train").ids.tolist())
    report = check(skipping)
    assert report.skipped == problems
    assert report.problems == ()
    assert [part.count for part in report.splits] == [7, 4, 3]
    writers.cityscapes(copy)  # whole again: what was skipped is remembered only as long as the files stay
    assert "skipped" not in skipping.load("train").note


def test_a_split_without_any_sound_example_is_refused(copy):
    for path in (copy / "disparity/val").glob("*/*.png"):
        path.write_bytes(b"cut")
    with pytest.raises(TestudoError, match=r"cannot decode image .*none of 4 examples is without a fault"):
        Cityscapes(str(copy), size=FULL, skip_bad=True).load("test")


def test_another_unit_is_warned_of(copy):
    path = copy / f"disparity/{LINDAU}_disparity.png"
    writers.put(path, np.full(FULL, 60_000, np.uint16))
    dataset = Cityscapes(str(copy), size=FULL)
    with pytest.warns(UserWarning, match=f"^cityscapes: '{path}': the median is 234 pixels .*; is it in another unit"):
        examples = dataset.load("test")
    assert len(examples.batch(range(4))) == 4
    assert len(dataset.doubts()) == len(check(dataset).doubts) == 1
    assert check(dataset).problems == ()
    assert Cityscapes(str(copy), size=FULL, wanted=("segmentation",)).doubts() == []


def test_workers_tell_the_file_in_one_line(copy):
    damage(copy, "disparity", "_disparity.png", b"cut", LINDAU)
    batches = Loader(Cityscapes(str(copy), size=FULL).load("test"), 2, workers=1)()
    assert len(next(batches)) == 2
    with pytest.raises(TestudoError, match=r"^cityscapes: cannot decode image '.*_disparity.png'[^\n]*$"):
        next(batches)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preparation": "mau"}, "unknown preparation 'mau'; did you mean 'mao'"),
        ({"wanted": ("segmantation",)}, "unknown cityscapes task 'segmantation'; did you mean 'segmentation'"),
        ({"size": (4, 64)}, "size must be height and width of at least 8"),
        ({"val_share": 1.0}, "cityscapes: val_share"),
        ({"root": "nowhere"}, "cityscapes: no folder 'nowhere'"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(TestudoError, match=message):
        Cityscapes(**wrong).load("train")
