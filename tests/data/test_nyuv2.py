"""NYUv2 in both layouts on tiny files, its damaged files, and the real sample where there is one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from testudo.data.inspect import check
from testudo.data.nyuv2 import BLOCK, KINECT, NYUv2
from testudo.errors import TestudoError

HERE = Path(__file__).resolve().parent
writers = SimpleNamespace(**run_path(str(HERE / "writers.py")))
SAMPLE = Path(os.environ.get("TESTUDO_DATA") or HERE.parents[1] / "../shared/data") / "nyuv2"
FULL = (24, 32)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return writers.nyuv2_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return writers.nyuv2_arrays(tmp_path_factory.mktemp("arrays"))


def test_images_are_read_as_they_are(images):
    batch = NYUv2(str(images), size=FULL).load("test").batch([2])
    pixels = np.array(Image.open(images / "val/image/2.jpg"))
    depth = np.array(Image.open(images / "val/depth/2.png")).astype(float)
    label = np.array(Image.open(images / "val/label13/2.png"))
    assert batch.ids.tolist() == [2]
    assert torch.equal(batch.images[0], torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    assert torch.equal(batch.targets["segmentation"][0], torch.from_numpy(label).long())
    found = batch.targets["depth"][0, 0]
    assert found.isnan().nonzero().tolist() == [[3, 4]]
    np.testing.assert_allclose(found[depth > 0], depth[depth > 0] * 10 / 255, rtol=1e-6)
    assert batch.targets["normal"].isnan().any(1)[0].nonzero().tolist() == [[3, 4]]
    assert batch.targets["normal"].nan_to_num(-1)[0, 2].max() < 0.5  # most point to the camera: z away from it


def test_arrays_are_read_as_they_are(arrays):
    batch = NYUv2(str(arrays), size=FULL).load("test").batch([1])
    image, label, depth, normal = (np.load(arrays / f"val/{k}/1.npy") for k in ("image", "label", "depth", "normal"))
    np.testing.assert_allclose(batch.images[0].permute(1, 2, 0), image, atol=0.5 / 255 + 1e-6)
    assert torch.equal(batch.targets["segmentation"][0], torch.from_numpy(np.where(label < 0, 255, label)).long())
    np.testing.assert_allclose(batch.targets["depth"][0, 0], np.where(depth > 0, depth, np.nan)[..., 0])
    expected = np.where((normal != 0).any(2, keepdims=True), normal, np.nan)
    np.testing.assert_allclose(batch.targets["normal"][0].permute(1, 2, 0), expected, atol=1e-3)


def test_resizing_takes_the_nearest_pixel_of_labels_and_averages_colours(images):
    full, half = (NYUv2(str(images), size=size).load("test").batch([0]) for size in (FULL, (8, 8)))
    rows, columns = torch.arange(8) * 3 + 1, torch.arange(8) * 4 + 2
    for name in ("segmentation", "depth"):
        expected = full.targets[name][..., rows[:, None], columns]
        assert torch.equal(half.targets[name].nan_to_num(-1), expected.nan_to_num(-1))
    blocks = torch.nn.functional.avg_pool2d(full.images, (3, 4))
    assert (half.images - blocks).abs().mean() < 0.1 < (full.images[..., ::3, ::4] - blocks).abs().mean()


def test_val_is_whole_blocks_of_neighbours_drawn_by_the_seed(tmp_path):
    root = writers.nyuv2_images(tmp_path, train=6 * BLOCK + 4, test=1, size=(8, 8))
    seen = set()
    for seed in range(6):
        ids = {s: NYUv2(str(root), size=(8, 8), val_share=0.3, seed=seed).load(s).ids for s in ("train", "val")}
        assert sorted(torch.cat(list(ids.values())).tolist()) == list(range(6 * BLOCK + 4))
        blocks = {s: set((part // BLOCK).tolist()) for s, part in ids.items()}
        assert not blocks["train"] & blocks["val"]
        assert len(blocks["val"]) == 2
        seen.add(tuple(sorted(blocks["val"])))
    assert len(seen) > 1
    with pytest.raises(TestudoError, match="no val images"):
        NYUv2(str(root), size=(8, 8), val_share=0.0).load("val")


def damage(root, file, content):
    """``content`` in place of a file: bytes, an array for an image or .npy file, None for nothing."""
    (root / file).unlink()
    if isinstance(content, bytes):
        (root / file).write_bytes(content)
    elif content is not None and file.endswith(".npy"):
        np.save(root / file, content)
    elif content is not None:
        (root / file).write_bytes(writers.encoded(content))


DAMAGED = [
    ("train/depth/3.png", None, r"cannot read image '.*train/depth/3.png': No such file"),
    ("train/image/3.jpg", b"\xff\xd8\xff cut", r"cannot decode image '.*train/image/3.jpg'"),
    ("val/label13/0.png", np.full(FULL, 13, np.uint8), r"val/label13/0.png: label 13 is out of range \(allowed: 0 to"),
    ("val/depth/1.png", np.ones((9, 9), np.uint8), r"val/depth/1.png: depth and label differ in size: 9x9 and 24x32"),
    ("val/image/1.jpg", np.ones((9, 9), np.uint8), r"val/image/1.jpg: image and label differ in size: 9x9 and 24x32"),
    ("val/label13/2.png", np.full(FULL, 255, np.uint8), r"val/label13/2.png: no pixel is labelled: all of them are un"),
    ("val/depth/2.png", np.zeros(FULL, np.uint8), r"val/depth/2.png: no pixel is labelled: all of them are unknown"),
    ("val/normal/2.npy", None, r"cannot read '.*val/normal/2.npy'"),
    ("val/label/2.npy", b"no array", r"cannot read '.*val/label/2.npy'"),
    ("val/label/2.npy", np.full(FULL, 40.0), r"val/label/2.npy: label 40 is out of range"),
    ("val/depth/2.npy", np.ones((*FULL, 2)), r"val/depth/2.npy: must hold finite numbers \(height, width, 1\)"),
    ("val/normal/2.npy", np.ones((9, 9, 3)), "normal/2.npy: normal and label differ in size: 9x9 and 24x32"),
]


@pytest.mark.parametrize(("file", "content", "message"), DAMAGED)
def test_a_damaged_file_is_named_in_one_line(tmp_path, images, arrays, file, content, message):
    arrays_wanted = file.endswith(".npy")
    root = Path(shutil.copytree(arrays if arrays_wanted else images, tmp_path / "copy"))
    damage(root, file, content)
    dataset = NYUv2(str(root), size=FULL)
    with pytest.raises(TestudoError, match=message) as caught:
        [dataset.load(split) for split in dataset.splits]
    assert "\n" not in str(caught.value)
    assert check(dataset).problems == (str(caught.value),)


def test_every_damaged_file_of_an_example_is_named(tmp_path, images):
    root = Path(shutil.copytree(images, tmp_path / "copy"))
    for file in ("val/image/1.jpg", "val/depth/1.png", "val/label13/1.png"):
        damage(root, file, b"cut")
    assert [Path(line.split("'")[1]).parent.name for line in NYUv2(str(root)).check()] == ["image", "depth", "label13"]


@pytest.mark.parametrize("layout", ["images", "arrays"])
def test_bad_examples_are_skipped_and_counted_where_asked(tmp_path, request, layout):
    root = Path(shutil.copytree(request.getfixturevalue(layout), tmp_path / "copy"))
    end = "png" if layout == "images" else "npy"
    damage(root, f"val/depth/0.{end}", b"cut")
    damage(root, f"val/depth/3.{end}", None)
    dataset = NYUv2(str(root), size=FULL, skip_bad=True)
    test, again = dataset.load("test"), dataset.load("test")
    assert test.ids.tolist() == [1, 2]
    assert "; 2 of 4 skipped: first " in test.note
    assert f"val/depth/0.{end}" in test.note
    assert (test.note, test.fingerprint()) == (again.note, again.fingerprint())
    assert "skipped" not in dataset.load("train").note
    report = check(dataset)
    assert [len(report.skipped), len(report.problems), report.splits[2].count] == [2, 0, 2]
    for index in (1, 2):
        damage(root, f"val/depth/{index}.{end}", b"cut")
    with pytest.raises(TestudoError, match="and none of 4 examples is without a fault"):
        dataset.load("test")


def test_millimetres_are_warned_of(tmp_path, arrays):
    root = Path(shutil.copytree(arrays, tmp_path / "copy"))
    for index in (1, 3):
        damage(root, f"val/depth/{index}.npy", np.full((*FULL, 1), 2400.0))
    dataset = NYUv2(str(root), size=FULL)
    message = r"^nyuv2: '.*val/depth/1.npy': the median is 2.4e\+03 m, outside 0.3 to 20 m; is it .* \(and 1 more\)$"
    with pytest.warns(UserWarning, match=message):
        assert len(dataset.load("test")) == 4
    dataset.load("train")  # warnings are errors: there are none
    report = check(dataset)
    assert report.problems == ()
    assert [line.split("'")[1][-11:] for line in report.doubts] == ["depth/1.npy", "depth/3.npy"]


def test_arrays_without_normals_get_them_from_depth(tmp_path, arrays):
    """Of a floor 1.2 m below a level camera the depth is that over the slope of the ray; its normal points up."""
    root = Path(shutil.copytree(arrays, tmp_path / "copy"))
    shutil.rmtree(root / "val/normal")
    camera = KINECT.at(FULL)
    slope = (np.arange(FULL[0]) - camera.cy) / camera.fy
    metres = np.where(slope > 0.05, 1.2 / slope.clip(0.05), 0)
    damage(root, "val/depth/1.npy", np.repeat(metres[:, None, None], FULL[1], 1).astype(np.float32))
    examples = NYUv2(str(root), size=FULL).load("test")
    assert examples.note.endswith("normals derived from depth")
    normal = examples.batch([1]).targets["normal"][0]
    known = ~normal.isnan().any(0)
    assert known[slope > 0.1].all()
    torch.testing.assert_close(normal[:, known].mean(1), torch.tensor([0.0, -1.0, 0.0]), atol=1e-3, rtol=0)


def test_check_names_every_damaged_file_and_missing_folders(tmp_path, images):
    root = Path(shutil.copytree(images, tmp_path / "copy"))
    for index in (2, 5):
        damage(root, f"train/depth/{index}.png", b"cut")
    shutil.rmtree(root / "val")
    problems = check(NYUv2(str(root))).problems
    assert len(problems) == 3
    assert "val" in problems[2]
    assert "no folder" in problems[2]
    assert check(NYUv2(str(tmp_path / "no"))).problems[0].startswith("nyuv2: no folder")


def test_what_is_whole_is_reported(images):
    report = check(NYUv2(str(images), size=FULL))
    assert report.problems == ()
    shares = report.splits[0].labels["segmentation"]
    assert sum(value for name, value in shares.items() if name != "unknown") == pytest.approx(1)
    assert shares["unknown"] == pytest.approx(1 / (24 * 32))
    assert 2 < report.splits[0].labels["depth"]["mean"] < 6


@pytest.mark.parametrize("wrong", [{"size": (4, 128)}, {"val_share": 1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TestudoError, match="nyuv2: "):
        NYUv2(**wrong)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no sample in {SAMPLE} (see TESTUDO_DATA)")
def test_the_real_images_show_rooms():
    """Floors face up, ceilings down; walls are upright; depths are those of rooms."""
    dataset = NYUv2(str(SAMPLE))
    test = dataset.load("test")
    assert len(test) == 654
    batch = test.batch(range(0, 654, 10))
    for task in dataset.tasks():
        task.check(batch.targets[task.name])
    label, normal = batch.targets["segmentation"], batch.targets["normal"]
    up = {name: -normal[:, 1][label == index].nanmean() for index, name in enumerate(dataset.tasks()[0].labels)}
    assert up["floor"] > 0.7
    assert up["ceiling"] < -0.5
    assert abs(up["wall"]) < 0.2
    assert 1.5 < batch.targets["depth"].nanmean() < 4
