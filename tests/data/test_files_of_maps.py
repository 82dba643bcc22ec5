"""What the loaders of maps stand on: digests of files, planes of numbers, nearest pixels, doubts, faults."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from testudo.data import content
from testudo.data.content import digests, stamp
from testudo.data.faults import refuse, skipped
from testudo.data.images import plane, size_of
from testudo.data.plausible import Range, warn
from testudo.data.resize import coloured, matching, nearest
from testudo.errors import TestudoError


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{index}.bin" for index in range(5)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index]))
    return paths


@pytest.mark.parametrize("many", [1, 100])
def test_digests_are_of_the_content_and_of_now(files, monkeypatch, many):
    monkeypatch.setattr(content, "MANY", many)
    names = [path.name for path in files]
    expected = [hashlib.sha256(bytes([index])).digest() for index in range(5)]
    assert digests(files, names) == digests(files, names) == expected
    files[2].write_bytes(b"\x09")  # of the same size
    assert digests(files, names)[2] == hashlib.sha256(b"\x09").digest()
    files[3].unlink()
    with pytest.raises(TestudoError, match=r"^3\.bin: cannot read image '.*3\.bin': No such file"):
        digests(files, names)


def test_many_files_are_read_only_once(files, monkeypatch):
    monkeypatch.setattr(content, "MANY", 3)
    names = [path.name for path in files]
    first = digests(files, names)
    monkeypatch.setattr(content, "contents", None)  # nothing is read any more
    assert digests(files, names) == first


def test_a_stamp_knows_names_sizes_and_times(files):
    seen = {stamp(files), stamp(files[::-1])}
    os.utime(files[0], (1, 1))
    seen.add(stamp(files))
    files[1].write_bytes(b"longer")
    seen.add(stamp(files))
    files[2].unlink()
    seen.add(stamp(files))
    assert len(seen) == 5
    assert stamp(files) == stamp(files)


PLANES = [
    (np.uint8, "PNG", False),
    (np.uint16, "PNG", True),
    (np.int32, "TIFF", True),
]


@pytest.mark.parametrize(("kind", "end", "deep"), PLANES)
def test_planes_hold_the_numbers_of_the_file(tmp_path, kind, end, deep):
    array = np.arange(35).reshape(5, 7).astype(kind) * (1 if kind == np.uint8 else 1800)
    Image.fromarray(array).save(tmp_path / f"x.{end}")
    found = plane(tmp_path / f"x.{end}", "set", deep)
    assert found.dtype == kind
    assert (found == array).all()
    with pytest.raises(TestudoError, match=r"^set: image '.*x\..*' must hold one number of .*, it has mode"):
        plane(tmp_path / f"x.{end}", "set", not deep)


def test_the_indices_of_a_palette_are_its_numbers(tmp_path):
    array = np.array([[3, 1], [0, 2]], np.uint8)
    image = Image.fromarray(array).convert("P")
    image.putdata(array.flatten().tolist())
    image.putpalette([200, 100, 0, 0, 0, 0, 9, 9, 9, 250, 250, 250])
    image.save(tmp_path / "x.png")
    assert (plane(tmp_path / "x.png", "set") == array).all()


@given(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 40)] * 2))
def test_the_nearest_pixel_is_the_one_a_centre_lies_in(old, new):
    grid = np.stack(np.meshgrid(np.arange(old[0]), np.arange(old[1]), indexing="ij"))
    rows, columns = grid[:, *nearest(old, new)]
    assert rows.shape == columns.shape == new
    assert (rows == rows[:, :1]).all()
    assert (columns == columns[:1]).all()
    for found, before, after in ((rows[:, 0], old[0], new[0]), (columns[0], old[1], new[1])):
        for index, pixel in enumerate(found):  # the centre, in units of 1 / (2 after), lies between the pixel's borders
            centre = (2 * index + 1) * before
            assert 2 * after * pixel <= centre < 2 * after * (pixel + 1)


def test_maps_must_be_as_large_as_their_image(tmp_path):
    paths = {size: tmp_path / f"{size[0]}.png" for size in ((4, 6), (6, 4))}
    for size, path in paths.items():
        Image.fromarray(np.zeros(size, np.uint8)).save(path)
    first, second = paths.values()
    assert size_of(first, "set") == (4, 6)
    assert matching(first, first, "set").shape == (4, 6)
    assert coloured(first, first, "set").shape == (4, 6, 3)
    for read in (matching, coloured):
        with pytest.raises(TestudoError, match=r"^set: '.*6\.png' is 6x4 \(height x width\), its image 4x6$"):
            read(second, first, "set")
    for content_, reason in ((b"cut", "not an image of a known kind"), (None, "No such file")):
        first.unlink() if content_ is None else first.write_bytes(content_)
        with pytest.raises(TestudoError, match=f"^set: .*4.png': {reason}"):
            matching(second, first, "set")


@pytest.mark.parametrize(
    ("values", "doubtful"), [([1.0, 2.0, 90.0], False), ([0.1, 2.5e3, 2.6e3], True), ([0.01] * 3, True), ([], False)]
)
def test_a_median_outside_is_doubted(values, doubtful):
    told = Range(0.3, 20, "m").doubt(Path("depth.png"), torch.tensor([*values, torch.nan]))
    assert bool(told) == doubtful
    assert "\n" not in told


def test_all_doubts_are_one_warning():
    warn("set", [])
    with pytest.warns(UserWarning, match=r"^set: a is odd$"):
        warn("set", ["a is odd"])
    with pytest.warns(UserWarning, match=r"^set: a is odd \(and 2 more\)$"):
        warn("set", ["a is odd", "b", "c"])


def test_faults_are_counted_or_refused():
    assert skipped(0, 5, "") == ""
    assert skipped(2, 5, "a is cut") == "2 of 5 skipped: first a is cut"
    with pytest.raises(TestudoError, match=r"^a is cut \(and none of 5 examples is without a fault\)$"):
        skipped(5, 5, "a is cut")
    refuse([])
    with pytest.raises(TestudoError, match=r"^a$"):
        refuse(["a"])
    with pytest.raises(TestudoError, match=r"^a \(and 2 more problems\)$"):
        refuse(["a", "b", "c"])
