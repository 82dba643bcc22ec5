"""Taskonomy on tiny files in its own layouts: every value by its formula, splits by building, damaged files."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from testudo.data.building_labels import strength
from testudo.data.inspect import check
from testudo.data.taskonomy import DOMAINS, MASKED, TINY, Taskonomy
from testudo.errors import TestudoError

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))
FULL = (16, 16)
VIEW = "point_0_view_1"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return writers.taskonomy(tmp_path_factory.mktemp("taskonomy"))


@pytest.fixture
def copy(root, tmp_path):
    return Path(shutil.copytree(root, tmp_path / "copy"))


@pytest.fixture(scope="module")
def files(root):
    """The arrays of one view of the test building, by domain."""
    paths = (root / "uvalda").glob(f"*/{VIEW}_*.png")
    return {path.parent.name: np.array(Image.open(path)).astype(float) for path in paths}


@pytest.fixture(scope="module")
def targets(root):
    return {k: v[0].double() for k, v in Taskonomy(str(root), size=FULL).load("test").batch([1]).targets.items()}


def same(found, expected, masked=True):
    """As computed, and unknown in the first row, where nothing was hit, if ``masked``."""
    expected = expected.copy()
    if masked:
        expected[..., 0, :] = np.nan
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_all_eleven_are_there(targets):
    assert list(targets) == list(DOMAINS)
    assert len(DOMAINS) == 11


@pytest.mark.parametrize(("task", "domain"), [("depth", "depth_zbuffer"), ("euclidean", "depth_euclidean")])
def test_depths_are_logarithmic(targets, files, task, domain):
    same(targets[task][0], np.log(1 + files[domain]) / math.log(2**16))


def test_classes_leave_out_the_uncertain(targets, files):
    labels = files["segment_semantic"]
    assert (labels == 0).any()
    same(targets["segmentation"], np.where(labels == 0, 255, labels - 1), masked=False)


def test_normals_are_unit_vectors_of_the_colours(targets, files):
    vectors = files["normal"].transpose(2, 0, 1) / 255 * 2 - 1
    length = np.linalg.norm(vectors, axis=0)
    same(targets["normal"], np.where(length > 0.5, vectors / length, np.nan))


def test_reshading_and_curvature(targets, files):
    same(targets["reshading"][0], files["reshading"][..., 0] / 255)
    colours = files["principal_curvature"]
    expected = np.stack([(colours[..., 0] - 123.572) / 31.922, (colours[..., 1] - 120.1) / 21.658])
    same(targets["curvature"], expected)


@pytest.mark.parametrize(
    ("task", "domain", "top"),
    [("edges", "edge_texture", 0.08), ("keypoints2d", "keypoints2d", 0.005), ("keypoints3d", "keypoints3d", 1.0)],
)
def test_strengths_are_clipped_at_their_bound(targets, files, task, domain, top):
    values = files[domain] / 65_535
    same(targets[task][0], values.clip(0, top) / top, masked=task == "keypoints3d")
    assert task == "keypoints3d" or (values > top).any()


def test_occlusion_edges_are_smoothed_then_clipped(targets, files):
    """A Gaussian of 4 pixels in 256, so of a quarter pixel here, by its sum; beyond the border pixels are mirrored."""
    values, sigma = files["edge_occlusion"] / 65_535, 4 * 16 / 256
    weights = np.exp(-0.5 * (np.arange(-1, 2) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(values, 1, mode="symmetric")
    smooth = sum(
        weights[i] * weights[j] * padded[i : i + 16, j : j + 16] for i in range(3) for j in range(3)
    )  # fmt: skip
    same(targets["occlusion"][0], (smooth / 0.00625).clip(0, 1))


def test_smoothing_at_the_papers_size():
    """One pixel of 1 in 256 x 256 becomes a Gaussian of 4 pixels."""
    values = np.zeros((256, 256), np.uint16)
    values[128, 100] = 1000
    found = strength("occlusion", values)[0] * 0.00625 * 65_535 / 1000
    for dy, dx in ((0, 0), (3, 0), (0, -5), (4, 4)):
        expected = math.exp(-(dy**2 + dx**2) / 32) / (2 * math.pi * 16)
        assert found[128 + dy, 100 + dx] == pytest.approx(expected, rel=1e-3)


def test_what_hangs_on_depth_is_masked_and_nothing_else(targets):
    unknown = {name for name, values in targets.items() if values.isnan()[..., 0, :].all()}
    assert unknown == set(MASKED)
    assert all(not targets[name].isnan()[..., 1:, :].any() for name in DOMAINS if name != "normal")


@pytest.mark.parametrize(("steps", "known"), [(0, False), (1, True), (64_499, True), (64_500, False)])
def test_which_steps_are_a_distance(copy, steps, known):
    path = copy / f"uvalda/depth_euclidean/{VIEW}_domain_depth_euclidean.png"
    array = np.array(Image.open(path))
    array[5, 6] = steps
    writers.put(path, array)
    found = Taskonomy(str(copy), size=FULL).load("test").batch([1]).targets
    assert all((not found[name][0, ..., 5, 6].isnan().any()) == known for name in MASKED if name != "normal")


def test_the_three_orders_of_folders_hold_the_same(root, tmp_path):
    first = Taskonomy(str(root), size=(8, 8)).load("train")
    for order in ("domain first", "omnidata"):
        other = Taskonomy(str(writers.taskonomy(tmp_path / order, order=order)), size=(8, 8)).load("train")
        assert other.ids.tolist() == first.ids.tolist()
        assert other.fingerprint() == first.fingerprint()


def test_the_tiny_split_is_the_published_one(root):
    """25, 5 and 5 buildings, none of them twice."""
    assert {split: len(names) for split, names in TINY.items()} == {"train": 25, "val": 5, "test": 5}
    assert len({name for names in TINY.values() for name in names}) == 35
    dataset = Taskonomy(str(root), size=FULL)
    found = {s: {name.split("/")[0] for name in dataset.load(s).maps.examples} for s in dataset.splits}
    assert found == {"train": {"allensville", "beechwood"}, "val": {"darden"}, "test": {"uvalda"}}
    assert "2 of the 25 train buildings of the tiny split, 1 others left out" in dataset.load("train").note


def test_buildings_are_drawn_whole(root):
    seen = set()
    for seed in range(8):
        dataset = Taskonomy(str(root), "drawn", seed=seed, size=FULL)
        loaded = {split: dataset.load(split) for split in dataset.splits}
        parts = [{name.split("/")[0] for name in part.maps.examples} for part in loaded.values()]
        assert [len(part) for part in parts] == [3, 1, 1]
        assert set.union(*parts) == set(writers.BUILDINGS)
        assert f"val is {min(parts[1])}; test is {min(parts[2])}" in loaded["train"].note
        seen.add((*parts[1], *parts[2]))
    assert len(seen) > 2


def test_views_are_in_the_order_of_their_numbers(tmp_path):
    names = [f"point_{point}_view_{view}" for point in (2, 10, 1) for view in (3, 0)]
    for name in names:
        writers.put(tmp_path / f"uvalda/rgb/{name}_domain_rgb.png", np.zeros((8, 8, 3), np.uint8))
    found = Taskonomy(str(tmp_path), size=(8, 8), wanted=("image",)).load("test").maps.examples
    assert found == tuple(f"uvalda/point_{point}_view_{view}" for point in (1, 2, 10) for view in (0, 3))


def test_only_what_is_wanted_is_read(copy):
    for domain in ("keypoints2d", "edge_texture", "segment_semantic"):
        shutil.rmtree(copy / "uvalda" / domain)
    wanted = ("image", "normal")
    batch = Taskonomy(str(copy), wanted=wanted, size=FULL).load("test").batch([0])
    assert sorted(batch.targets) == sorted(wanted)
    assert torch.equal(batch.targets["image"], batch.images)
    with pytest.raises(TestudoError, match=r"no folder '.*uvalda/segment_semantic'; without it, leave its task out"):
        Taskonomy(str(copy)).load("test")


DAMAGED = [
    ("normal", None, r"cannot read image '.*domain_normal.png': No such file"),
    ("depth_zbuffer", b"\x89PNG\r\n", r"cannot decode image '.*domain_depth_zbuffer.png'"),
    ("keypoints3d", np.ones(FULL, np.uint8), r"domain_keypoints3d.png' must hold one number of more than 8 bits"),
    ("segment_semantic", np.full(FULL, 18, np.uint8), r"domain_segmentsemantic.png': label 18 is out of range \(allo"),
    ("segment_semantic", np.zeros(FULL, np.uint8), r"domain_segmentsemantic.png' labels no pixel"),
    ("reshading", np.ones((9, 16, 3), np.uint8), r"domain_reshading.png' is 9x16 .*, its image 16x16"),
    ("rgb", b"", r"cannot decode image '.*domain_rgb.png': not an image of a known kind"),
]


def damage(root, domain, content, view=VIEW):
    """Bytes, an array, or nothing, in place of a file of the test building."""
    (path,) = (root / "uvalda" / domain).glob(f"{view}_*.png")
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        writers.put(path, content)
    return path


@pytest.mark.parametrize(("domain", "content", "message"), DAMAGED)
def test_a_damaged_file_is_named_in_one_line(copy, domain, content, message):
    damage(copy, domain, content)
    dataset = Taskonomy(str(copy), size=FULL)
    examples = dataset.load("test")
    assert len(examples.batch([0, 2])) == 2
    with pytest.raises(TestudoError, match=message) as caught:
        examples.batch([1])
    assert "\n" not in str(caught.value)
    assert check(dataset).problems == (str(caught.value),)


def test_the_mask_is_missed_once_for_all_that_need_it(copy):
    path = damage(copy, "depth_euclidean", None)
    assert Taskonomy(str(copy)).check() == [f"taskonomy: cannot read image '{path}': No such file or directory"]


def test_check_names_every_file_and_skip_bad_counts_views(copy):
    paths = [damage(copy, domain, b"cut") for domain in ("normal", "edge_texture")]
    paths.append(damage(copy, "keypoints2d", b"cut", "point_1_view_0"))
    problems = Taskonomy(str(copy), size=FULL).check()
    assert len(problems) == 3
    assert all(any(str(path) in line for line in problems) for path in paths)
    skipping = Taskonomy(str(copy), size=FULL, skip_bad=True)
    first, second = skipping.load("test"), skipping.load("test")
    assert len(first) == 1
    assert first.note == second.note
    assert first.note.endswith(f"; 2 of 3 skipped: first {problems[0]}")
    assert first.fingerprint() == second.fingerprint()


def test_millimetres_in_place_of_steps_are_warned_of(copy):
    path = damage(copy, "depth_zbuffer", np.full(FULL, 40_000, np.uint16))
    dataset = Taskonomy(str(copy), size=FULL, wanted=("depth",))
    with pytest.warns(UserWarning, match=f"^taskonomy: '{path}': the median is 78.1 m, outside 0.2 to 40 m; is it in"):
        dataset.load("test")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"buildings": "tyny"}, "unknown choice of buildings 'tyny'; did you mean 'tiny'"),
        ({"wanted": ("normals",)}, "unknown taskonomy task 'normals'; did you mean 'normal'"),
        ({"size": (256, 4)}, "taskonomy: size must be height and width of at least 8"),
        ({"test_share": -0.1}, "taskonomy: test_share must be at least 0"),
        ({"root": "nowhere"}, "taskonomy: no folder 'nowhere'"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(TestudoError, match=message):
        Taskonomy(**wrong).load("train")


@pytest.mark.parametrize(
    ("others", "message"), [(("a", "b"), "but 2 others; buildings = 'drawn'"), ((), "but no others; root must be")]
)
def test_a_folder_without_the_tiny_split(tmp_path, others, message):
    writers.taskonomy(tmp_path, 1, buildings=others)
    with pytest.raises(TestudoError, match=message):
        Taskonomy(str(tmp_path)).load("train")
