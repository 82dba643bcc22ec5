"""Occlusion edges of scenes whose depth is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from testudo.data.occlusion import occlusion

ROWS, COLUMNS = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")


def plane(a, b, c):
    """Inverse depth of a plane, (24, 32)."""
    return a * (COLUMNS - 16) / 32 + b * (ROWS - 12) / 24 + c


def of(nearness):
    return occlusion(nearness[None, None])[0, 0]


@pytest.mark.parametrize("slant", [(0.0, 0.0), (0.9, 0.0), (-0.7, 0.4)])
def test_a_plane_has_none(slant):
    assert of(plane(*slant, 1.0)).max() < 1e-5


@pytest.mark.parametrize(("near", "far"), [(1.0, 4.0), (2.0, 2.5), (0.5, 80.0)])
def test_a_card_before_a_wall_has_them_all_around_on_both_sides(near, far):
    card = (ROWS >= 8) & (ROWS < 16) & (COLUMNS >= 10) & (COLUMNS < 20)
    found = of(torch.where(card, 1 / near, 1 / far))
    inner = (ROWS >= 9) & (ROWS < 15) & (COLUMNS >= 11) & (COLUMNS < 19)
    inside = card & ~inner
    around = ((ROWS >= 7) & (ROWS < 17) & (COLUMNS >= 10) & (COLUMNS < 20) & ~card) | (
        (ROWS >= 8) & (ROWS < 16) & (COLUMNS >= 9) & (COLUMNS < 21) & ~card
    )
    torch.testing.assert_close(found[inside | around], torch.full((int((inside | around).sum()),), 1 - near / far))
    assert found[~(inside | around)].max() == 0


def test_a_corner_of_a_room_is_no_gap():
    """Two walls that meet: the depth is steady, its slope is not."""
    room = torch.maximum(plane(0.8, 0.0, 1.0), plane(-0.8, 0.0, 1.0))
    assert of(room).max() < 0.03
    gap = torch.where(COLUMNS < 16, plane(0.8, 0.0, 1.0), plane(0.8, 0.0, 1.5))
    assert of(gap)[:, 15:17].min() > 0.25


def test_a_pole_of_one_pixel_is_seen():
    pole = torch.full((5, 9), 0.25)
    pole[:, 4] = 1.0
    found = of(pole)
    assert found[2].tolist() == [0, 0, 0, 0.75, 0.75, 0.75, 0, 0, 0]


def test_unknown_depth_is_unknown_and_makes_no_edge():
    card = torch.where(COLUMNS < 16, 1.0, 0.25)
    holed = card.clone()
    holed[5:9, 14:18] = torch.nan  # across the edge
    holed[20, 3] = torch.nan
    found, whole = of(holed), of(card)
    assert torch.equal(found.isnan(), holed.isnan())
    known = ~holed.isnan()
    assert torch.equal(found[known], whole[known])
    alone = torch.full((1, 1, 5, 5), torch.nan)
    alone[0, 0, 2, 2] = 1.0
    assert occlusion(alone).isnan().all()  # nothing to compare it with
    assert occlusion(torch.ones(1, 1, 1, 1)).isnan().all()
    assert occlusion(torch.ones(0, 1, 4, 4)).shape == (0, 1, 4, 4)


def by_hand(x):
    """The definition, a pixel at a time, of (H, W) lists."""
    height, width = len(x), len(x[0])

    def at(y, x_):
        return x[y][x_] if 0 <= y < height and 0 <= x_ < width else math.nan

    def gap(y, x_, dy, dx):
        here, there = at(y, x_), at(y + dy, x_ + dx)
        before, behind = at(y - dy, x_ - dx), at(y + 2 * dy, x_ + 2 * dx)
        ways = [there - here, (there - here) - (here - before), (there - here) - (behind - there)]
        known = [abs(way) for way in ways if not math.isnan(way)]
        return math.nan if math.isnan(there - here) else min(1, min(known) / (max(here, there) or 1))

    four = ((0, 1), (0, -1), (1, 0), (-1, 0))
    gaps = [[[gap(y, x_, *step) for step in four] for x_ in range(width)] for y in range(height)]
    return [[max((g for g in each if not math.isnan(g)), default=math.nan) for each in row] for row in gaps]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_it_is_the_definition(height, width, seed):
    draw = torch.Generator().manual_seed(seed)
    nearness = torch.rand(2, 1, height, width, generator=draw, dtype=torch.float64).round(decimals=1)
    nearness[torch.rand(nearness.shape, generator=draw) < 0.2] = torch.nan
    expected = torch.tensor([by_hand(example[0].tolist()) for example in nearness], dtype=torch.float32)[:, None]
    found = occlusion(nearness)
    torch.testing.assert_close(found.float(), expected, equal_nan=True)
    assert torch.equal(torch.cat([occlusion(part) for part in nearness.split(1)]).nan_to_num(-1), found.nan_to_num(-1))
    assert ((found >= 0) & (found <= 1) | found.isnan()).all()
