"""Colour changes against Pillow and colorsys, and what each of them leaves alone."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from testudo.data.colour import STREAM, Colour
from testudo.errors import TestudoError
from testudo.tensors import uniform

IDS = torch.arange(30) * 3
PARTS = ("brightness", "contrast", "saturation", "hue")


@pytest.fixture(scope="module")
def images():
    """Noise in 8 bits, so that Pillow has the same."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 3, 6, 7), dtype=np.uint8)) / 255


def draws(seed, epoch):
    """(30, 4) in (-1, 1): how far each part goes."""
    return (2 * uniform(IDS, (4,), seed, epoch, STREAM) - 1).numpy()


def test_nothing_asked_nothing_done(images):
    assert torch.equal(Colour()(images, IDS, 0, 0), images)


@pytest.mark.parametrize(
    ("part", "enhance"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
def test_each_is_pillows(images, part, enhance):
    out = Colour(**{part: 0.8})(images, IDS, 4, 2)
    for row, draw in enumerate(draws(4, 2)[:, PARTS.index(part)]):
        plain = Image.fromarray((images[row].permute(1, 2, 0) * 255).round().byte().numpy())
        theirs = np.array(enhance(plain).enhance(1 + 0.8 * float(draw))) / 255
        assert np.abs(out[row].permute(1, 2, 0).numpy() - theirs).max() < 2.5 / 255  # it rounds grey levels and results


def test_hue_is_that_of_colorsys(images):
    out = Colour(hue=0.5)(images, IDS, 1, 0)
    for row, turn in enumerate(draws(1, 0)[:, 3] * 0.5):
        for y, x in ((0, 0), (2, 3), (5, 6)):
            hue, saturation, value = colorsys.rgb_to_hsv(*images[row, :, y, x].tolist())
            expected = colorsys.hsv_to_rgb((hue + float(turn)) % 1, saturation, value)
            np.testing.assert_allclose(out[row, :, y, x], expected, atol=1e-5)


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_grey_pixels_and_ties_are_no_trouble(grey):
    plain = torch.full((5, 3, 4, 4), grey)
    strong = Colour(saturation=1.0, hue=0.5)
    assert (strong(plain, torch.arange(5), 0, 0) - plain).abs().max() < 1e-6
    corners = torch.tensor([[r, g, b] for r in (0.0, 1.0) for g in (0.0, 1.0) for b in (0.0, 1.0)]).reshape(8, 3, 1, 1)
    turned = Colour(hue=0.5)(corners, torch.arange(8), 0, 0)
    assert (turned.amax(1) - corners.amax(1)).abs().max() < 1e-6
    assert (turned.amin(1) - corners.amin(1)).abs().max() < 1e-6


def test_grey_images_have_no_saturation_and_no_hue(images):
    assert torch.equal(Colour(saturation=1.0, hue=0.5)(images[:, :1], IDS, 0, 0), images[:, :1])
    assert not torch.equal(Colour(contrast=0.5)(images[:, :1], IDS, 0, 0), images[:, :1])


def test_an_example_is_changed_alike_in_any_batch_and_stays_in_range(images):
    strong = Colour(1.0, 1.0, 1.0, 0.5)
    whole = strong(images, IDS, 0, 0)
    assert 0 <= whole.min() <= whole.max() <= 1
    for size in (1, 7):
        parts = [strong(a, b, 0, 0) for a, b in zip(images.split(size), IDS.split(size), strict=True)]
        assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(strong(images, IDS, 0, 1), whole)
    assert strong(images.half(), IDS, 0, 0).dtype == torch.float16
    assert len(strong(images[:0], IDS[:0], 0, 0)) == 0


@pytest.mark.parametrize("wrong", [{"brightness": -0.1}, {"contrast": 1.1}, {"hue": 0.6}, {"saturation": float("nan")}])
def test_impossible_strengths_are_refused(wrong):
    with pytest.raises(TestudoError, match=r"colour: strengths must be in \[0, 1\], that of hue in \[0, 0.5\]"):
        Colour(**wrong)
