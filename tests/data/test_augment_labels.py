"""What becomes of each kind of label when its image is augmented."""

from __future__ import annotations

import pytest
import torch

from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.colour import Colour
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.maps import HOG, Autoencoder, Edges
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation

ALL = Augment(crop=3, flip=True, scale=(0.7, 1.5))
LIVELY = Augment(crop=2, flip=True, scales=(0.8, 1.0, 1.3), colour=Colour(0.4, 0.4, 0.4, 0.1))
MAP = (Edges("map"),)


def batch_of(count, size=(12, 10), **targets):
    images = torch.rand(count, 2, *size, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    return Batch(images, targets)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_dense_integers_keep_their_kind(kind):
    rows = torch.arange(12)[:, None].expand(32, 12, 10).to(kind)
    out = ALL(Batch(torch.rand(32, 1, 12, 10), {"row": rows}), 0, 0, (Segmentation("row", classes=12),)).targets["row"]
    assert out.dtype == kind
    assert set(out.unique().tolist()) <= {*range(12), 255}


def test_unknown_pixels_stay_unknown_and_do_not_spread_in_whole_shifts():
    depth = torch.ones(16, 1, 6, 6)
    depth[:, :, 2, 3] = torch.nan
    batch = Batch(torch.rand(16, 1, 6, 6), {"depth": depth})
    flipped = Augment(flip=True)(batch, 0, 0, (Depth("depth"),)).targets["depth"]
    assert (flipped.isnan().flatten(1).sum(1) == 1).all()
    zoomed = Augment(scale=(0.9, 0.9))(batch, 0, 0, (Depth("depth"),)).targets["depth"]
    assert zoomed.isnan().flatten(1).any(1).all()
    assert (zoomed[~zoomed.isnan()] * 0.9 - 1).abs().max() < 1e-5


def test_normals_of_a_mirrored_image_are_those_of_its_mirrored_depth():
    """A gradient is a vector: that of the mirrored image is the mirrored one's, x negated."""
    plain = batch_of(40, (6, 7))
    grey = plain.images[:, 0]
    slope = torch.stack([grey.roll(-1, 2) - grey.roll(1, 2), grey.roll(-1, 1) - grey.roll(1, 1), grey], 1)
    batch = Batch(plain.images, {"normal": slope, "other": slope})
    out = Augment(flip=True)(batch, 0, 0, (Normals("normal"), Edges("other")))
    new = out.images[:, 0]
    assert torch.equal(out.targets["normal"][:, 0], new.roll(-1, 2) - new.roll(1, 2))
    assert torch.equal(out.targets["normal"][:, 1], new.roll(-1, 1) - new.roll(1, 1))
    assert torch.equal(out.targets["normal"][:, 2], new)
    mirrored = (new != grey).flatten(1).any(1)
    assert 10 < int(mirrored.sum()) < 30
    assert torch.equal(out.targets["other"][mirrored, 0], -out.targets["normal"][mirrored, 0])


def test_blended_normals_have_length_1_or_are_unknown():
    normal = torch.zeros(30, 3, 8, 8)
    normal[:, 2] = -1
    normal[:, :, :, 4:] = torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    normal[:, :, 6:, 4:] = torch.tensor([0.0, 0.0, 1.0]).reshape(3, 1, 1)  # against those on the left
    task = Normals("normal")
    out = Augment(flip=True, scale=(1.2, 2.0))(Batch(torch.rand(30, 1, 8, 8), {"normal": normal}), 0, 0, (task,))
    task.check(out.targets["normal"])
    lengths = out.targets["normal"].square().sum(1).sqrt()
    assert (lengths[~lengths.isnan()] - 1).abs().max() < 1e-5
    assert lengths.isnan().float().mean() < 0.05


def test_histograms_turn_their_bins_where_the_image_is_mirrored():
    bins = torch.arange(9.0).reshape(1, 9, 1, 1).expand(20, 9, 4, 4) / 9
    out = Augment(flip=True)(Batch(torch.rand(20, 1, 4, 4), {"hog": bins}), 0, 0, (HOG("hog"),)).targets["hog"]
    turned = (out == bins.flip(1)).flatten(1).all(1)
    assert (turned ^ (out == bins).flatten(1).all(1)).all()
    assert 0 < int(turned.sum()) < 20


def test_the_image_as_a_label_is_the_augmented_image():
    images = torch.rand(20, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    label = images.clone()
    label[:, :, 2, 2] = torch.nan
    for augment in (LIVELY, Augment(colour=LIVELY.colour)):
        out = augment(
            Batch(images, {"image": label, "digit": torch.arange(20)}),
            0,
            0,
            (Autoencoder("image"), Classification("digit", 20)),
        )
        known = ~out.targets["image"].isnan()
        assert known.float().mean() > 0.5
        assert not known.all()
        assert torch.equal(out.targets["image"][known], out.images[known])
        assert not torch.equal(out.images, images)
        assert torch.equal(out.targets["digit"], torch.arange(20))


def test_dense_targets_of_another_size_or_without_a_task_are_refused():
    batch = batch_of(2, depth=torch.zeros(2, 1, 3, 3))
    with pytest.raises(TestudoError, match=r"target 'depth' is \(3, 3\) pixels, its images are \(12, 10\)"):
        Augment(crop=1)(batch, 0, 0, (Depth("depth"),))
    with pytest.raises(TestudoError, match="how labels 'depth' change when their pixels move is for their task to say"):
        Augment(crop=1)(batch_of(2, depth=torch.zeros(2, 1, 12, 10)), 0, 0, MAP)
    assert Augment(colour=Colour(0.1))(batch, 0, 0).targets["depth"].shape == (2, 1, 3, 3)
