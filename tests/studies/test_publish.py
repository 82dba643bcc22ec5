"""Telling a finished study: what cannot be written is one line, and what was there stays."""

from __future__ import annotations

import errno

import pytest

from testudo import files
from testudo.errors import TestudoError
from testudo.studies import publish


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(publish, "_parts", lambda folder: [])
    monkeypatch.setattr(publish, "build_page", lambda *_: None)
    monkeypatch.setattr(publish, "write_tables", lambda *_: None)
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(TestudoError, match=r"cannot write .*table\.md: No space left on device"):
        publish.tell(tmp_path)
