import pytest
import torch
import torch.nn.functional as F

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.errors import TestudoError

ALL = Augment(crop=3, flip=True, scale=(0.7, 1.5))


def batch_of(count=64, size=(12, 10), **targets):
    images = torch.rand(count, 2, *size, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    return Batch(images, targets)


def test_nothing_asked_nothing_done():
    batch = batch_of(4, kind=torch.arange(4))
    same = Augment()(batch, 0, 0)
    assert torch.equal(same.images, batch.images)
    assert torch.equal(same.targets["kind"], batch.targets["kind"])


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


@pytest.mark.parametrize("zoom", [0.5, 1.3, 2.0])
def test_zoom_is_bilinear_about_the_centre(zoom):
    batch = batch_of(3)
    out = Augment(scale=(zoom, zoom))(batch, 0, 0).images
    theta = torch.tensor([[[1 / zoom, 0, 0], [0, 1 / zoom, 0]]]).expand(3, -1, -1)
    grid = F.affine_grid(theta, list(batch.images.shape), align_corners=False)
    expected = F.grid_sample(batch.images, grid, align_corners=False)
    assert torch.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("augment", [Augment(crop=2), Augment(flip=True), ALL], ids=str)
def test_an_example_is_changed_alike_in_any_batch(augment):
    batch = batch_of(10)
    whole = augment(batch, 7, 3).images
    order = torch.tensor([9, 0, 4])
    assert torch.equal(augment(batch[order], 7, 3).images, whole[order])
    assert not torch.equal(augment(batch, 7, 4).images, whole)
    assert not torch.equal(augment(batch, 8, 3).images, whole)


@pytest.mark.parametrize("augment", [Augment(crop=2, flip=True), ALL], ids=str)
def test_dense_floats_move_with_the_image(augment):
    plain = batch_of()
    batch = Batch(plain.images, {"depth": plain.images[:, 0], "picture": plain.images})
    out = augment(batch, 0, 1)
    for name, image in (("depth", out.images[:, 0]), ("picture", out.images)):
        known = ~out.targets[name].isnan()
        assert 0.2 < known.float().mean() < 1
        assert torch.allclose(out.targets[name][known], image[known])


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_dense_integers_take_the_nearest_and_are_unknown_outside(kind):
    stripes = torch.arange(12)[:, None].expand(12, 10)  # the row's number, as image and as class
    images = (stripes / 20.0).expand(32, 1, 12, 10)
    out = ALL(Batch(images, {"row": stripes.to(kind).expand(32, 12, 10)}), 0, 0)
    inside = out.targets["row"] != 255
    assert out.targets["row"].dtype == kind
    assert 0.2 < inside.float().mean() < 1
    inner = inside & (out.images[:, 0] > 0.05)  # the border mixes with the black beyond it
    inner[:, :, [0, -1]] = False
    away = (out.images[:, 0] * 20 - out.targets["row"].float()).abs()[inner]
    assert (away <= 0.5 + 1e-4).float().mean() > 0.9
    assert set(out.targets["row"][inside].tolist()) <= set(range(12))


def test_unknown_pixels_stay_unknown_and_do_not_spread_in_whole_shifts():
    depth = torch.ones(16, 6, 6)
    depth[:, 2, 3] = torch.nan
    batch = Batch(torch.rand(16, 1, 6, 6), {"depth": depth})
    flipped = Augment(flip=True)(batch, 0, 0).targets["depth"]
    assert (flipped.isnan().flatten(1).sum(1) == 1).all()
    zoomed = Augment(scale=(1.5, 1.5))(batch, 0, 0).targets["depth"]
    assert zoomed.isnan().flatten(1).any(1).all()
    assert (zoomed[~zoomed.isnan()] - 1).abs().max() < 1e-5


def test_images_stay_in_range_and_empty_batches_pass():
    batch = Batch(torch.ones(50, 1, 9, 9), {})
    out = ALL(batch, 0, 0).images
    assert 0 <= out.min() <= out.max() <= 1
    assert len(ALL(batch[:0], 0, 0)) == 0


def test_dense_targets_of_another_size_are_refused():
    with pytest.raises(TestudoError, match=r"target 'depth' is \(3, 3\) pixels, its images are \(12, 10\)"):
        Augment(crop=1)(batch_of(2, depth=torch.zeros(2, 3, 3)), 0, 0)


@pytest.mark.parametrize("wrong", [{"crop": -1}, {"scale": (0.0, 1.0)}, {"scale": (1.2, 1.0)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TestudoError, match="augment: "):
        Augment(**wrong)


def test_vectors_change_the_sign_of_their_x_where_the_image_is_mirrored():
    """A gradient is a vector: that of the mirrored image is the mirrored one's, x negated."""
    plain = batch_of(40, (6, 7))
    grey = plain.images[:, 0]
    slope = torch.stack([grey.roll(-1, 2) - grey.roll(1, 2), grey.roll(-1, 1) - grey.roll(1, 1)], 1)
    out = Augment(flip=True)(Batch(plain.images, {"normal": slope, "other": slope}), 0, 0)
    new = out.images[:, 0]
    assert torch.equal(out.targets["normal"][:, 0], new.roll(-1, 2) - new.roll(1, 2))
    assert torch.equal(out.targets["normal"][:, 1], new.roll(-1, 1) - new.roll(1, 1))
    mirrored = (new != grey).flatten(1).any(1)
    assert 10 < int(mirrored.sum()) < 30
    assert torch.equal(out.targets["other"][mirrored, 0], -out.targets["normal"][mirrored, 0])
    named = Augment(flip=True, vectors=("other",))(Batch(plain.images, {"other": slope}), 0, 0)
    assert torch.equal(named.targets["other"], out.targets["normal"])
