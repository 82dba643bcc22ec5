"""Runs sessions of testudo in forked children and kills them; prints what came of it as a JSON line.

A script of its own: neither torch nor polars may have started threads where one forks.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import lightning_fabric  # noqa: F401 (here, so that not every child imports it)
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tiny

from testudo import cli, files
from testudo.evaluation import kept
from testudo.evaluation.evaluate import Evaluation
from testudo.run import Run, train
from testudo.training import journal

JUDGED = 3  # examples in a batch, so that an attack on the ten test images has four
KILLS = 6  # by a clock, for each method; more at chosen operations


def session(made, folder):
    """What a child does: train and judge, a checkpoint after every batch."""
    journal.SAVE_EVERY = kept.SAVE_EVERY = -1.0
    run = train(made, folder)
    run.rows({"clean": None, **made.suite}, Evaluation(batch_size=JUDGED))


def forked(work, quiet=None):
    """Run ``work`` in a child; returns its process id. ``quiet`` is the file for its standard error."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        if quiet is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(quiet, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        work()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ended(child):
    """The exit code of a child, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_by_clock(made, folder, draw, whole):
    """Kill sessions at random instants until one is through; the number of kills.

    ``whole`` is how long a session takes here that nobody kills: the first three are killed well before that.
    """
    kills = 0
    while True:
        child = forked(lambda: session(made, folder))
        if kills < KILLS:
            time.sleep(whole * draw.uniform(0.02, 0.3))
            os.kill(child, signal.SIGKILL)
        code = ended(child)
        if code == 0:
            return kills
        if code != -signal.SIGKILL:
            raise SystemExit(f"a session ended with {code}")
        kills += 1


def armed(made, folder, after):
    """A session that kills itself at the ``after``-th of these: before a write, before or after its renaming."""
    left = [after]

    def tick():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(function, late):
        def call(*args, **kwargs):
            tick()
            made_of_it = function(*args, **kwargs)
            if late:
                tick()
            return made_of_it

        return call

    files.tempfile.mkstemp = wrapped(files.tempfile.mkstemp, late=True)
    files.os.fsync = wrapped(files.os.fsync, late=False)
    files.Path.replace = wrapped(files.Path.replace, late=True)
    torch.optim.SGD.step = wrapped(torch.optim.SGD.step, late=True)
    session(made, folder)


def killed_at_operations(made, folder, draw, _whole):
    """Kill session n at its n-th operation or so, until one is through; the number of kills."""
    for kills in range(200):
        after = kills + 1 if kills < 6 else draw.randrange(8, 40)
        code = ended(forked(lambda n=after: armed(made, folder, n)))
        if code == 0:
            return kills
        if code != -signal.SIGKILL:
            raise SystemExit(f"a session ended with {code}")
    raise SystemExit("it never got to its end")


def interrupted(words, folder, sign):
    """Run the command line, press Ctrl-C once ``sign()`` holds; the exit code and what it said."""
    quiet = folder / "said.txt"
    quiet.unlink(missing_ok=True)

    def work():
        journal.SAVE_EVERY = kept.SAVE_EVERY = -1.0
        cli.main(words)

    child = forked(work, quiet)
    while not sign():
        time.sleep(0.002)
    os.kill(child, signal.SIGINT)
    return {"code": ended(child), "said": quiet.read_text()}


def control_c(file, root):
    """Ctrl-C in train and in evaluate, then both again until they are done."""
    made = tiny.recipe(file, "madry", epochs=4)
    written, folder = tiny.saved(made, root / "tiny.toml"), root / "interrupted"
    straight, rows = root / "straight", folder / "rows"
    ended(forked(lambda: session(made, straight)))
    words = ["train", written, "--out", str(folder)]
    told = {"train": interrupted(words, root, (folder / "last.safetensors").exists)}
    told["epochs"] = len(Run(folder).log)
    told["on"] = ended(forked(lambda: cli.main(words), root / "said.txt"))
    judge = ["evaluate", str(folder), "--batch-size", str(JUDGED)]
    told["evaluate"] = interrupted(judge, root, lambda: any(rows.glob("*.parquet")))
    told["judged"] = len(list(rows.glob("*.parquet")))
    told["again"] = ended(forked(lambda: cli.main(judge), root / "said.txt"))
    return {**told, "straight": straight.name}


def main(root):
    """Every scenario; ``root`` is an empty folder."""
    torch.set_num_threads(1)
    draw = random.Random(int(root.stat().st_mtime_ns))
    file, found = tiny.images(root / "images"), {}
    for method in ("standard", "mao"):
        made = tiny.recipe(file, method)
        began = time.monotonic()
        ended(forked(lambda made=made, method=method: session(made, root / method)))
        whole = time.monotonic() - began
        for name, kill in (("clock", killed_by_clock), ("operations", killed_at_operations)):
            folder = root / f"{method}-{name}"
            found[f"{method}-{name}"] = {"kills": kill(made, folder, draw, whole), "straight": method}
    found["interrupted"] = control_c(file, root)
    for name, told in found.items():  # last of all: polars starts threads, after which nobody may fork
        told["difference"] = tiny.same_run(Run(root / told["straight"]), Run(root / name))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
