"""Checkpoints: whole or not at all, never a pickle, every damage is one line."""

from __future__ import annotations

import errno
import os
import pickle
import random
import subprocess
import time

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from testudo.errors import TestudoError
from testudo.training import checkpoint
from testudo.training.checkpoint import load, load_weights, pack, save, sweep, unpack, write_atomic

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
    for extra in range(0, 400, 8):  # some header lengths begin with the bytes of a pickle
        save(tmp_path / "x", {"a": torch.ones(1)}, {"note": "x" * extra})
        assert load(tmp_path / "x")[1]["note"] == "x" * extra


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


def test_another_architecture_is_told_by_its_first_difference():
    weights = {f"model.{name}": value for name, value in nn.Linear(2, 3).state_dict().items()}
    with pytest.raises(TestudoError, match=r"'weight' is torch.float32 \(3, 2\) there, torch.float32 \(4, 2\) here"):
        load_weights(nn.Linear(2, 4), weights)
    with pytest.raises(TestudoError, match="only the checkpoint has 'bias'"):
        load_weights(nn.Linear(2, 3, bias=False), weights)
    with pytest.raises(TestudoError, match=r"only the model has '0\.weight'"):
        load_weights(nn.Sequential(nn.Linear(2, 3)), weights)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_model_and_optimiser_go_on_as_if_nothing_had_been(kind):
    def made():
        model = nn.Linear(3, 2)
        momentum = {"momentum": 0.9} if kind == "SGD" else {}
        return model, getattr(torch.optim, kind)(model.parameters(), lr=0.1, **momentum)

    def step(model, optimiser):
        optimiser.zero_grad()
        model(torch.ones(1, 3)).square().sum().backward()
        optimiser.step()

    first, second = made(), made()
    step(*first)
    unpack({name: tensor.clone() for name, tensor in pack(*first).items()}, *second)  # as if from a file
    for _ in range(3):
        step(*first)
        step(*second)
    assert torch.equal(first[0].weight, second[0].weight)


@pytest.mark.parametrize("place", ["mkstemp", "fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch, place):
    path = tmp_path / "x.json"
    write_atomic(path, "old")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner = {"mkstemp": checkpoint.tempfile, "fsync": checkpoint.os, "replace": checkpoint.Path}[place]
    monkeypatch.setattr(owner, place, full)
    with pytest.raises(TestudoError, match=r"cannot write .*x\.json: No space left on device"):
        write_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no permission to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk):
    save(small_disk / "x", TENSORS, {})
    with pytest.raises(TestudoError, match="No space left on device"):
        save(small_disk / "x", {"model.a": torch.zeros(100_000)}, {})
    assert torch.equal(load(small_disk / "x")[0]["model.a"], TENSORS["model.a"])
    assert len(list(small_disk.iterdir())) == 1


def test_content_may_be_text_bytes_or_written_by_somebody(tmp_path):
    for name, content in (("a", "ü"), ("b", "ü".encode()), ("c", lambda buffer: buffer.write("ü".encode()))):
        write_atomic(tmp_path / "deep" / name, content)
        assert (tmp_path / "deep" / name).read_text(encoding="utf-8") == "ü"


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TestudoError, match="cannot write"):
        write_atomic(tmp_path / "file" / "x", "content")


def test_only_what_a_kill_left_long_ago_is_swept(tmp_path):
    old, new, other = (tmp_path / name for name in (".a.x.unfinished", ".b.y.unfinished", "c.unfinished"))
    for path in (old, new, other):
        path.write_text("")
    os.utime(old, (time.time() - 4000,) * 2)
    os.utime(other, (time.time() - 4000,) * 2)
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [new, other]
