"""The cache: made once, made anew where damaged, done without where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from testudo.data.cache import CACHE_ENV, cached

MAKES = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2], dtype=torch.uint8)}


class Maker:
    """Counts how often it is asked."""

    def __init__(self, tensors=None):
        self.calls, self.tensors = 0, MAKES if tensors is None else tensors

    def __call__(self):
        self.calls += 1
        return self.tensors


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_ENV, str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def same(found):
    assert found.keys() == MAKES.keys()
    assert all(torch.equal(found[name], MAKES[name]) and found[name].dtype == MAKES[name].dtype for name in MAKES)


def test_it_is_made_once_and_found_after(folder):
    make = Maker()
    for _ in range(3):
        same(cached(("x", 1, None, ("y", 0.5)), make))
    assert make.calls == 1
    (file,) = folder.iterdir()
    assert file.suffix == ".safetensors"
    assert len(file.stem) == 64


def test_every_part_of_a_key_counts(folder):
    make = Maker()
    keys = [(), ("a",), ("a", "b"), ("b", "a"), ("ab",), (1,), ("1",), (1.5,), (True,), (None,), (("a",), "b")]
    for key in keys:
        cached(key, make)
    assert make.calls == len(keys) == len(list(folder.iterdir()))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "pickle", "another key", "a folder"])
def test_what_is_damaged_is_made_anew(folder, damage):
    cached(("x",), Maker())
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "another key":
        cached(("y",), Maker({"other": torch.ones(1)}))
        (other,) = set(folder.iterdir()) - {file}
        other.replace(file)
    elif damage == "a folder":
        file.unlink()
        (file / "inside").mkdir(parents=True)
    else:
        content[-3] ^= 1
        wrong = {"cut": content[:-1], "flipped": content, "empty": b"", "pickle": b"\x80\x04K\x01."}
        file.write_bytes(wrong[damage])
    make = Maker()
    same(cached(("x",), make))
    same(cached(("x",), make))
    assert make.calls == (2 if damage == "a folder" else 1)  # a folder of that name stays in the way


def test_where_nothing_can_be_written_it_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CACHE_ENV, str(tmp_path / "file"))
    make = Maker()
    for calls in (1, 2):
        same(cached(("x",), make))
        assert make.calls == calls
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write and read anywhere")
def test_a_folder_without_permission_is_done_without(folder):
    folder.mkdir(parents=True)
    folder.chmod(0)
    try:
        same(cached(("x",), Maker()))
    finally:
        folder.chmod(0o700)


def test_without_a_folder_named_it_lies_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_ENV, "")
    cached(("x",), Maker())
    assert len(list((tmp_path / ".cache" / "testudo").iterdir())) == 1


def test_where_nobody_has_a_home_it_is_done_without(monkeypatch):
    monkeypatch.setenv(CACHE_ENV, "~no such user/cache")
    same(cached(("x",), Maker()))


def test_an_error_of_the_maker_is_the_callers(folder):
    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cached(("x",), fails)
    assert not folder.exists()


def test_processes_at_work_at_once_find_whole_files(folder):
    code = """if True:
    import torch
    from testudo.data.cache import cached
    for number in range(20):
        made = cached(("x", number), lambda: {"a": torch.full((1000,), float(number))})
        assert made["a"].tolist() == [number] * 1000
    """
    ran = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in ran] == [0, 0, 0]
    assert len(list(folder.iterdir())) == 20
