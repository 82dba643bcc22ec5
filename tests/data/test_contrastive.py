"""Views of SimCLR: what was cut out, mirrored, recoloured and blurred, read off images that tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from testudo.data import colour
from testudo.data.colour import Colour
from testudo.data.contrastive import ContrastiveViews, _blurred
from testudo.tensors import uniform

PLAIN = ContrastiveViews(colour=0.0, grey=0.0)


def views(how, images, ids=None):
    """(2, N, C, H, W)."""
    ids = torch.arange(len(images)) if ids is None else ids
    made, _ = how.pose(images, ids, ids, ids)
    return made.unflatten(0, (2, len(images)))


def ramps(count, height, width):
    """Two channels that say of each pixel how far right, and how far down its centre is, in parts of the image."""
    down, right = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (height, width))
    return torch.stack([right.expand(height, width), down[:, None].expand(height, width)]).repeat(count, 1, 1, 1)


def boxes(made):
    """Left, top, right and bottom of each view's box in parts of the image (right < left: mirrored), off ramps.

    Off the two pixels in the middle, which lie between pixel centres of the image.
    """
    found = []
    for channel, size in ((0, made.shape[3]), (1, made.shape[2])):
        line = made[:, channel, :, 0] if channel else made[:, channel, 0]
        before, after = (line[:, place].double() for place in (size // 2 - 1, size // 2))
        centre, half = (before + after) / 2, (after - before) * size / 2
        found += [centre - half, centre + half]
    return torch.stack(found, 1)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (40, 8)])
def test_boxes_lie_inside_and_have_the_area_and_ratio_asked_for(height, width):
    how = ContrastiveViews(colour=0.0, grey=0.0, scale=(0.2, 0.6), ratio=(0.5, 2.0))
    left, right, top, bottom = boxes(views(how, ramps(400, height, width)).flatten(0, 1)).T
    assert torch.stack([left, right, top, bottom]).min() > -1e-5
    assert torch.stack([left, right, top, bottom]).max() < 1 + 1e-5
    across, down = (right - left).abs(), bottom - top
    ratio = across * width / (down * height)
    assert ratio.min() > 0.5 - 1e-4
    assert ratio.max() < 2.0 + 1e-4
    mirrored = (right < left).double().mean()
    assert 0.42 < mirrored < 0.58  # 800 draws: 4.5 standard deviations
    if width == height:  # elsewhere a box may not fit, and a smaller area be taken
        area = across * down
        assert area.min() > 0.2 - 1e-4
        assert area.max() < 0.6 + 1e-4
        assert area.mean() == pytest.approx(0.4, abs=0.03)
        assert ratio.log().mean() == pytest.approx(0, abs=0.08)


def test_a_box_that_never_fits_is_the_largest_there_is():
    how = ContrastiveViews(colour=0.0, grey=0.0, scale=(1.0, 1.0), flip=False)
    left, right, top, bottom = boxes(views(how, ramps(6, 16, 48)).flatten(0, 1)).T
    assert torch.allclose(bottom - top, torch.ones(12, dtype=torch.float64), atol=1e-4)
    assert torch.allclose((right - left) * 48 / 16, torch.full((12,), 4 / 3, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(left, 1 - right, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 28)])
def test_pixels_are_interpolated_as_by_scipy(height, width):
    images = torch.rand(20, 2, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = views(PLAIN, images)
    found = boxes(views(PLAIN, ramps(20, height, width)).flatten(0, 1)).unflatten(0, (2, 20))
    for view, row in ((0, 3), (1, 3), (0, 11), (1, 19)):
        left, right, top, bottom = found[view, row].tolist()
        across = (left + (right - left) * (np.arange(width) + 0.5) / width) * width - 0.5
        down = (top + (bottom - top) * (np.arange(height) + 0.5) / height) * height - 0.5
        at = np.stack(np.meshgrid(down, across, indexing="ij"))
        for channel in range(2):
            want = ndimage.map_coordinates(images[row, channel].numpy(), at, order=1, mode="nearest")
            assert np.abs(made[view, row, channel].numpy() - want).max() < 1e-5


def test_views_differ_and_so_do_epochs():
    images = torch.rand(8, 3, 16, 16)
    first, second = views(ContrastiveViews(), images)
    assert ((first - second).flatten(1).abs().amax(1) > 0.01).all()
    other = views(ContrastiveViews(), images, torch.arange(8) + 100)[0]
    assert ((first - other).flatten(1).abs().amax(1) > 0.01).all()


def test_colours_change_as_those_of_augmentation_do():
    """The same numbers through our own code."""
    images, ids = torch.rand(40, 3, 9, 7, generator=torch.Generator().manual_seed(1)), torch.arange(40)
    draws = uniform(ids, (4,), 0, 0, colour.STREAM)
    for channels in (3, 1, 4):
        shown = images[:, :channels] if channels < 4 else torch.cat([images, images[:, :1]], 1)
        want = Colour(0.8 * 0.7, 0.8 * 0.7, 0.8 * 0.7, 0.2 * 0.7)(shown, ids, 0, 0)
        found = ContrastiveViews(colour=0.7)._recoloured(shown, draws.T)
        torch.testing.assert_close(found, want, rtol=0, atol=2e-6)


def test_how_many_views_change_their_colours():
    """An even grey keeps its level unless brightness changes, and a coloured image its colours unless it loses them."""
    level = views(ContrastiveViews(), torch.full((1000, 1, 4, 4), 0.5)).flatten(0, 1)[:, 0, 0, 0] / 0.5
    assert 0.16 < ((level - 1).abs() < 1e-6).double().mean() < 0.24
    assert level.min() >= 1 - 0.4 - 1e-6
    assert level.max() <= 1 + 0.4 + 1e-6
    assert level.mean() == pytest.approx(1, abs=0.02)
    red = torch.tensor([0.8, 0.3, 0.1]).reshape(1, 3, 1, 1).expand(1000, 3, 4, 4)
    for share in (0.0, 0.2, 1.0):
        made = views(ContrastiveViews(grey=share), red).flatten(0, 1)
        colourless = (made.amax(1) - made.amin(1)).flatten(1).amax(1) < 1e-6
        assert abs(colourless.double().mean() - share) < 0.04


def test_blur_is_a_gaussian_cut_off():
    images = torch.rand(6, 2, 44, 60, dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.3, 0.7, 1.1, 1.6, 2.0], dtype=torch.float64)
    for image, blurred, s in zip(images, _blurred(images, sigma), sigma.tolist(), strict=True):
        want = ndimage.gaussian_filter(image.numpy(), s, axes=(1, 2), mode="mirror", radius=2)
        assert np.abs(blurred.numpy() - want).max() < 1e-6
    small = torch.rand(2, 1, 19, 19)
    assert torch.equal(_blurred(small, torch.ones(2)), small)
    images = torch.rand(1, 1, 40, 40).repeat(500, 1, 1, 1)
    for share in (0.0, 0.5, 1.0):
        shown, sharp = views(ContrastiveViews(colour=0.0, grey=0.0, blur=share), images), views(PLAIN, images)
        assert abs((shown != sharp).flatten(2).any(2).double().mean() - share) < 0.07


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(1, 25), st.integers(1, 25), st.sampled_from([torch.float32, torch.float64]))
def test_images_of_any_size_stay_images(channels, height, width, dtype):
    images = (torch.rand(3, channels, height, width) > 0.5).to(dtype)
    made = views(ContrastiveViews(colour=1.0, grey=0.5, blur=1.0, scale=(0.01, 1.0), ratio=(0.1, 10.0)), images)
    assert made.dtype == dtype
    assert made.isfinite().all()
    assert made.min() >= 0
    assert made.max() <= 1
