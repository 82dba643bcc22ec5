"""Augmentation: images and labels undergo the same, example by example, and labels keep their meaning."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.colour import Colour
from testudo.errors import TestudoError
from testudo.tasks.depth import Depth, Disparity
from testudo.tasks.maps import HOG, Autoencoder, Edges
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation

ALL = Augment(crop=3, flip=True, scale=(0.7, 1.5))
LIVELY = Augment(crop=2, flip=True, scales=(0.8, 1.0, 1.3), colour=Colour(0.4, 0.4, 0.4, 0.1))
MAP = (Edges("map"),)


def batch_of(count=64, size=(12, 10), **targets):
    images = torch.rand(count, 2, *size, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    return Batch(images, targets)


@pytest.mark.parametrize("augment", [Augment(), Augment(scales=(1.0,)), Augment(scales=(1.0, 1.0))], ids=str)
def test_nothing_asked_nothing_done(augment):
    plain = batch_of(4)
    depth = torch.where(plain.images[:, :1] > 0.5, plain.images[:, :1], torch.nan)
    batch = Batch(plain.images, {"kind": torch.arange(4), "depth": depth, "image": plain.images})
    same = augment(batch, 0, 0, (Depth("depth"), Autoencoder("image", channels=2)))
    assert same.targets.keys() == batch.targets.keys()
    assert torch.equal(same.images, batch.images)
    assert torch.equal(same.targets["image"], batch.images)
    assert torch.equal(same.targets["kind"], batch.targets["kind"])
    assert torch.equal(same.targets["depth"].nan_to_num(-1), depth.nan_to_num(-1))


def test_whole_moves_change_no_value():
    """Without a zoom every pixel is one of the source's, to the last bit, and so is every label."""
    plain = batch_of()
    out = Augment(crop=2, flip=True)(Batch(plain.images, {"map": plain.images}), 3, 1, MAP)
    known = ~out.targets["map"].isnan()
    assert torch.equal(out.targets["map"][known], out.images[known])
    assert (out.images[~known] == 0).all()


def test_crops_are_windows_of_the_padded_image_and_all_occur():
    batch = batch_of(256, (5, 4))
    padded = F.pad(batch.images, (1, 1, 1, 1))
    windows = {(y, x): padded[:, :, y : y + 5, x : x + 4] for y in range(3) for x in range(3)}
    out = Augment(crop=1)(batch, 1, 2).images
    hits = torch.stack([(out == window).flatten(1).all(1) for window in windows.values()], 1)
    assert (hits.sum(1) == 1).all()
    assert (hits.sum(0) >= 256 / 9 / 2).all()


def test_flips_mirror_about_half():
    batch = batch_of(400)
    out = Augment(flip=True)(batch, 0, 0).images
    kept = (out == batch.images).flatten(1).all(1)
    mirrored = (out == batch.images.flip(3)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 160 < int(mirrored.sum()) < 240


def coordinates(count, size):
    """Images whose two channels are row and column, from 0.1 to 0.9 with pixels at whole numbers."""
    rows, columns = torch.meshgrid(*(torch.arange(float(length)) for length in size), indexing="ij")
    scale = torch.tensor([size[0], size[1]]).reshape(1, 2, 1, 1)
    return (0.1 + 0.8 * torch.stack([rows, columns])[None] / scale).expand(count, -1, -1, -1)


def places(images):
    """The source rows and columns that augmented :func:`coordinates` tell."""
    scale = torch.tensor(images.shape[2:]).reshape(1, 2, 1, 1)
    return (images - 0.1) / 0.8 * scale


@pytest.mark.parametrize("zoom", [1.2, 1.5, 4.0])
def test_an_enlarged_image_fills_its_window_from_anywhere(zoom):
    images = coordinates(400, (16, 20))
    out = Augment(scale=(zoom, zoom))(Batch(images, {"map": images[:, :1]}), 0, 0, MAP)
    assert not out.targets["map"].isnan().any()  # no padding
    found = places(out.images)[:, :, 4:-4, 4:-4]  # the outermost half a pixel has nothing to mix with
    for axis, length in ((0, 16), (1, 20)):
        step = found[:, axis].diff(dim=axis + 1)
        assert (step - 1 / zoom).abs().max() < 1e-3
        first = found[:, axis, 0, 0] - 4 / zoom  # of the window's first pixel
        low, high = 0.5 / zoom - 0.5, length - length / zoom + 0.5 / zoom - 0.5
        assert low - 1e-3 <= first.min() < low + 0.02 * length
        assert high - 0.02 * length < first.max() <= high + 1e-3
        assert abs(float(first.mean()) - (low + high) / 2) < 0.06 * length


@pytest.mark.parametrize("augment", [Augment(scale=(1.0, 3.0), flip=True), ALL], ids=["enlarged", "all"])
def test_interpolation_is_that_of_grid_sample(augment):
    batch, size = batch_of(40, (9, 13)), torch.tensor([13, 9])
    out = augment(batch, 0, 0).images
    moved = augment(Batch(coordinates(40, (9, 13)), {"map": torch.ones(40, 1, 9, 13)}), 0, 0, MAP)
    grid = (places(moved.images).flip(1).movedim(1, 3) + 0.5) / size * 2 - 1
    expected = F.grid_sample(batch.images, grid, padding_mode="border", align_corners=False)
    inside = ~moved.targets["map"].isnan()
    assert inside.float().mean() > 0.5
    assert (torch.where(inside, expected, 0) - out).abs().max() < 1e-4


def test_a_shrunken_image_lies_whole_in_its_window():
    images = torch.full((300, 1, 20, 20), 0.8)
    out = Augment(scale=(0.5, 0.5))(Batch(images, {"map": images}), 0, 0, MAP)
    inside = ~out.targets["map"].isnan()
    assert (inside.flatten(1).sum(1) >= 100).all()
    assert (inside.flatten(1).sum(1) <= 121).all()
    assert torch.equal(out.images > 0, inside)
    tops = inside.any(3).float().argmax(2)
    assert set(tops.flatten().tolist()) == set(range(11))


def test_zooms_come_out_of_the_range_or_the_set():
    images = coordinates(300, (12, 12))
    for augment, fits in (
        (Augment(scale=(1.0, 2.0)), lambda z: (z > 0.99) & (z < 2.01)),
        (Augment(scales=(1.0, 1.2, 1.5)), lambda z: sum((z - s).abs() < 0.01 for s in (1.0, 1.2, 1.5)) == 1),
    ):
        found = places(augment(Batch(images, {}), 0, 0).images)[:, 0, 4:8, 6]
        zoom = 1 / found.diff(dim=1)[:, 1]
        assert fits(zoom).all()
        assert len(set((zoom * 5).round().int().tolist())) >= 3


@pytest.mark.parametrize("augment", [Augment(crop=2), Augment(flip=True), ALL, LIVELY], ids=str)
def test_an_example_is_changed_alike_in_any_batch(augment):
    images = torch.rand(10, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, {"map": images, "depth": images[:, :1] + 1, "image": images})
    tasks = (*MAP, Depth("depth"), Autoencoder("image"))
    whole = augment(batch, 7, 3, tasks)
    order = torch.tensor([9, 0, 4])
    for part in (augment(batch[order], 7, 3, tasks), Batch.cat(augment(b, 7, 3, tasks) for b in batch.split(1))[order]):
        assert torch.equal(part.images, whole.images[order])
        for name in batch.targets:
            assert torch.equal(part.targets[name].nan_to_num(-1), whole.targets[name][order].nan_to_num(-1))
    assert not torch.equal(augment(batch, 7, 4, tasks).images, whole.images)
    assert not torch.equal(augment(batch, 8, 3, tasks).images, whole.images)


@given(
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([(1.0, 1.0), (0.6, 0.9), (1.1, 3.0), (0.7, 1.5)]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_image_and_labels_stay_aligned(crop, flip, scale, seed):
    """Every image tells its source coordinates, and so do labels of floats and of whole numbers."""
    images = coordinates(16, (14, 11))
    row = torch.arange(14)[:, None].expand(16, 14, 11)
    batch = Batch(images, {"map": images, "row": row, "half": images.half()})
    tasks = (*MAP, Segmentation("row", classes=14), Edges("half"))
    out = Augment(crop=crop, flip=flip, scale=scale)(batch, seed, 1, tasks)
    known = ~out.targets["map"].isnan()
    assert torch.equal(known[:, 0], out.targets["row"] != 255)
    assert torch.equal(known, ~out.targets["half"].isnan())
    assert known.flatten(1).any(1).all()
    assert torch.equal(out.targets["map"][known], out.images[known])
    assert (out.images[~known] == 0).all()
    assert (out.targets["half"][known].float() - out.images[known]).abs().max() < 2e-3
    away = (places(out.images)[:, 0] - out.targets["row"]).abs()[known[:, 0]]
    assert away.max() <= 0.5 + 1e-3


@pytest.mark.parametrize("zoom", [0.8, 1.2, 1.5])
@pytest.mark.parametrize("slant", [(0.0, 0.0), (0.3, -0.2)])
def test_depth_of_an_enlarged_plane_is_that_of_one_nearer(zoom, slant):
    """A plane z (a u + b v + c) = 1, (u, v) from a principal point that moves with the pixels.

    Its image, z times larger, is that of the plane with z c in place of c: as if seen from z times as near.
    """
    a, b, c, middle = *slant, 0.5, 15.5

    def inverse(u, v, c):
        return (a * u + b * v) / 32 + c

    image = coordinates(50, (32, 32))
    v, u = torch.meshgrid(torch.arange(32.0) - middle, torch.arange(32.0) - middle, indexing="ij")
    depth = (1 / inverse(u, v, c)).expand(50, 1, 32, 32)
    batch = Batch(image, {"depth": depth, "disparity": 1 / depth})
    out = Augment(scale=(zoom, zoom))(batch, 0, 0, (Depth("depth"), Disparity("disparity")))
    source = places(out.images)
    away = source - middle  # from the principal point, in source pixels: zoom times that in pixels of the output
    expected = inverse(zoom * away[:, 1:], zoom * away[:, :1], zoom * c)
    inner = (source > 0).all(1, keepdim=True) & (source < 31).all(1, keepdim=True)
    assert inner.float().mean() > 0.3
    assert (out.targets["disparity"] - expected)[inner].abs().max() < 1e-4
    assert (out.targets["depth"] * expected - 1)[inner].abs().max() < 2e-3  # depth is not linear between pixels


def test_all_is_computed_on_the_batchs_device_without_a_look_at_its_values(monkeypatch):
    """On the device "meta" there are no values to read, and tensors of other devices do not mix with its own."""
    monkeypatch.setattr(Batch, "_check_range", lambda self: None)
    tasks = Depth("depth"), Disparity("shift"), Normals("normal"), Autoencoder("image"), HOG("hog")
    targets = {task.name: torch.empty(4, task.channels, 8, 9, device="meta") for task in tasks}
    targets["parts"] = torch.empty(4, 8, 9, dtype=torch.int64, device="meta")
    ids = torch.empty(4, dtype=torch.int64, device="meta")
    batch = Batch(torch.empty(4, 3, 8, 9, device="meta"), targets, ids)
    for augment in (Augment(crop=2, flip=True), LIVELY):
        out = augment(batch, 0, 0, (*tasks, Segmentation("parts", classes=3)))
        assert out.images.is_meta
        for name, value in out.targets.items():
            assert value.is_meta
            assert (value.shape, value.dtype) == (targets[name].shape, targets[name].dtype)


def test_images_stay_in_range_and_empty_batches_pass():
    batch = Batch(torch.ones(50, 1, 9, 9), {})
    out = ALL(batch, 0, 0).images
    assert 0 <= out.min() <= out.max() <= 1
    assert len(ALL(batch[:0], 0, 0)) == 0
    one = ALL(Batch(torch.rand(5, 1, 1, 1), {"map": torch.rand(5, 1, 1, 1)}), 0, 0, MAP)
    assert one.images.isfinite().all()


WRONG = [{"crop": -1}, {"scale": (0.0, 1.0)}, {"scale": (1.2, 1.0)}, {"scales": (1.0, 0.0)}]


@pytest.mark.parametrize("wrong", [*WRONG, {"scale": (1.0, 1.2), "scales": (1.0, 1.5)}], ids=str)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TestudoError, match="augment: "):
        Augment(**wrong)
