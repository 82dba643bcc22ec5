"""Rendered rooms as a data set: splits, ids, sizes, the cache, and whether they look like rooms."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from testudo.data import scenes
from testudo.data.cache import CACHE_ENV
from testudo.data.rooms.labels import LABELS
from testudo.data.rooms.plan import room
from testudo.data.rooms.raycast import seen
from testudo.data.rooms.render import render
from testudo.data.rooms.shading import Lit
from testudo.data.rooms.views import CLEAR, view
from testudo.data.scenes import RENDERED, TASKS, Scenes
from testudo.errors import TestudoError

SMALL = Scenes(size=(24, 32), rooms=(3, 2, 1), views=2, wanted=TASKS)


@pytest.fixture(scope="module")
def loaded():
    return {split: SMALL.load(split) for split in Scenes.splits}


def same(one, other):
    return all(torch.equal(one.targets[name], other.targets[name]) for name in one.targets) and torch.equal(
        one.images, other.images
    )


def test_no_room_is_in_two_splits_and_no_id_twice(loaded):
    ids = {split: examples.ids.tolist() for split, examples in loaded.items()}
    assert ids == {"train": [0, 1, 3000, 3001, 6000, 6001], "val": [1000, 1001, 4000, 4001], "test": [2000, 2001]}
    rooms = {split: {index // 1000 for index in found} for split, found in ids.items()}
    assert not rooms["train"] & rooms["val"] | rooms["train"] & rooms["test"] | rooms["val"] & rooms["test"]


def test_an_image_is_a_function_of_its_room_and_view_alone(loaded):
    """Whatever else is rendered: other rooms, other views, other tasks, other numbers of threads."""
    other = replace(SMALL, rooms=(1, 1, 2), views=3, wanted=("depth",)).load("train")
    mine, theirs = loaded["train"].batch([0, 1]), other.batch([0, 1])
    assert mine.ids.tolist() == theirs.ids.tolist()
    assert torch.equal(mine.images, theirs.images)
    assert torch.equal(mine.targets["depth"], theirs.targets["depth"])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = SMALL._rendered(0, list(LABELS))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(again["image"], loaded["train"].images.pixels)
    for name in LABELS:
        assert torch.equal(again[name], loaded["train"].targets[name]), name


def test_seeds_rooms_and_views_differ(loaded):
    images = [*loaded["train"].images.pixels, *replace(SMALL, seed=1).load("train").images.pixels]
    for index, image in enumerate(images):
        for other in images[:index]:
            assert (image.float() - other.float()).abs().mean() > 8


def test_another_size_shows_the_same_scene():
    """The middle of every pixel is the middle of every third pixel of an image three times as large."""
    small, large = (replace(SMALL, size=size).load("val").batch(range(4)) for size in ((24, 32), (72, 96)))
    for task in RENDERED:
        if task.name in ("occlusion", "keypoints3d"):
            continue  # these are of a neighbourhood, in pixels
        one, three = small.targets[task.name], large.targets[task.name][..., 1::3, 1::3]
        agree = (one - three).abs() <= 1e-6 * one.abs()
        assert agree.float().mean() > 0.999, task.name  # a ray along an edge may fall to either side
    shrunk = torch.nn.functional.avg_pool2d(large.images, 3)
    assert (shrunk - small.images).abs().mean() < 0.03


def test_supersampling_smooths_colours_and_leaves_labels():
    plain, fine = (replace(SMALL, supersample=each).load("test").batch([0, 1]) for each in (1, 4))
    assert torch.equal(plain.targets["depth"], fine.targets["depth"])
    assert torch.equal(plain.targets["segmentation"], fine.targets["segmentation"])
    reference = replace(SMALL, supersample=8).load("test").batch([0, 1]).images
    assert (fine.images - reference).abs().mean() < 0.2 * (plain.images - reference).abs().mean()


def test_wanted_chooses_the_tasks():
    assert [task.name for task in Scenes().tasks()] == ["segmentation", "depth", "normal"]
    assert [task.name for task in replace(SMALL, wanted=("image", "parts")).tasks()] == ["parts", "image"]
    assert set(replace(SMALL, wanted=("parts", "edges")).load("test").targets) == {"parts"}
    assert {task.name for task in SMALL.tasks()} == set(TASKS)


def test_labels_are_what_their_tasks_want(loaded):
    batch = loaded["train"].batch(range(6))
    for task in SMALL.tasks():
        task.check(batch.targets[task.name])
        assert task.known(batch.targets[task.name]).all()
    assert torch.equal(batch.targets["image"], batch.images)
    for name in ("edges", "occlusion", "keypoints2d", "keypoints3d", "reshading"):
        assert 0 <= batch.targets[name].min() < batch.targets[name].max() <= 1, name


@pytest.fixture(scope="module")
def many():
    """Surfaces seen in two views of forty rooms, with their classes, parts and depths."""

    def look(number):
        made = room(5, number)
        found = []
        for index in range(2):
            camera = view(made, 5, number, index)
            pinhole = camera.camera((24, 32))
            x = (np.arange(32) - pinhole.cx) / pinhole.fx
            y = (np.arange(24) - pinhole.cy) / pinhole.fy
            hit = seen(made.solids, camera.eye, x, y)
            surfaces = made.surfaces
            found.append((made, camera, surfaces.name[hit.surface], surfaces.part[hit.surface], 1 / hit.inverse))
        return found

    with ThreadPoolExecutor(2) as pool:
        return [each for found in pool.map(look, range(40)) for each in found]


def test_every_class_and_part_occurs_and_several_in_nearly_every_view(many):
    names, parts = (np.concatenate([each[place].ravel() for each in many]) for place in (2, 3))
    assert np.bincount(names, minlength=13).min() > 0.002 * len(names)
    assert len(np.bincount(names)) == 13
    assert np.bincount(parts, minlength=10).min() > 0.002 * len(parts)
    assert len(np.bincount(parts)) == 10
    count = np.array([len(np.unique(each[2])) for each in many])
    assert (count >= 5).mean() > 0.95
    assert count.mean() > 6


def test_cameras_stand_like_people_clear_of_everything(many):
    for made, camera, _, _, depth in many:
        place, solids = camera.eye.place, made.solids
        assert (place > 0.25).all()
        assert (place < np.array(made.size) - 0.25).all()
        assert 1.1 < place[2] < 1.8
        local = np.einsum("sij,sj->si", solids.turn[1:], place - solids.centre[1:])
        gap = np.linalg.norm(np.maximum(np.abs(local) - solids.half[1:], 0), axis=1)
        assert gap.min() > CLEAR * 0.99
        np.testing.assert_allclose(camera.eye.turn @ camera.eye.turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.eye.turn) == pytest.approx(1)  # right x down = ahead
        assert camera.eye.turn[1, 2] < -0.8  # down is down
        assert depth.min() > 0.2
        assert depth.max() < 9


def test_things_are_inside_of_their_room_and_upright(many):
    for made, *_ in many[::2]:
        low, high = (made.solids.centre + sign * made.solids.extent() for sign in (-1, 1))
        tall = high[:, 2] > 0.03  # rugs may reach under a wall
        assert low[tall].min() > -0.06
        assert (high[tall] - made.size).max() < 0.06
        assert len(made.solids) > 40


def test_floors_lie_low_and_ceilings_high(loaded):
    batch = loaded["train"].batch(range(6))
    up = -batch.targets["normal"][:, 1]
    classes = batch.targets["segmentation"]
    floor, ceiling = (classes == SMALL.tasks()[0].labels.index(name) for name in ("floor", "ceiling"))
    assert up[floor].mean() > 0.8
    assert (up[ceiling] < -0.8).all()


def test_shadows_darken_and_light_does_not_leak(loaded):
    """No pixel is black or burnt over large parts; contrast is that of photographs."""
    images = loaded["train"].batch(range(6)).images
    mean, std = images.mean((1, 2, 3)), images.std((1, 2, 3))
    assert ((mean > 0.25) & (mean < 0.8)).all()
    assert (std > 0.08).all()
    assert (images == 0).float().mean() < 0.01


def test_what_was_rendered_is_read_again_and_damage_is_mended(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_ENV, str(tmp_path))
    few = replace(SMALL, wanted=("depth",))
    first = few.load("test")
    (file,) = tmp_path.iterdir()
    calls = []

    def counted(*given):
        calls.append(given)
        return render(*given)

    monkeypatch.setattr(scenes, "render", counted)
    assert same(few.load("test").batch([0, 1]), first.batch([0, 1]))
    assert not calls
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert same(few.load("test").batch([0, 1]), first.batch([0, 1]))
    assert len(calls) == 2
    assert file.read_bytes() == whole
    monkeypatch.setattr(scenes, "VERSION", scenes.VERSION + 1)
    few.load("test")
    assert len(calls) == 4


def test_the_picture_is_that_of_the_labels():
    """Edges of the image lie at borders of things much more often than elsewhere."""
    lit = Lit.of(room(0, 4))
    frame = render(lit, view(lit.room, 0, 4, 0), (96, 128), 2)
    grey = frame.image.astype(float).mean(0)
    border = np.diff(frame.surface, axis=1) != 0
    step = np.abs(np.diff(grey, axis=1))
    assert step[border].mean() > 3 * step[~border].mean()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (4, 64)}, r"size must be height and width of at least 8 pixels, got \(4, 64\)"),
        ({"rooms": (1, 0, 1)}, r"rooms must be at least one each for train, val and test, got \(1, 0, 1\)"),
        ({"views": 0}, "views must be 1 to 1000, got 0"),
        ({"views": 1001}, "views must be 1 to 1000, got 1001"),
        ({"supersample": 9}, "supersample must be 1 to 8, got 9"),
        ({"wanted": ("dept",)}, r"unknown scenes task 'dept'; did you mean 'depth'\?"),
        ({"wanted": ()}, "wanted must name at least one task"),
        ({"wanted": ("depth", "depth")}, "wanted names 'depth' twice"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(TestudoError, match=message):
        Scenes(**wrong)
