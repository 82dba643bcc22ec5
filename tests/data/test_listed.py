"""Depth that a table names beside its classes."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from testudo.data.manifest import Manifest
from testudo.data.pixel_labels import OcclusionLabel
from testudo.errors import TestudoError
from testudo.models.resnet import ResNet18
from testudo.recipe import Recipe
from testudo.run import train
from testudo.tasks.depth import Depth
from testudo.training.methods.standard import Standard
from testudo.training.trainer import Trainer

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))
COLUMNS = {"breed": "classification", "depth": "depth"}
SIZE = (16, 20)


def metres(row):
    """Millimetres that a 16-bit image holds exactly; some pixels unknown."""
    values = 1 + 0.001 * (np.arange(320).reshape(SIZE) + row)
    values[row % 16] = 0
    return values


def listed(folder, count=24, **options):
    """Depth as an image where the row is even, as an array where it is odd, none in rows 4 and 5."""
    rows = []
    for row in range(count):
        (folder / f"{row}.png").write_bytes(writers.encoded(writers.pixels(1, row, SIZE)[0]))
        name = f"far/{row}.{'npy' if row % 2 else 'png'}"
        (folder / name).parent.mkdir(exist_ok=True)
        if row % 2:
            np.save(folder / name, metres(row))
        else:
            Image.fromarray((metres(row) * 1000).round().astype(np.uint16)).save(folder / name)
        rows.append({"image": f"{row}.png", "breed": ("cat", "dog")[row % 2], "depth": "" if row in (4, 5) else name})
    return Manifest(writers.write_csv(folder / "list.csv", rows), columns=COLUMNS, **options)


def every(data):
    parts = [data.load(split).batch(range(len(data.load(split)))) for split in data.splits]
    whole = type(parts[0]).cat(parts)
    return whole[whole.ids.argsort()]


def test_files_become_metres_and_blanks_unknown(tmp_path):
    data = listed(tmp_path)
    assert [task.name for task in data.tasks()] == ["breed", "depth"]
    assert data.tasks()[1] == Depth("depth")
    batch, task = every(data), Depth("depth")
    found = batch.targets["depth"]
    assert found.shape == (24, 1, *SIZE)
    task.check(found)
    assert task.valid(found).tolist() == [row not in (4, 5) for row in range(24)]
    for row in (0, 1, 23):
        want = np.where(metres(row) > 0, metres(row), np.nan)
        np.testing.assert_allclose(found[row, 0].numpy(), want, rtol=1e-6)
    assert "depth: depth in files (declared)" in data.describe()
    assert data.check() == []


def test_maps_follow_their_images_in_size(tmp_path):
    small = every(listed(tmp_path, size=(8, 10))).targets["depth"]
    assert small.shape == (24, 1, 8, 10)
    np.testing.assert_allclose(small[9, 0].numpy(), np.where(metres(9) > 0, metres(9), np.nan)[1::2, 1::2], rtol=1e-6)
    half = every(listed(tmp_path, depth_step=0.0005)).targets["depth"]
    whole = every(listed(tmp_path)).targets["depth"]
    torch.testing.assert_close(half[::2] * 2, whole[::2], equal_nan=True)
    torch.testing.assert_close(half[1::2], whole[1::2], equal_nan=True)


def test_the_fingerprint_covers_them(tmp_path):
    data = listed(tmp_path)
    before = data.load("train").fingerprint()
    assert listed(tmp_path).load("train").fingerprint() == before
    held = data.load("train").ids.tolist()
    row = next(row for row in held if row % 2 and row != 5)
    np.save(tmp_path / f"far/{row}.npy", metres(row) + 1)
    assert Manifest(data.file, columns=COLUMNS).load("train").fingerprint() != before


BROKEN = [
    (lambda path: path.unlink(), "cannot read '.*far/3.npy'"),
    (lambda path: path.write_bytes(b"no array"), "cannot read '.*far/3.npy'"),
    (lambda path: np.save(path, np.zeros((2, 16, 20))), r"must hold numbers \(height, width\)"),
    (lambda path: np.save(path, np.array([["a"]])), r"must hold numbers \(height, width\)"),
    (lambda path: np.save(path, np.ones((20, 16))), r"is 20x16 \(height x width\), its image 16x20"),
    (lambda path: np.save(path, np.full(SIZE, np.nan)), "labels no pixel: all of them are unknown"),
]


@pytest.mark.parametrize(("harm", "words"), BROKEN)
def test_a_bad_file_is_named_with_its_row(tmp_path, harm, words):
    data = listed(tmp_path, val_share=0.0, test_share=0.0)
    harm(tmp_path / "far/3.npy")
    with pytest.raises(TestudoError, match=words) as caught:
        data.load("train").batch(range(24))
    assert "list.csv row 4: " in str(caught.value)
    assert "\n" not in str(caught.value)
    problems = data.check()
    assert len(problems) == 1
    assert "row 4" in problems[0]


def test_eight_bits_are_no_depth(tmp_path):
    data = listed(tmp_path, val_share=0.0, test_share=0.0)
    Image.fromarray(np.ones(SIZE, np.uint8)).save(tmp_path / "far/2.png")
    with pytest.raises(TestudoError, match=r"row 3: .* more than 8 bits per pixel, it has mode L"):
        data.load("train").batch([2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"breed": "classification", "far": "depth"}}, "unknown column in .* 'far'"),
        ({"columns": {"breed": "depht"}}, "unknown kind of column 'breed': 'depht'; did you mean 'depth'"),
        ({"columns": {"breed": "classification"}, "depth_step": 0.0}, "depth_step must be above 0, got 0"),
    ],
)
def test_mistakes_are_told(tmp_path, options, words):
    file = listed(tmp_path).file
    with pytest.raises(TestudoError, match=words):
        Manifest(file, **options).tasks()


def test_two_columns_of_one_name(tmp_path):
    rows = [{"image": "a.png", "a b": "x.npy", "a_b": "y.npy", "kind": row % 2} for row in range(4)]
    made = writers.write_csv(tmp_path / "list.csv", rows)
    with pytest.raises(TestudoError, match="two columns make a task called 'a_b'"):
        Manifest(made, columns={"kind": "classification", "a b": "depth", "a_b": "depth"}).tasks()


def test_depth_helps_a_classification(tmp_path):
    """An auxiliary dense task beside the main one, and one made from it, from files to rows."""
    made = Recipe(
        name="far",
        data=Manifest(listed(tmp_path).file, columns=COLUMNS, derived=(OcclusionLabel("gaps"),)),
        model=ResNet18(width=2, decoder="unet"),
        method=Standard({"depth": 0.1, "gaps": 0.1}),
        trainer=Trainer(epochs=1, batch_size=20, precision="float32"),
    )
    run = train(made, tmp_path / "run")
    assert run.log[-1]["terms"].keys() == {"breed.clean", "depth.clean", "gaps.clean"}
    assert all(0 < term < 100 for term in run.log[-1]["terms"].values())
    assert set(run.rows({"clean": None})["task"].unique()) == {"breed", "depth", "gaps"}
