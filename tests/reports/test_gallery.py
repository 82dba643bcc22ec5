from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from testudo.errors import TestudoError
from testudo.reports.gallery import cards, png
from testudo.reports.page import Part, render
from testudo.reports.study import Gallery, read_gallery

TOLD = {"group": "g", "run": "r", "example": 3, "attack": "a", "task lines": [], "linf": 0.1, "l2": 0.15}


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pictures_hold_the_pixels(channels):
    image = np.random.default_rng(0).random((channels, 6, 5))
    shown = decoded(png(image))
    expected = image[0] if channels == 1 else np.moveaxis(image[:3], 0, -1)
    np.testing.assert_allclose(shown / 255, expected, atol=0.5 / 255 + 1e-9)


def test_a_perturbation_is_amplified_by_the_factor_stated():
    clean = np.full((1, 1, 2, 2), 0.5, np.float32)
    hit = clean + np.array([[[[0.1, -0.1], [0.05, 0]]]], np.float32)
    (level,) = cards(Gallery(clean, hit, (TOLD,)))[0].levels
    assert level.factor == "×5"
    np.testing.assert_allclose(decoded(level.noise), [[255, 0], [191, 128]], atol=1)
    (still,) = cards(Gallery(clean, clean, (TOLD,)))[0].levels
    assert still.factor == "×1"


def test_only_a_new_winner_is_marked(gallery):
    assert [line.after[0].changed for line in cards(gallery)[0].lines] == [True, False]


def test_attacks_that_differ_in_radius_share_a_card_by_radius(folder):
    """Four examples, three balls each; the middle and the large one change the digit."""
    held = read_gallery(folder)
    backwards = Gallery(held.images[::-1], held.adversarial[::-1], held.meta[::-1])
    for shown in (held, backwards):
        made = cards(shown)
        assert len(made) == 4
        for card in made:
            assert [level.eps for level in card.levels] == ["0.05", "0.1", "0.2"]
            assert [after.changed for after in card.lines[0].after] == [False, True, True]
            assert len({level.adversarial for level in card.levels}) == 3
    place = next(i for i, told in enumerate(held.meta) if told["eps"] == 0.2)
    np.testing.assert_allclose(
        decoded(cards(held)[0].levels[2].adversarial) / 255, held.adversarial[place, 0], atol=0.5 / 255 + 1e-6
    )


def test_others_have_a_card_of_their_own(gallery):
    """Another attack, or other tasks told: nothing to slide between."""
    told = [{**TOLD, "series": "a", "eps": eps} for eps in (0.1, 0.2)]
    images = gallery.images[:2]
    assert len(cards(Gallery(images, images, tuple(told)))) == 1
    line = {"task": "digit", "truth": "3", "before": "3 (99%)", "after": "3 (99%)"}
    for change in ({"series": "b"}, {"example": 4}, {"group": "h"}, {"task lines": [line]}):
        assert len(cards(Gallery(images, images, (told[0], told[1] | change)))) == 2
    assert len(cards(Gallery(images, images, (TOLD, TOLD)))) == 2


def test_maps_are_shown_beside_their_example(results):
    maps = np.zeros((3, 4, 5, 3), np.uint8)
    maps[1], maps[2] = 100, 200
    meta = {**TOLD, "task maps": [{"task": "rooms", "truth": 0, "before": 1, "after": 2}]}
    image = np.zeros((1, 3, 4, 5), np.float32)
    shown = Gallery(image, image, (meta,), maps)
    (row,) = cards(shown)[0].maps
    assert [decoded(uri).mean() for uri in (row.truth, row.before, *row.after)] == [0, 100, 200]
    assert 'alt="rooms of example 3: after"' in render([Part(results, shown)])
    with pytest.raises(TestudoError, match="a gallery of 2 maps is asked for"):
        Gallery(image, image, (meta,), maps[:2])


def test_a_gallery_must_fit_together(gallery):
    with pytest.raises(TestudoError, match="k images"):
        Gallery(gallery.images, gallery.adversarial[:1], gallery.meta)
    with pytest.raises(TestudoError, match="lacks 'run'"):
        Gallery(gallery.images[:1], gallery.adversarial[:1], ({"group": "g"},))
    with pytest.raises(TestudoError, match="has the eps 'far'"):
        Gallery(gallery.images[:1], gallery.adversarial[:1], ({**TOLD, "eps": "far"},))


def test_no_script_is_needed_to_see_every_radius(results, folder):
    page = render([Part(results, read_gallery(folder))])
    assert page.count('<p class="slider" hidden>') == 4
    assert page.count('class="hit"') == 4 * 3
    assert "data-level" in page
    plain = render([Part(results, replace(read_gallery(folder), meta=tuple({**TOLD} for _ in range(12))))])
    assert 'class="slider"' not in plain
    assert json.dumps(TOLD["attack"]) not in plain
