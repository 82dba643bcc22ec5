"""Tensor files: never a pickle, every damage is one line."""

from __future__ import annotations

import os
import pickle
import random

import pytest
import torch
from safetensors.torch import save_file

from testudo.errors import TestudoError
from testudo.tensor_file import load, save

TENSORS = {
    "model.a": torch.arange(6.0).reshape(2, 3),
    "flag": torch.tensor(True),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "none": torch.empty(0),
}


@pytest.fixture
def file(tmp_path):
    save(tmp_path / "x.safetensors", TENSORS, {"score": float("inf"), "names": ("a", "b")})
    return tmp_path / "x.safetensors"


def test_what_is_saved_is_loaded(file):
    tensors, facts = load(file)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert facts == {"score": float("inf"), "names": ["a", "b"]}


def test_equal_content_makes_equal_files(file, tmp_path):
    for number in range(5):
        save(tmp_path / f"{number}", TENSORS, {"score": float("inf"), "names": ("a", "b")})
        assert (tmp_path / f"{number}").read_bytes() == file.read_bytes()


def test_every_length_of_header_is_told_from_a_pickle(tmp_path):
    zipped = int.from_bytes(b"PK", "little")
    starts = set()
    for extra in (*range(0, 400, 8), *range(zipped - 400, zipped, 8)):  # some header lengths begin like a pickle
        save(tmp_path / "x", {"a": torch.ones(1)}, {"note": "x" * extra})
        assert load(tmp_path / "x")[1]["note"] == "x" * extra
        starts.add((tmp_path / "x").read_bytes()[:2])
    assert starts >= {b"PK", b"\x80\x01"}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_is_refused_unread(tmp_path, protocol):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(TestudoError, match=r"is a pickle|is not a whole safetensors file"):
        load(tmp_path / "bomb")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_told_to_be_a_pickle(tmp_path, zipped):
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(TestudoError, match="is a pickle, which can run code"):
        load(tmp_path / "x.pt")


def test_every_cut_and_every_changed_byte_is_one_line(file, tmp_path):
    whole, draw = file.read_bytes(), random.Random(0)
    bad = tmp_path / "bad"
    changed = [whole[:length] for length in range(0, len(whole), 7)]
    for _ in range(300):
        content = bytearray(whole)
        place = draw.randrange(len(content))
        content[place] ^= 1 << draw.randrange(8)
        changed.append(bytes(content))
    for content in changed:
        bad.write_bytes(content)
        with pytest.raises(TestudoError, match=r"^[^\n]+$"):
            load(bad)


def test_files_of_others_folders_and_nothing_are_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "other")
    with pytest.raises(TestudoError, match="was not written by testudo"):
        load(tmp_path / "other")
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(TestudoError, match="no checkpoint at"):
            load(path)
