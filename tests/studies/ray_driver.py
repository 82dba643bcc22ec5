"""A study on a local Ray cluster of two workers, one of which is killed at work: prints how many were killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import tiny

from testudo.studies.runner import Runner


def at_work():
    """The process ids of Ray's workers that run a job."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::_work"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill_one(pool, killed):
    """Kill a worker as soon as a run has begun."""
    while not killed:
        if any(pool.glob("*/last.safetensors")) and (team := at_work()):
            os.kill(team[0], signal.SIGKILL)
            killed.append(team[0])
        time.sleep(0.02)


if __name__ == "__main__":
    home, killed = Path(sys.argv[1]), []
    threading.Thread(target=kill_one, args=(home / "pool", killed), daemon=True).start()
    study = tiny.study(tiny.images(home / "images"))
    Runner(2, on="ray")(study, home / "study", lambda share, note: None)
    print(len(killed))
