import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from testudo.data.images import Files, Stored, is_jpeg
from testudo.errors import TestudoError

EVERY = torch.arange(2)


@pytest.fixture
def folder(tmp_path):
    """Two different RGB PNGs, 6x4."""
    for index in range(2):
        array = np.random.default_rng(index).integers(0, 256, (6, 4, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / f"{index}.png")
    return tmp_path


def files(folder, shape=(3, 6, 4), resize=False):
    return Files((folder / "0.png", folder / "1.png"), ("list row 1", "list row 2"), shape, resize)


def array_of(file):
    return np.array(Image.open(file))


def test_files_give_the_pixels_in_the_order_asked(folder):
    read = files(folder).read(torch.tensor([1, 0, 1]))
    expected = array_of(folder / "1.png").transpose(2, 0, 1) / 255
    assert read.shape == (3, 3, 6, 4)
    np.testing.assert_allclose(read[0].numpy(), expected, atol=1e-7)
    assert torch.equal(read[0], read[2])
    assert not torch.equal(read[0], read[1])


def test_bytes_and_paths_are_the_same(folder):
    stored = Files(tuple((folder / f"{i}.png").read_bytes() for i in range(2)), ("a", "b"), (3, 6, 4))
    assert torch.equal(stored.read(EVERY), files(folder).read(EVERY))
    assert stored.digests() == files(folder).digests()
    assert stored.digests()[0] == hashlib.sha256((folder / "0.png").read_bytes()).digest()


def test_take_keeps_order_and_names(folder):
    taken = files(folder).take(torch.tensor([1]))
    assert taken.where == ("list row 2",)
    assert torch.equal(taken.read(torch.tensor([0])), files(folder).read(torch.tensor([1])))


def test_grey_and_resize(folder):
    assert files(folder, (1, 6, 4)).read(EVERY).shape == (2, 1, 6, 4)
    assert files(folder, (3, 3, 8), resize=True).read(EVERY).shape == (2, 3, 3, 8)
    Image.fromarray(np.full((6, 4), 77, dtype=np.uint8)).save(folder / "0.png")
    assert (files(folder).pixels(EVERY)[0] == 77).all()


def test_another_size_is_refused_unless_resized(folder):
    with pytest.raises(TestudoError, match=r"^list row 1: the image is 6x4 \(height x width\), expected 5x4"):
        files(folder, (3, 5, 4)).read(EVERY)


def truncated(folder):
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])


def garbage(folder):
    (folder / "1.png").write_bytes(b"not an image")


def empty(folder):
    (folder / "1.png").write_bytes(b"")


def missing(folder):
    (folder / "1.png").unlink()


def deep(folder):
    Image.fromarray(np.zeros((6, 4), dtype=np.uint16)).save(folder / "1.png")


@pytest.mark.parametrize("damage", [truncated, garbage, empty, missing, deep])
def test_a_bad_image_is_one_line_with_its_row(folder, damage):
    damage(folder)
    with pytest.raises(TestudoError, match=r"^list row 2: ") as caught:
        files(folder).read(EVERY)
    assert "\n" not in str(caught.value)
    assert files(folder).problems() == [str(caught.value)]
    assert files(folder).read(torch.tensor([0])).shape == (1, 3, 6, 4)


def test_stored_uint8_and_float_are_read_alike():
    pixels = torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4)
    as_float = Stored(pixels.float() / 255)
    assert torch.equal(Stored(pixels).read(EVERY), as_float.read(EVERY))
    assert Stored(pixels).problems() == []
    assert len(set(Stored(pixels).digests())) == 2


def test_is_jpeg(folder):
    Image.open(folder / "0.png").save(folder / "0.jpg")
    assert is_jpeg(folder / "0.jpg")
    assert is_jpeg(Path(folder / "0.jpg").read_bytes())
    assert not is_jpeg(folder / "0.png")
