"""A made-up study: plausible rows of four variants, two seeds each, so that a page can be built without training."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from testudo.evaluation.columns import ROWS
from testudo.evaluation.significance import comparisons
from testudo.evaluation.summarise import summarise
from testudo.reports.results import Results
from testudo.reports.study import Gallery, Study

TASKS = {"digit": 10, "parity": 2, "loop": 2}
EPS = (0.05, 0.1, 0.15, 0.2)
VARIANTS = {"standard": (0.97, 9.0), "adversarial": (0.95, 3.0)}  # clean accuracy, fall with eps
N = 240


def suite() -> list[dict]:
    """Clean, FGSM, PGD and MIM in Linf, PGD in L2, on the digit alone and on all tasks in two balances."""
    attacks = [{"attack": "clean", "family": "clean", "norm": "", "eps": 0.0, "steps": 0, "objective": ""}]
    kinds = [("fgsm", "linf", 1), ("pgd", "linf", 20), ("mim", "linf", 20), ("pgd", "l2", 20)]
    for family, norm, steps in kinds:
        for eps in EPS if norm == "linf" else (1.0,):
            for objective, label in (("digit", "digit"), ("all", "all"), ("all:minmax", "minmax")):
                if label == "digit" or family == "pgd":
                    name = f"{family}-{norm}-{eps:g}-{label}"
                    attacks.append({"attack": name, "family": family, "norm": norm, "eps": eps, "steps": steps})
                    attacks[-1]["objective"] = objective
    return attacks


def accuracy_of(variant: str, task: str, attack: dict, multi: bool) -> float:
    """A plausible accuracy: falls with eps, less after adversarial training, less for bystanders."""
    clean, slope = VARIANTS[variant]
    eps = attack["eps"] * (0.12 if attack["norm"] == "l2" else 1)
    force = {"clean": 0, "fgsm": 0.6, "pgd": 1.0, "mim": 0.96}[attack["family"]] * (
        0.8 if "all" in attack["objective"] else 1
    )
    force *= 1 if task == "digit" or "all" in attack["objective"] else 0.5
    floor = 0.02 if task == "digit" else 0.2
    return max(floor, (clean + 0.01 * multi) * np.exp(-slope * force * eps * (0.85 if multi else 1)))


def groups() -> list[dict]:
    found = []
    for variant in VARIANTS:
        for kind in ("single-task", "multi-task"):
            name = f"{variant}, {kind}"
            found.append(
                {
                    "name": name,
                    "runs": [f"{name.replace(', ', '-')}-{seed}" for seed in range(2)],
                    "counterpart": f"{variant}, single-task" if kind == "multi-task" else None,
                    "tasks": list(TASKS) if kind == "multi-task" else ["digit"],
                    "training": f"small convolutional net, 30 epochs of SGD, {variant} training",
                }
            )
    return found


def draw_rows(seed: int = 0) -> pl.DataFrame:
    generator, parts = np.random.default_rng(seed), []
    hardness = generator.random(N)  # the same examples are hard for everyone: pairing matters
    for group in groups():
        variant, multi = group["name"].split(",")[0], len(group["tasks"]) > 1
        for run in group["runs"]:
            noise = generator.normal(0, 0.08, N)
            for attack in suite():
                if not multi and attack["objective"].startswith("all"):
                    continue
                for task in group["tasks"]:
                    right = hardness + noise < accuracy_of(variant, task, attack, multi)
                    truth = np.arange(N) % TASKS[task]
                    guess = np.where(right, truth, (truth + 1) % TASKS[task])
                    parts.append(_part(run, task, attack, guess, truth))
    return pl.concat(parts)


def _part(run: str, task: str, attack: dict, guess: np.ndarray, truth: np.ndarray) -> pl.DataFrame:
    record = np.stack([guess, truth], 1).astype(np.float32).tolist()
    shared = {
        "run": run,
        "example": np.arange(N),
        "task": task,
        "metric": "accuracy",
        "further": [[]] * N,
        **attack,
        "loss": 0.5,
    }
    shared |= {
        "linf": attack["eps"],
        "l2": attack["eps"],
        "score": (guess == truth).astype(np.float32),
        "record": record,
    }
    return pl.DataFrame(shared).select(*ROWS).cast(dict(ROWS))


def draw_gallery(k: int = 4, channels: int = 1, size: int = 8) -> Gallery:
    generator = np.random.default_rng(1)
    images = generator.random((k, channels, size, size)).astype(np.float32)
    hit = np.clip(images + 0.1 * np.sign(generator.normal(size=images.shape)), 0, 1).astype(np.float32)
    meta = tuple(
        {
            "group": groups()[i % 4]["name"],
            "run": groups()[i % 4]["runs"][0],
            "example": 10 * i,
            "attack": "PGD-20, L∞, ε 0.1, on digit",
            "task lines": [
                {"task": "digit", "truth": "3", "before": "3 (99%)", "after": "8 (71%)"},
                {"task": "parity", "truth": "odd", "before": "odd (98%)", "after": "odd (55%)"},
            ],
            "linf": 0.1,
            "l2": 0.73,
        }
        for i in range(k)
    )
    return Gallery(images, hit, meta)


def told() -> dict:
    """What study.json would hold."""
    return {
        "name": "quickstart",
        "title": "Does a second task protect the first? Handwritten digits under attack",
        "intro": ["Four variants of one small network are trained on real handwritten digits and attacked."],
        "target": "digit",
        "groups": groups(),
        "data": {
            "name": "handwritten digits (UCI)",
            "note": "Grey images of 8x8 pixels.",
            "fingerprint": "sha256:1f0c" + 8 * "ab12",
            "train": 1257,
            "val": 270,
            "test": N,
        },
        "environment": {"python": "3.11.7", "torch": "2.13.0", "machine": "2 cores", "git": "abc1234"},
        "minutes": 4.2,
        "created": "2025-11-21T04:30:00+00:00",
    }


@pytest.fixture(scope="session")
def rows() -> pl.DataFrame:
    return draw_rows()


@pytest.fixture(scope="session")
def study() -> Study:
    return Study.of(json.loads(json.dumps(told())))


@pytest.fixture(scope="session")
def frames(rows) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = {run: group["name"] for group in groups() for run in group["runs"]}
    return summarise(rows, names, resamples=100), comparisons(rows, groups(), resamples=100)


@pytest.fixture(scope="session")
def results(study, frames) -> Results:
    return Results(study, *frames)


@pytest.fixture
def gallery() -> Gallery:
    return draw_gallery()
