"""A run put to use in another one: its weights to start from, its answers as labels."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import torch

from testudo.data.dataset import DataSet
from testudo.data.extended import Extended
from testudo.data.wrapped import undivided
from testudo.evaluation.evaluate import Evaluation
from testudo.files import write_atomic
from testudo.labelling import answers, tellable
from testudo.parts import dump
from testudo.recipe import Recipe
from testudo.run import Run
from testudo.studies.pool import put

BATCH = 256


def taught(recipe: Recipe, first: Run) -> Recipe:
    """``recipe`` with the place of ``first``, a finished run, where it has the name of that."""
    wants = isinstance(recipe.data, Extended) and recipe.data.labels == first.name
    labels = str(labelled(first, recipe.data.extra)) if wants else ""
    return put(recipe, first.name, str(first.folder), labels)


def labelled(run: Run, extra: DataSet) -> Path:
    """The table of what a finished run says of the training images of ``extra``; made where it is not there.

    It lies in the run's folder, and is the same whoever makes it: several may at once.
    """
    what = hashlib.sha256(json.dumps([run.weights, dump(extra)], sort_keys=True).encode()).hexdigest()[:12]
    path = run.folder / f"labels-{what}.csv"
    if not path.is_file():
        write_atomic(path, _table(run, extra))
    return path


def _table(run: Run, extra: DataSet) -> str:
    """``id`` and a column for each task whose answers fit into one."""
    examples = undivided(extra).load("train")
    model = Evaluation(BATCH, device="auto").target(run.model())
    tasks = tellable(model.tasks.values())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", *(task.name for task in tasks)])
    for part in torch.arange(len(examples)).split(BATCH):
        for answer in answers(model, tasks, examples.images, part):
            writer.writerow([int(examples.ids[answer.index]), *answer.cells])
    return out.getvalue()
