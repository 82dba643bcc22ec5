"""Studies, judgements and transfers that are killed, or begun twice at once; prints what came of each as a JSON line.

A script of its own: neither torch nor polars may have started threads where one forks.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import lightning_fabric  # noqa: F401 (here, so that not every child imports it)
import numpy as np
import polars as pl
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

import tiny
from driver import ended, forked

from testudo import cli
from testudo.evaluation import kept
from testudo.reports import page  # noqa: F401 (likewise)
from testudo.run import train
from testudo.studies import quickstart
from testudo.studies.runner import Runner
from testudo.training import journal

KILLS = 4
SMALL = ["seeds=[0]", "epochs=2", "adversarial_epochs=1", "linf=[0.1]", "train_steps=1", "batch_size=20"]


def study(root, place):
    """The words of a study of four runs."""
    words = ["study", "quickstart", "--data", "manifest", "--data-dir", str(root / "images" / "digits.csv")]
    words += [word for change in [*SMALL, "model.width=2", "precision=float32"] for word in ("--set", change)]
    return [*words, "--out", str(place / "study")]


def prepared(root, place):
    """Two trained runs in ``place`` that nobody has judged."""
    for name in ("one", "two"):
        shutil.copytree(root / name, place / name)


def evaluate(root, place):
    """The words of a judgement by attacks of five steps, four batches each."""
    suite = root / "suite.toml"
    attack = '[attacks.{0}]\nkind = "pgd"\nsteps = 5\n[attacks.{0}.threat]\nkind = "linf"\neps = 0.{1}\n'
    suite.write_text("".join(attack.format(name, eps) for name, eps in (("near", 1), ("far", 3))))
    return ["evaluate", str(place / "one"), "--batch-size", "3", "--suite", str(suite)]


def transfer(root, place):
    """The words of a transfer between the two runs."""
    runs = [str(place / name) for name in ("one", "two")]
    return ["transfer", *runs, "--batch-size", "3", "--steps", "5", "--eps", "0.1", "--out", str(place / "out")]


WORK = {"study": study, "evaluate": evaluate, "transfer": transfer}


class Session:
    """One kind of work, in a folder of its own for each way of disturbing it."""

    def __init__(self, kind, root):
        self.kind, self.root = kind, root

    def begin(self, way):
        """Start it in a child; returns its process id."""
        place = self.root / f"{self.kind}-{way}"
        if not place.exists():
            place.mkdir()
            if self.kind != "study":
                prepared(self.root, place)
        words = WORK[self.kind](self.root, place)

        def work():
            journal.SAVE_EVERY = kept.SAVE_EVERY = -1.0
            quickstart.STEPS = 1
            Runner.__call__ = tiny.one_by_one
            cli.main(words)

        return forked(work, place / "said.txt")

    def undisturbed(self):
        """How long it takes."""
        began = time.monotonic()
        self.expect(ended(self.begin("straight")))
        return time.monotonic() - began

    def expect(self, code, *allowed):
        """It ended well, or as allowed."""
        if code not in (0, *allowed):
            raise SystemExit(f"{self.kind} ended with {code}")
        return code

    def killed(self, whole, draw):
        """Kill sessions at random instants until one is through; the number of kills."""
        kills = 0
        while True:
            child = self.begin("killed")
            if kills < KILLS:
                time.sleep(whole * draw.uniform(0.02, 0.3))
                os.kill(child, signal.SIGKILL)
            if self.expect(ended(child), -signal.SIGKILL) == 0:
                return kills
            kills += 1

    def twice(self):
        """Two at once, both to the end."""
        for child in [self.begin("twice"), self.begin("twice")]:
            self.expect(ended(child))

    def bereft(self, whole, draw):
        """Two at once, of which one is killed; whether it was before its end."""
        first, second = self.begin("bereft"), self.begin("bereft")
        time.sleep(whole * draw.uniform(0.1, 0.6))
        os.kill(first, signal.SIGKILL)
        self.expect(ended(second))
        return ended(first) != 0


def same(first, second):
    """None where two places hold the same results, bit by bit; else what differs."""
    files = [
        sorted(str(path.relative_to(place)) for path in place.rglob("*.parquet") if ".parts" not in str(path))
        for place in (first, second)
    ]
    if files[0] != files[1]:
        return f"files: {files}"
    for name in files[0]:
        a, b = (pl.read_parquet(place / name) for place in (first, second))
        if not a.equals(b, null_equal=True):
            return name
    for name in ("study/table.md", "out/transfer.md", "out/matrix.csv"):
        if (first / name).exists() and (first / name).read_bytes() != (second / name).read_bytes():
            return name
    for path in first.glob("study/gallery.npz"):
        with np.load(path) as a, np.load(second / "study" / path.name) as b:
            if any(not np.array_equal(a[name], b[name]) for name in a.files):
                return path.name
    for path in first.glob("study/study.json"):
        a, b = (json.loads(p.read_text()) for p in (path, second / "study" / path.name))
        free = {"minutes", "created", "environment", "sha256"}
        if any(a[name] != b[name] for name in a.keys() - free):
            return path.name
    return None


def main(root):
    """Every kind of work, disturbed in every way; ``root`` is an empty folder."""
    torch.set_num_threads(1)
    draw, file = random.Random(int(root.stat().st_mtime_ns)), tiny.images(root / "images")
    for seed, name in enumerate(("one", "two")):
        train_it = forked(lambda name=name, seed=seed: train(tiny.recipe(file, seed=seed, epochs=1), root / name))
        if ended(train_it):
            raise SystemExit("the runs could not be trained")
    found = {}
    for kind in WORK:
        session = Session(kind, root)
        whole = session.undisturbed()
        found[kind] = {"kills": session.killed(whole, draw), "bereft": session.bereft(whole, draw)}
        session.twice()
    for kind, told in found.items():  # last of all: polars starts threads, after which nobody may fork
        straight = root / f"{kind}-straight"
        ways = {way: root / f"{kind}-{way}" for way in ("killed", "bereft", "twice")}
        told["difference"] = {way: same(straight, place) for way, place in ways.items()}
        told["said"] = {way: (place / "said.txt").read_text() for way, place in ways.items()}
        told["rows"] = len(list(straight.rglob("*.parquet")))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
