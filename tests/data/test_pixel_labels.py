"""Edges, corners and histograms against scikit-image, and against what can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import feature, filters
from sklearn.datasets import load_sample_images

from testudo.data.canny import canny
from testudo.data.gradients import LUMA, grey, sobel
from testudo.data.harris import harris
from testudo.data.hog import hog, spread

WINDOW = 96


@pytest.fixture(scope="module")
def photos():
    """Windows of two photographs: (6, 3, 96, 96)."""
    whole = np.stack(load_sample_images().images)
    windows = [whole[i, y : y + WINDOW, x : x + WINDOW] for i in (0, 1) for y, x in ((50, 60), (200, 300), (300, 500))]
    return torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2) / 255


def test_grey_levels_are_rec_601(photos):
    assert math.isclose(sum(LUMA), 1)
    expected = (photos.double() * torch.tensor(LUMA)[:, None, None]).sum(1)
    np.testing.assert_allclose(grey(photos), expected, rtol=0, atol=1e-7)
    assert np.array_equal(grey(photos[:, :1]), photos[:, 0].double().numpy())
    np.testing.assert_allclose(grey(photos[:, :2]), photos[:, :2].double().mean(1), atol=1e-12)


def test_sobel_is_scikit_images(photos):
    for level, found in zip(grey(photos), sobel(photos), strict=True):
        np.testing.assert_allclose(found[0], filters.sobel(level), atol=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("low", "high"), [(0.025, 0.05), (0.05, 0.1), (0.0, 0.2)])
def test_canny_is_scikit_images(photos, sigma, low, high):
    found = canny(photos, sigma, low, high)[:, 0].bool().numpy()
    assert 0.005 < found.mean() < 0.3
    for level, edges in zip(grey(photos), found, strict=True):
        # theirs takes Sobel's differences without their factor of a quarter
        assert np.array_equal(edges, feature.canny(level, sigma, 4 * low, 4 * high, mode="nearest"))


@pytest.mark.parametrize(("sigma", "k"), [(1.0, 0.05), (1.5, 0.15)])
def test_harris_is_scikit_images_inside(photos, sigma, k):
    inner = (slice(8, -8), slice(8, -8))  # theirs sees black beyond the border
    for level, found in zip(grey(photos), harris(photos, sigma, k), strict=True):
        theirs = feature.corner_harris(level, k=k, sigma=sigma) / 4**4
        assert (theirs > 0).mean() > 0.1
        np.testing.assert_allclose(found[0][inner], (theirs.clip(min=0) ** 0.25)[inner], atol=1e-6)


def test_histograms_have_scikit_images_votes(photos):
    """Theirs gives each vote to one bin; bins of a twentieth of a degree can be put together in any shares."""
    place = (np.arange(3600) + 0.5) / 400 - 0.5
    shares = (1 - np.abs((place[:, None] - np.arange(9) + 4.5) % 9 - 4.5)).clip(min=0)
    np.testing.assert_allclose(shares.sum(1), 1)
    for image, ours in zip(photos, hog(photos, 16).numpy(), strict=True):
        votes = feature.hog(image.double().numpy(), 3600, (16, 16), (6, 6), "L1", feature_vector=False, channel_axis=0)
        # theirs has no slope across the border: only cells whose blocks keep away from it are the same
        np.testing.assert_allclose(normalised(votes[0, 0] @ shares)[:, 2:4, 2:4], ours[:, 2:4, 2:4], atol=1e-3)


@pytest.mark.parametrize("degrees", range(10, 180, 20))
def test_a_ramp_votes_as_in_scikit_image(degrees):
    """At the centre of a bin both ways of voting agree: inside the image all of a cell is in one bin."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    turn = math.radians(degrees)
    ramp = 0.5 + (x * math.cos(turn) + y * math.sin(turn)) / 100
    blocks = feature.hog(ramp.double().numpy(), 9, (8, 8), (2, 2), "L2-Hys", feature_vector=False)
    found = hog(ramp[None, None], 8)[0, :, 2, 2]
    np.testing.assert_allclose(found, blocks[1, 1, 1, 1], atol=1e-4)
    assert found.argmax() == degrees // 20


def by_hand(image, cell):
    """Dalal and Triggs' histograms of an image (C, H, W), a pixel at a time."""
    channels, height, width = image.shape
    rows, columns = max(1, height // cell), max(1, width // cell)
    votes = np.zeros((rows, columns, 9))
    for y in range(height):
        for x in range(width):
            down = image[:, min(y + 1, height - 1), x] - image[:, max(y - 1, 0), x]
            right = image[:, y, min(x + 1, width - 1)] - image[:, y, max(x - 1, 0)]
            length, channel = max((math.hypot(down[c], right[c]), -c) for c in range(channels))
            place = math.degrees(math.atan2(down[-channel], right[-channel])) % 180 / 20 - 0.5
            at = votes[min(y // cell, rows - 1), min(x // cell, columns - 1)]
            at[math.floor(place) % 9] += length * (1 - place % 1)
            at[(math.floor(place) + 1) % 9] += length * (place % 1)
    return normalised(votes)


def normalised(votes):
    """(rows, columns, 9) votes -> (9, rows, columns), a block at a time."""
    rows, columns, _ = votes.shape
    found = [[[] for _ in range(columns)] for _ in range(rows)]
    high, wide = min(2, rows), min(2, columns)
    for y in range(rows - high + 1):
        for x in range(columns - wide + 1):
            block = votes[y : y + high, x : x + wide]
            block = (block / math.sqrt((block**2).sum() + 1e-10)).clip(max=0.2)
            block /= math.sqrt((block**2).sum() + 1e-10)
            for dy in range(high):
                for dx in range(wide):
                    found[y + dy][x + dx].append(block[dy, dx])
    return np.array([[np.mean(cells, 0) for cells in row] for row in found]).transpose(2, 0, 1)


CELLS = [((3, 11, 14), 4), ((1, 8, 8), 8), ((2, 5, 17), 6), ((3, 1, 1), 8)]


@pytest.mark.parametrize(("shape", "cell"), CELLS, ids=str)
def test_histograms_are_those_by_hand(shape, cell):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(hog(image[None], cell)[0], by_hand(image.numpy(), cell), atol=1e-6)


def test_a_histogram_is_spread_over_its_cell_and_what_is_left_over():
    cells = torch.arange(6.0).reshape(1, 1, 2, 3).expand(1, 9, 2, 3)
    found = spread(cells, 2, (5, 6))
    assert found.shape == (1, 9, 5, 6)
    assert found[0, 8].tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 3
    assert spread(cells[:, :, :1, :1], 8, (3, 2)).unique().tolist() == [0]


def test_a_disc_has_edges_of_one_pixel_all_around():
    y, x = np.mgrid[:41, :41] - 20.0
    disc = torch.from_numpy(np.clip(12.5 - np.hypot(y, x), 0, 1)).float()[None, None]
    found = canny(disc, 1.0, 0.05, 0.1)[0, 0].bool().numpy()
    away = np.abs(np.hypot(y, x)[found] - 12)
    assert away.max() < 1
    turns = np.degrees(np.arctan2(y, x)[found])
    assert np.diff(np.sort(turns)).max() < 8
    assert found.sum() < 2 * math.pi * 12 * 1.5


def test_weak_edges_count_only_where_they_join_strong_ones():
    image = torch.zeros(2, 1, 12, 16)
    image[:, :, :, 5:] = 0.2  # a line whose slope is 0.2
    image[0, :, :3, 5:] = 0.9  # and of one of them 0.9 at the top
    found = canny(image, 0.0, 0.1, 0.5)[:, 0]
    assert found[0].sum() >= 8
    assert found[1].sum() == 0  # the other one's strong pixels are none of its


def test_corners_of_a_square_respond_and_its_sides_do_not():
    square = torch.zeros(1, 1, 33, 33)
    square[..., 10:23, 10:23] = 1
    found = harris(square, 1.0, 0.05)[0, 0]
    peaks = (found == found.max()).nonzero().tolist()
    assert len(peaks) == 4
    assert all(min(abs(y - e) for e in (10, 22)) <= 1 >= min(abs(x - e) for e in (10, 22)) for y, x in peaks)
    assert found[10, 16] == found[16, 22] == found[0, 0] == 0


@pytest.mark.parametrize("contrast", [0.5, 0.1])
def test_corners_and_slopes_go_with_the_contrast(photos, contrast):
    for find in (sobel, lambda x: harris(x, 1.0, 0.05)):
        torch.testing.assert_close(find(photos * contrast), find(photos) * contrast, atol=1e-6, rtol=1e-4)


MAKERS = {
    "sobel": sobel,
    "canny": lambda x: canny(x, 1.0, 0.02, 0.05),
    "harris": lambda x: harris(x, 1.0, 0.05),
    "hog": lambda x: hog(x, 8),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS)
def find(request):
    return request.param


def test_an_example_is_the_same_in_any_batch(photos, find):
    small = photos[:, :, :50, :77]  # not contiguous
    for images in (photos, small):
        whole = find(images)
        for size in (1, 2, 5):
            assert torch.equal(torch.cat([find(part) for part in images.split(size)]), whole)
        assert torch.equal(find(images.flip(0)), whole.flip(0))


def test_a_mirrored_image_has_mirrored_labels(photos, find):
    plain, mirrored = find(photos), find(photos.flip(3)).flip(3)
    if plain.shape[1] == 9:
        mirrored = mirrored.flip(1)
    different = (plain - mirrored).abs() > 1e-6
    assert different.float().mean() < 1e-3  # an edge of Canny's may hang on one rounding


@given(st.sampled_from([1, 3]), st.integers(0, 12), st.integers(1, 12), st.sampled_from(["noise", "plain", "binary"]))
@settings(max_examples=60, deadline=None)
def test_any_image_gives_numbers_in_range(channels, height, width, kind):
    draw = torch.Generator().manual_seed(height * 13 + width)
    images = torch.rand(3, channels, max(height, 1), width, generator=draw)
    images = {"noise": images, "plain": images[:, :, :1, :1].expand_as(images), "binary": images.round()}[kind]
    for name, maker in MAKERS.items():
        found = maker(images[: min(height, 3)])
        assert found.dtype == torch.float32
        assert found.shape[:2] == (min(height, 3), 9 if name == "hog" else 1)
        assert found.isfinite().all()
        assert ((found >= 0) & (found <= (1 if name in ("hog", "canny") else 0.8))).all()
        assert kind != "plain" or not found.any()
