"""``testudo diagnose``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import polars as pl
from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional

from testudo.attacks.threat import Linf, Threat
from testudo.data.splits import evenly
from testudo.environment import threads
from testudo.errors import TestudoError, unknown
from testudo.evaluation.diagnosis.diagnose import Examination
from testudo.evaluation.diagnosis.diagnose import diagnose as examine
from testudo.evaluation.diagnosis.evidence import TRANSFER, Make
from testudo.evaluation.diagnosis.picture import picture
from testudo.evaluation.diagnosis.substitute import substitute
from testudo.evaluation.kept import Kept
from testudo.files import write_atomic
from testudo.models.model import Model
from testudo.progress import meter
from testudo.recipe import Recipe
from testudo.registry import THREATS
from testudo.run import Run

ROWS = "diagnosis"  # the folder of rows
LEARNT_FROM = 1000  # training images, at most, of a substitute


@dataclass(frozen=True)
class Look:
    """Where to look; what is not given is the run's own.

    Args:
        task: which tasks, each by itself (default: the main one; each costs about one AutoAttack).
        eps: radius of the ball in [0, 1] pixel units (default: that of the attack it was trained with; else of
            validation, of the recipe's suite, 8/255 in Linf).
        norm: linf, l2 or l1.
        examples: how many test examples.
        batch_size: examples at a time.
        device: where to run, e.g. cpu or cuda:1 (auto: the GPU where there is one).
    """

    task: tuple[str, ...] = ()
    eps: float | None = None
    norm: str | None = None
    examples: int = 200
    batch_size: int = 128
    device: str = "auto"

    def threat(self, recipe: Recipe) -> Threat:
        """The ball; raises TestudoError for an unknown norm, or another one without its eps."""
        own = own_threat(recipe)
        if self.norm is not None and self.eps is None and self.norm != THREATS.name_of(type(own)):
            raise TestudoError(f"--norm {self.norm} needs --eps, which means something else in every norm")
        kind = type(own) if self.norm is None else THREATS.get(self.norm)
        return kind(own.eps if self.eps is None else self.eps)


def own_threat(recipe: Recipe) -> Threat:
    """The ball that a recipe hardens in: its method's attack's, else validation's, its suite's first, or Linf 8/255."""
    found = [getattr(recipe.method, "attack", None), recipe.validation, *recipe.suite.values()]
    return next((attack.threat for attack in found if attack is not None), Linf(8 / 255))


def diagnose(
    run: Positional[Path],
    /,
    twin: Path | None = None,
    look: Annotated[Look, OmitArgPrefixes] = Look(),
) -> None:
    """Is a run's robustness real: checks for masked gradients, each pass, warn or fail with its evidence.

    Attacks that were made already are not made again. Writes diagnosis.json, diagnosis.md and diagnosis.png.

    Args:
        run: the run folder.
        twin: another run on the same data, best without the defence, whose adversarial images are tried on this one
            (default: a small network that learns the run's own answers in a few seconds).
        look: where.
    """
    trained = Run(run)
    threat, weights = look.threat(trained.recipe), trained.weights
    model = trained.judged(weights)
    names = look.task or tuple(model.tasks)[:1]
    for name in names:
        if name not in model.tasks:
            raise unknown("task", name, model.tasks)
    examples = trained.test()
    other = _substitute(trained, model, names) if twin is None else _other(Run(twin), trained)
    about, whose = (weights, trained.facts["data"]["test"]), "substitute" if twin is None else Run(twin).weights
    kept = Shelf(trained.folder / ROWS, look.batch_size, about, whose)
    how = Examination(look.examples, batch_size=look.batch_size, device=look.device, keep=kept)
    with threads(trained.facts["threads"]), meter(f"diagnosing {trained.name}") as shown:
        found = replace(examine(model, examples, threat, names, other, how, shown), run=trained.name)
    for ending, content in (("json", found.json()), ("md", found.markdown()), ("png", picture(found))):
        write_atomic(trained.folder / f"diagnosis.{ending}", content)
    Console().print(found.rich())
    print(f"diagnosis.json, diagnosis.md and diagnosis.png in {trained.folder}")


@dataclass(frozen=True)
class Shelf:
    """Rows of the attacks of a diagnosis, in a folder, each in a file that is named by all that they depend on.

    Args:
        folder: where.
        size: examples in a batch.
        about: what tells the model and the data from others.
        twin: what tells the twin from others.
    """

    folder: Path
    size: int
    about: tuple[str, ...]
    twin: str

    def __call__(self, name: str, key: str, make: Make, watch: Callable[[int], None]) -> pl.DataFrame:
        """The rows, made where they are not there."""
        what = [*self.about, name, key, self.twin if name == TRANSFER else ""]
        digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
        return Kept(self.folder / f"{digest}.parquet", self.size, write_atomic).rows(make, watch)


def _other(twin: Run, run: Run) -> Model:
    """The twin's model; raises TestudoError where its data are others."""
    if twin.facts["data"]["test"] != run.facts["data"]["test"]:
        raise TestudoError(f"{twin.folder} has other test examples than {run.folder}; a twin must be of the same data")
    return twin.model()


def _substitute(run: Run, model: Model, names: Sequence[str]) -> Model | None:
    """A small network that learns the answers of ``model``; none where every task is dense."""
    learnt = [name for name in names if not model.tasks[name].dense]
    if not learnt:
        return None
    train = run.recipe.data.load("train")
    with threads(run.facts["threads"]):
        return substitute(model, train.batch(evenly(LEARNT_FROM, len(train)), ()).images, learnt, run.recipe.seed)
