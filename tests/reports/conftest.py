"""A made-up study: plausible rows of four variants, two seeds each, so that a page can be built without training."""

from __future__ import annotations

import base64
import json

import numpy as np
import polars as pl
import pytest

from testudo.evaluation.claims import judge
from testudo.evaluation.columns import ROWS
from testudo.evaluation.seal import sealed
from testudo.evaluation.significance import comparisons
from testudo.evaluation.summarise import summarise
from testudo.reports.results import Results
from testudo.reports.study import Gallery, Study

TASKS = {"digit": 10, "parity": 2, "loop": 2}
EPS = (0.05, 0.1, 0.15, 0.2)
VARIANTS = {"standard": (0.97, 9.0), "adversarial": (0.95, 3.0)}  # clean accuracy, fall with eps
N = 240
STRONG = "pgd-linf-0.2-digit"
PIXEL = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


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
                    "recipe": f'name = "{name}"\n\n[trainer]\nepochs = 30\n',
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


def draw_gallery(balls: tuple[float, ...] = (0.1,), channels: int = 1, size: int = 8) -> Gallery:
    """An example of each group, before and after attacks of several sizes."""
    generator = np.random.default_rng(1)
    clean = generator.random((len(groups()), channels, size, size)).astype(np.float32)
    images = np.repeat(clean, len(balls), axis=0)
    steps = np.tile(np.array(balls, np.float32), len(clean))[:, None, None, None]
    hit = np.clip(images + steps * np.sign(generator.normal(size=images.shape)), 0, 1).astype(np.float32)
    meta = tuple(
        {
            "group": group["name"],
            "run": group["runs"][0],
            "example": 10 * number,
            "attack": f"pgd20 linf {eps:g} on digit",
            "series": "pgd20 linf 0.1 on digit",
            "eps": eps,
            "task lines": [
                {"task": "digit", "truth": "3", "before": "3 (99%)", "after": f"{'8' if eps > 0.05 else '3'} (71%)"},
                {"task": "parity", "truth": "odd", "before": "odd (98%)", "after": "odd (55%)"},
            ],
            "linf": eps,
            "l2": 8 * eps,
        }
        for number, group in enumerate(groups())
        for eps in balls
    )
    return Gallery(images, hit, meta)


def claims() -> list[dict]:
    """One that holds, one that does not, one that is not decided."""
    hard, plain = ["adversarial, single-task", STRONG], ["standard, single-task", STRONG]
    both = ["standard, multi-task", "clean"]
    shared = {"source": "A. Author 2025, Table 1", "task": "digit", "share": 1.0}
    return [
        {"text": "adversarial training hardens", "pairs": [[hard, plain]], **shared},
        {"text": "standard training <hardens>", "pairs": [[plain, hard], [both, both]], **shared},
        {"text": "a model is better than itself", "pairs": [[both, both], [hard, plain]], **shared},
    ]


def beside() -> list[dict]:
    """A published number that we have one for, in doubt, and one that we have none for."""
    ours = {"side": ["standard, single-task", "clean"], "task": "digit"}
    none = {"side": ["standard, single-task", "autoattack"], "task": "digit"}
    return [
        {"label": "Alone, clean accuracy", "theirs": "74.49", "spread": "0.13", "note": "slip: printed twice", **ours},
        {"label": "Alone, AutoAttack", "theirs": "23.00", "spread": "", "note": "", **none},
    ]


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
        "claims": claims(),
        "beside": beside(),
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


@pytest.fixture(scope="session")
def claimed(study, frames, rows) -> Results:
    """With its claims judged."""
    return Results(study, *frames, tuple(judge(rows, study.claims, {g.name: g.runs for g in study.groups})))


def diagnosis(verdict: str = "warn") -> dict:
    """What `testudo diagnose` writes of a run."""
    finding = {"check": "one step", "task": "digit", "verdict": verdict, "said": "FGSM beats PGD <by> little"}
    finding |= {"numbers": {"fgsm": 0.123456, "n": 60, "stronger": "none"}, "source": "Carlini et al. 2019"}
    return {"run": "r", "threat": "linf 0.15", "examples": 60, "verdict": verdict, "findings": [finding], "views": []}


@pytest.fixture(scope="session")
def folder(rows, tmp_path_factory):
    """A whole study folder: not to be changed."""
    made = tmp_path_factory.mktemp("study")
    crossed = {"name": "crossed", "title": "Transfer", "caption": "Made against one.", "file": "measures/0.csv"}
    lost = {"name": "lost", "title": "Lost", "caption": "", "file": "measures/1.csv"}
    (made / "study.json").write_text(json.dumps(told() | {"measures": [crossed, lost]}))
    (made / "rows.parquet").write_bytes(sealed(rows))
    (made / "measures").mkdir()
    (made / "measures" / "0.csv").write_text(
        "surrogate,success,success_low,success_high\nb,0.123456,0.1,0.2\na,2,1,3\n"
    )
    (made / "diagnosis").mkdir()
    (made / "diagnosis" / "run.json").write_text(json.dumps(diagnosis()))
    (made / "diagnosis" / "run.png").write_bytes(base64.b64decode(PIXEL))
    shown = draw_gallery((0.05, 0.1, 0.2))
    with (made / "gallery.npz").open("wb") as file:
        meta = np.array(json.dumps(shown.meta))
        np.savez(file, images=shown.images, adversarial=shown.adversarial, meta=meta)
    return made
