"""Runs that take a fraction of a second: a few real digits as a user's own images, a narrow network."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import torch
from PIL import Image
from sklearn.datasets import load_digits

from testudo.attacks.fgsm import FGSM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.balance.minmax import MinMax
from testudo.data.manifest import Manifest
from testudo.models.resnet import PreActResNet18
from testudo.parts import to_toml
from testudo.recipe import Recipe
from testudo.studies.jobs import jobs_of
from testudo.studies.pool import link, trained
from testudo.studies.study import Arms, Variant
from testudo.tensor_file import load
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser
from testudo.training.trainer import Trainer

INNER = PGD(Linf(0.1), steps=1, keep="last")
METHODS = {
    "standard": Standard(balance=MinMax(rate=0.3)),
    "madry": Madry(attack=INNER, clean=0.5),
    "mao": Mao(attack=INNER, balance=MinMax(rate=0.3), auxiliary_weight=0.1),
}
SPLITS = ("train",) * 4 + ("val", "test")


class Stop(Exception):
    """Raised in the middle of training."""


class Stopper:
    """A watcher that breaks off after some batches."""

    def __init__(self, after):
        self.after = after

    def step(self, done, total):
        if done == self.after:
            raise Stop

    def epoch(self, record):
        pass


def images(folder, count=60):
    """A CSV of ``count`` grey 8x8 scans (two thirds train, a sixth each val and test); the digit, and its parity."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scans, labels = load_digits(return_X_y=True)
    rows = []
    for index in range(count):
        name = f"{index}.png"
        Image.fromarray((scans[index].reshape(8, 8) * 255 / 16).astype("uint8")).save(folder / name)
        split = SPLITS[index % len(SPLITS)]
        parity = ("even", "odd")[labels[index] % 2]
        rows.append({"image": name, "split": split, "digit": int(labels[index]), "parity": parity})
    return write(folder / "digits.csv", rows)


def write(path, rows):
    """Rows as a CSV; returns its path as a string."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return str(path)


def study(file):
    """Two variants of two epochs each, on the images of :func:`images`."""
    arms = tuple(Variant(name, recipe(file, name, name=name), "") for name in ("standard", "madry"))
    return Arms((0,), "tiny", arms=arms)


def driven(script, *arguments, timeout, **environment):
    """The lines that a script prints, which must end well; in a process of its own, with one thread."""
    done = subprocess.run(
        [sys.executable, *map(str, (script, *arguments))],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def one_by_one(self, study, folder, report):
    """The runner of studies without its processes."""
    pool = folder.absolute().parent / "pool"
    for name, (_, made) in study.every_run().items():
        link(folder.absolute() / name, pool / trained(made).name)
    for job in jobs_of(study, pool).values():
        job()
    report(1.0, "")


def recipe(file, method="standard", seed=0, name="tiny", suite=True, **trainer):
    """A recipe on the images of :func:`images`: four batches in each of two epochs."""
    settings = {"epochs": 2, "batch_size": 10, "optimiser": Optimiser(lr=0.05), "precision": "float32", **trainer}
    digit = Objective(("digit",))
    return Recipe(
        name=name,
        data=Manifest(file),
        model=PreActResNet18(width=2),
        method=METHODS[method] if isinstance(method, str) else method,
        tasks=("digit", "parity"),
        trainer=Trainer(**settings),
        validation=PGD(Linf(0.05), digit, steps=1, keep="last"),
        suite={"fgsm": FGSM(Linf(0.1), digit), "pgd": PGD(Linf(0.1), steps=2)} if suite else {},
        seed=seed,
    )


def saved(made, path):
    """The recipe as a TOML file."""
    Path(path).write_text(to_toml(made))
    return str(path)


def same_tensors(first, second):
    """Whether two checkpoints hold the same tensors, bit by bit."""
    a, b = load(first)[0], load(second)[0]
    return a.keys() == b.keys() and all(torch.equal(a[n].view(torch.uint8) if a[n].dim() else a[n], b[n].view(
        torch.uint8) if b[n].dim() else b[n]) for n in a)  # fmt: skip


def timeless(record):
    """A log record without what depends on the clock."""
    return {key: value for key, value in record.items() if key != "seconds"}


def same_run(first, second):
    """None where two runs agree in weights, state, log and rows, bit by bit; else what differs."""
    for name in ("last.safetensors", "best.safetensors"):
        if not same_tensors(first.folder / name, second.folder / name):
            return name
    if [timeless(r) for r in first.log] != [timeless(r) for r in second.log]:
        return "log"
    files = [sorted(path.name for path in (run.folder / "rows").glob("*.parquet")) for run in (first, second)]
    if files[0] != files[1]:
        return "names of rows"
    for name in files[0]:
        a, b = (pl.read_parquet(run.folder / "rows" / name).drop("run") for run in (first, second))
        if not a.equals(b):
            return f"rows {name}"
    return None
