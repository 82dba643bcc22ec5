"""One process at a time: the others wait, say for whom, and get their turn however the first one ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from testudo import files
from testudo.errors import TestudoError
from testudo.files import held, write_atomic
from testudo.run import Run

HOLDER = """
import sys, time
from pathlib import Path
from testudo.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
COUNTER = """
import sys, time
from pathlib import Path
from testudo.files import held
lock, count = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(25):
    with held(lock):
        before = int(count.read_text())
        time.sleep(0.001)
        count.write_text(str(before + 1))
"""


def process(code, *words):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "run" / ".lock"


def end(other, kill):
    """Let the holder come to its end."""
    if kill:
        other.kill()
    else:
        other.stdin.write("\n")
        other.stdin.flush()


@pytest.mark.parametrize("kill", [False, True])
def test_whoever_waits_says_so_and_gets_it_when_the_other_ends(lock, capsys, monkeypatch, kill):
    with process(HOLDER, lock) as other:
        assert other.stdout.readline() == "held\n"
        monkeypatch.setattr(files, "PATIENCE", 0.05)
        monkeypatch.setattr(files, "print", lambda *a, **k: (print(*a, **k), end(other, kill)), raising=False)
        with held(lock):
            other.wait(timeout=60)  # it has ended, or we would not be here
            assert lock.read_text() == f"process {os.getpid()} on {os.uname().nodename}"
    said = capsys.readouterr().err
    assert (
        said == f"testudo: process {other.pid} on {os.uname().nodename} is at work in {lock.parent}; waiting for it\n"
    )
    assert not lock.exists()


def test_waits_in_a_row_are_told_of_once(lock, capsys, monkeypatch):
    """As for each attack of a run that another process is judging, and again where it is another wait."""
    other = lock.with_name("other")
    monkeypatch.setattr(files, "PATIENCE", 0.0)
    for again, lines in ((60.0, 1), (0.0, 2)):
        monkeypatch.setattr(files, "AGAIN", again)
        monkeypatch.setattr(files, "_SAID", {})
        for path in (lock, other):
            path.parent.mkdir(exist_ok=True)
            path.write_text("process 1 on here")
            monkeypatch.setattr(files.fcntl, "lockf", busy(1))
            with held(path):
                pass
        said = capsys.readouterr().err.splitlines()
        assert said == [f"testudo: process 1 on here is at work in {lock.parent}; waiting for it"] * lines


def busy(times):
    """A lock that another process has at so many looks."""
    looks = iter([True] * times)

    def look(*_):
        if next(looks, False):
            raise BlockingIOError

    return look


def test_nobody_is_told_of_a_short_wait(lock, capsys, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 60.0)
    with process(HOLDER, lock) as other:
        assert other.stdout.readline() == "held\n"
        end(other, kill=False)
        with held(lock):
            pass
    assert capsys.readouterr().err == ""


def test_ctrl_c_ends_the_waiting(lock, monkeypatch):
    with process(HOLDER, lock) as other:
        assert other.stdout.readline() == "held\n"
        real = files.time.sleep
        monkeypatch.setattr(files.time, "sleep", lambda _: (os.kill(os.getpid(), signal.SIGINT), real(60)))
        with pytest.raises(KeyboardInterrupt), held(lock):
            raise AssertionError("it was held by the other")
        assert lock.exists()
        other.kill()


def test_no_two_processes_are_ever_inside(lock, tmp_path):
    count = tmp_path / "count"
    count.write_text("0")
    team = [process(COUNTER, lock, count) for _ in range(4)]
    for one in team:
        _, err = one.communicate(timeout=120)
        assert one.returncode == 0, err
    assert count.read_text() == "100"
    assert not lock.exists()


def test_where_nothing_can_be_locked_nobody_waits(tmp_path, monkeypatch):
    write_atomic(tmp_path / "file", "")
    with held(tmp_path / "file" / ".lock"):  # no folder
        pass

    def unable(*args):
        raise OSError("no locks available")

    monkeypatch.setattr(files.fcntl, "lockf", unable)
    with held(tmp_path / ".lock"), held(tmp_path / ".lock"):
        pass


def test_an_error_inside_lets_it_go(lock):
    with pytest.raises(ZeroDivisionError), held(lock):
        _ = 1 / 0
    with process(HOLDER, lock) as other:
        assert other.stdout.readline() == "held\n"
        other.kill()


def test_weights_that_change_while_they_are_judged_are_told(run, monkeypatch):
    """Training may go on in the folder: rows of half these weights and half those would be of neither."""
    shutil.rmtree(run / "rows")
    model = Run.model

    def slow(self):
        made = model(self)
        (run / "best.safetensors").write_bytes((run / "last.safetensors").read_bytes())
        return made

    monkeypatch.setattr(Run, "model", slow)
    with pytest.raises(TestudoError, match="its best weights changed just now"):
        Run(run).rows({"clean": None})
    assert not list((run / "rows").glob("*.parquet"))
