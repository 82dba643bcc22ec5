"""The parts that rooms are made of: draws, patterns, plans, light."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from testudo.data.rooms.dice import Dice
from testudo.data.rooms.hits import Points
from testudo.data.rooms.patterns import LEVELS, NUMBER, PICTURES, SCREENS, SIDE, VIEWS, atlas, texels
from testudo.data.rooms.plan import APART, _Plan, room
from testudo.data.rooms.raycast import Eye
from testudo.data.rooms.shading import Lit, _light, tone
from testudo.data.rooms.solids import BOX, Solids

TILED = ("plaster", "boards", "tiles", "brick", "carpet", "cloth", "damask", "stripes", "leaves")


def test_dice_are_fair_seeded_and_independent():
    dice = Dice(3, 7)
    values = [dice.between(-1, 3) for _ in range(2000)]
    assert kstest(values, "uniform", (-1, 4)).pvalue > 0.001
    again, other = Dice(3, 7), Dice(3, 8)
    assert values[:600] == [again.between(-1, 3) for _ in range(600)]
    assert abs(np.corrcoef(values, [other.between(-1, 3) for _ in range(2000)])[0, 1]) < 0.1
    assert {dice.whole(2, 4) for _ in range(100)} == {2, 3, 4}
    assert {dice.pick("ab") for _ in range(50)} == {"a", "b"}
    assert sorted(dice.shuffled(range(9))) == list(range(9))
    assert 0.2 < np.mean([dice.chance(0.3) for _ in range(500)]) < 0.4


def looked_up(name, footprint, count=4000):
    draw = np.random.default_rng(0)
    along, across = draw.uniform(-3, 3, (2, count)).astype(np.float32)
    pattern = np.full(count, NUMBER[name], np.int32)
    return along, across, texels(pattern, along, across, np.full(count, footprint, np.float32))


@pytest.mark.parametrize("name", NUMBER)
def test_patterns_are_painted_and_keep_their_mean_when_they_shrink(name):
    start = NUMBER[name] * SIDE * SIDE
    full = atlas().texels[start : start + SIDE * SIDE].view(np.uint8).reshape(-1, 4)[:, :3].astype(float)
    assert full.std() > 2
    assert full.max() > 40
    *_, blurred = looked_up(name, 2.0 ** (LEVELS + 3))
    np.testing.assert_allclose(blurred[:, :3].mean(0), full.mean(0), atol=3)
    *_, sharp = looked_up(name, 1.0)
    assert sharp[:, :3].astype(float).std() > 0.8 * full.std()


def test_texels_are_those_of_the_place_and_repeat():
    along, across, found = looked_up("tiles", 0.5)
    u, v = ((np.floor((at % 1) * SIDE).astype(int)) % SIDE for at in (along, across))
    start = NUMBER["tiles"] * SIDE * SIDE
    picture = atlas().texels[start : start + SIDE * SIDE].view(np.uint8).reshape(SIDE, SIDE, 4)
    assert (found == picture[v, u]).all(1).mean() > 0.99  # float32 rounds some to the texel beside
    again = texels(np.full(len(along), NUMBER["tiles"], np.int32), along + 8, across - 4, np.full(len(along), 0.5, "f"))
    assert (found == again).all(1).mean() > 0.99


@pytest.mark.parametrize("name", TILED)
def test_tiled_patterns_have_no_seam(name):
    start = NUMBER[name] * SIDE * SIDE
    picture = atlas().texels[start : start + SIDE * SIDE].view(np.uint8).reshape(SIDE, SIDE, 4)[..., 0].astype(float)
    for axis in (0, 1):
        steps = np.abs(np.diff(picture, axis=axis, append=picture[:1] if axis == 0 else picture[:, :1])).mean(1 - axis)
        assert steps[-1] <= 1.5 * steps[:-1].max()


def test_pictures_differ():
    flat = [looked_up(name, 1.0)[2].astype(float) for name in (*PICTURES, *VIEWS, *SCREENS)]
    for index, one in enumerate(flat):
        for other in flat[:index]:
            assert np.abs(one - other).mean() > 5


def test_pieces_stand_apart_from_each_other_and_from_the_door():
    for number in range(40):
        plan = _Plan(Dice(number, 11, 0))
        plan.build()
        # what is narrower is a radiator, which hangs wherever its window is
        areas = [area for area in plan.taken if min(area[1] - area[0], area[3] - area[2]) > 0.13]
        for index, (west, east, south, north) in enumerate(areas):
            assert -1e-9 < west < east < plan.size[0] + 1e-9
            assert -1e-9 < south < north < plan.size[1] + 1e-9
            assert all(max(w - east, west - e, s - north, south - n) > APART for w, e, s, n in areas[:index])
        assert len(plan.lights) >= 2
        assert len(areas) >= 3


def test_rooms_are_a_function_of_seed_and_number():
    one, two, other, seeded = room(0, 5), room(0, 5), room(0, 6), room(1, 5)
    assert np.array_equal(one.solids.centre, two.solids.centre)
    assert np.array_equal(one.surfaces.dark, two.surfaces.dark)
    assert one.size != other.size
    assert one.size != seeded.size


def test_solids_have_upright_frames():
    for number in range(5):
        solids = room(2, number).solids
        np.testing.assert_allclose(
            solids.turn @ solids.turn.transpose(0, 2, 1), np.eye(3)[None].repeat(len(solids), 0), atol=1e-12
        )
        assert (np.linalg.det(solids.turn) > 0.99).all()
        assert (solids.half > 0).all()
        assert solids.kind[0] == BOX
        assert isinstance(solids.pick(solids.kind == BOX), Solids)


def test_an_eye_looks_where_it_is_told():
    north = Eye.looking(np.zeros(3), 0.0, 0.0, 0.0)
    np.testing.assert_allclose(north.turn, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(Eye.looking(np.zeros(3), np.pi / 2, 0.0, 0.0).turn[2], [-1, 0, 0], atol=1e-12)
    assert Eye.looking(np.zeros(3), 0.3, 0.4, 0.0).turn[2, 2] > 0  # a positive pitch looks up


def lit_floor(number):
    """Light on a grid of the floor, and which cells have something low over them."""
    lit = Lit.of(room(4, number))
    east, north, _ = lit.room.size
    x, y = np.meshgrid(np.linspace(0.4, east - 0.4, 40), np.linspace(0.4, north - 0.4, 40))
    place = np.stack([x.ravel(), y.ravel(), np.full(x.size, 0.001)]).astype(np.float32)
    normal = np.zeros_like(place)
    normal[2] = 1
    light = _light(lit, Points(place, normal), np.zeros(x.size, np.float32))[:, :3].mean(1)
    solids, extent = lit.room.solids, lit.room.solids.extent()
    low, high = solids.centre - extent, solids.centre + extent
    tables = (low[:, 2] > 0.25) & (high[:, 2] < 1.2) & (extent[:, :2].min(1) > 0.25)
    gap = np.abs(place[None, :2] - solids.centre[tables, :2, None]) - extent[tables, :2, None]
    return light, (gap < 0).all(1).any(0)


def test_it_is_darker_under_things():
    ratios = []
    for number in range(12):
        light, under = lit_floor(number)
        assert (light > 0.02).all()
        if under.sum() > 10:
            ratios.append(light[under].mean() / light[~under].mean())
    assert len(ratios) >= 4
    assert np.mean(ratios) < 0.8


def test_tone_rises_and_never_wraps():
    values = np.linspace(0, 50, 5000, dtype=np.float32)
    out = tone(values).astype(int)
    assert (np.diff(out) >= 0).all()
    assert out[0] == 0
    assert out[-1] == 255
    assert tone(np.array([0.2140])).item() == pytest.approx(255 * 0.2140 ** (1 / 2.2), abs=1)
