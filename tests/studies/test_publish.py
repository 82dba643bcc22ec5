"""Telling a finished study: what cannot be written is one line, and what was there stays."""

from __future__ import annotations

import errno

import pytest

from testudo.errors import TestudoError
from testudo.studies import publish


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("read_study", "read_rows", "summarise", "comparisons", "Results", "main_table", "read_gallery"):
        monkeypatch.setattr(publish, name, lambda *_: _Told())
    monkeypatch.setattr(publish, "build_page", full)
    with pytest.raises(TestudoError, match=r"cannot write the page in .*: No space left on device"):
        publish.tell(tmp_path)


class _Told:
    groups = ()
