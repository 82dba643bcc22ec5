"""A study that is stopped in three ways and continued; prints what came of each as a JSON line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def workers(parent):
    """The process ids of the workers of ``parent``: children that run spawned code."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == parent and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def written(folder):
    """The checkpoints and rows of a study so far."""
    return {*folder.glob("*/*.safetensors"), *folder.glob("*/rows/*.parquet")}


def stopped(words, folder, stop):
    """Start the study, wait until a run has begun, ``stop`` it; exit code, last words, and who is still there."""
    done = written(folder)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not written(folder) - done:
        if time.monotonic() > deadline or process.poll() is not None:
            break
        time.sleep(0.05)
    team = workers(process.pid)
    stop(process.pid, team)
    _, err = process.communicate(timeout=120)
    deadline = time.monotonic() + 10
    while any(alive(number) for number in team) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {
        "code": process.returncode,
        "said": [line for line in err.decode().splitlines() if line and not line.startswith("study ")],
        "team": len(team),
        "left": sum(alive(number) for number in team),
    }


def main(folder, words):
    """Ctrl-C to the whole process group, a killed parent, a killed worker."""
    found = {
        "ctrl-c": stopped(words, folder, lambda parent, team: os.killpg(parent, signal.SIGINT)),
        "parent": stopped(words, folder, lambda parent, team: os.kill(parent, signal.SIGKILL)),
        "worker": stopped(words, folder, lambda parent, team: os.kill(team[0], signal.SIGKILL)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
