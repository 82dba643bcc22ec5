"""Writes are whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import time

import pytest
import torch

from testudo import files
from testudo.errors import TestudoError
from testudo.files import sweep, write_atomic
from testudo.tensor_file import load, save


@pytest.mark.parametrize("place", ["mkstemp", "fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch, place):
    path = tmp_path / "x.json"
    write_atomic(path, "old")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner = {"mkstemp": files.tempfile, "fsync": files.os, "replace": files.Path}[place]
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
    save(small_disk / "x", {"a": torch.ones(3)}, {})
    with pytest.raises(TestudoError, match="No space left on device"):
        save(small_disk / "x", {"a": torch.zeros(100_000)}, {})
    assert torch.equal(load(small_disk / "x")[0]["a"], torch.ones(3))
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
