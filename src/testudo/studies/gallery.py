"""The pictures of a study: a few test examples of each variant, before and after an attack."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.data.batch import Batch
from testudo.evaluation.evaluate import Evaluation
from testudo.files import write_atomic
from testudo.models.fast import Fast
from testudo.run import Run
from testudo.studies.study import Study, Variant
from testudo.tasks.dense import DenseTask
from testudo.tasks.paint import painted
from testudo.tensors import norms

SIDES = ("truth", "before", "after")
NUMBERS = 1_500_000  # of all pictures of a study: as PNG, each with its perturbation, some 4 MB of the page


def write_gallery(study: Study, folder: Path, path: Path) -> None:
    """Attack the first test examples with each variant's first run and save images and predictions as ``.npz``.

    An attack that the study names is shown in every ball in which the variant's suite has it.
    """
    shown: list[tuple[Tensor, Tensor, dict[str, Any]]] = []
    maps: list[NDArray[np.uint8]] = []
    for variant in study.variants():
        run = Run(folder / f"{variant.recipe.name}-s{study.seeds[0]}")
        model = Evaluation().target(run.model())
        examples = run.recipe.data.load("test")
        batch = examples.batch(range(min(study.shown, len(examples))))
        columns: list[Iterable[tuple[Tensor, Tensor, dict[str, Any]]]] = []
        for series, name, attack in _attacks(study, variant, batch.images[0].numel()):
            images = attack(model, batch).images
            said = _Said(model, batch, images)
            about = {"group": variant.name, "run": run.folder.name, "attack": name, "series": series}
            told = said.captions({**about, "eps": float(attack.threat.eps)}, len(maps))
            columns.append(zip(batch.images, images, told, strict=True))
            maps += said.maps()
        shown += [card for row in zip(*columns, strict=True) for card in row]  # the attacks on an example side by side
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        images=_stacked([clean for clean, _, _ in shown]),
        adversarial=_stacked([hit for _, hit, _ in shown]),
        meta=np.array(json.dumps([told for _, _, told in shown])),
        maps=np.stack(maps) if maps else np.zeros((0, 1, 1, 3), np.uint8),
    )
    write_atomic(path, buffer.getvalue())


def in_every_ball(suite: Mapping[str, Attack], name: str) -> dict[str, Attack]:
    """The attack called ``name`` and those of the suite that differ from it in radius (and step) alone, by radius.

    >>> from testudo.attacks.pgd import PGD
    >>> from testudo.attacks.threat import L2, Linf
    >>> suite = {"far": PGD(Linf(0.2)), "near": PGD(Linf(0.1)), "long": PGD(Linf(0.2), steps=50), "l2": PGD(L2(0.5))}
    >>> list(in_every_ball(suite, "far"))
    ['near', 'far']
    """
    alike = {other: attack for other, attack in suite.items() if _but_radius(attack) == _but_radius(suite[name])}
    return dict(sorted(alike.items(), key=lambda each: float(each[1].threat.eps)))


def _but_radius(attack: Attack) -> tuple[object, ...]:
    rest = {part.name: repr(getattr(attack, part.name)) for part in fields(attack)}
    return type(attack), type(attack.threat), id(attack.threat.mask), rest | {"threat": "", "step": ""}


def _attacks(study: Study, variant: Variant, numbers: int) -> list[tuple[str, str, Attack]]:
    """Series, name and attack of a variant's pictures; one of a series where all would make the page too large."""
    suite = variant.recipe.suite
    swept = {name: in_every_ball(suite, name) for name in study.gallery(variant)}
    pictures = study.shown * len(study.variants()) * sum(map(len, swept.values()))
    if pictures * numbers > NUMBERS:
        swept = {name: {name: suite[name]} for name in swept}
    return [(series, name, attack) for series, made in swept.items() for name, attack in made.items()]


def _stacked(images: list[Tensor]) -> NDArray[np.float32]:
    """(k, C, H, W), of a study without pictures (0, 1, 1, 1)."""
    return torch.stack(images).numpy() if images else np.zeros((0, 1, 1, 1), np.float32)


class _Said:
    """What a model says of images and of attacked ones, in words and, for dense tasks, in colours."""

    def __init__(self, model: Fast, batch: Batch, images: Tensor) -> None:
        self.batch, self.images = batch, images
        self.tasks = {name: task for name, task in model.tasks.items() if name in batch.targets}
        self.dense = {name: task for name, task in self.tasks.items() if isinstance(task, DenseTask)}
        with torch.no_grad():
            self.before, self.after = model.exact(batch.images), model.exact(images)

    def captions(self, shared: Mapping[str, str | float], first: int) -> list[dict[str, Any]]:
        """Of each image; its maps count from ``first`` on, in the order of :meth:`maps`."""
        targets = self.batch.targets
        words = {
            name: (task.tell(targets[name]), task.describe(self.before[name]), task.describe(self.after[name]))
            for name, task in self.tasks.items()
            if not task.dense
        }
        moved = self.images - self.batch.images
        size = {"linf": norms(moved, torch.inf), "l2": norms(moved, 2)}
        numbers = itertools.count(first)
        return [
            {
                **shared,
                "example": int(self.batch.ids[row]),
                **{norm: float(values[row]) for norm, values in size.items()},
                "task lines": [
                    {"task": name, **{side: said[row] for side, said in zip(SIDES, each, strict=True)}}
                    for name, each in words.items()
                ],
                "task maps": [{"task": name, **{side: next(numbers) for side in SIDES}} for name in self.dense],
            }
            for row in range(len(self.batch))
        ]

    def maps(self) -> list[NDArray[np.uint8]]:
        """(H, W, 3) of each image and dense task: the truth, the prediction before and after."""
        found = []
        for row in range(len(self.batch)):
            for name, task in self.dense.items():
                said = [task.as_label(each[name][row : row + 1])[0] for each in (self.before, self.after)]
                shown = painted(task, [self.batch.targets[name][row], *said])
                found += [np.round(255 * picture).astype(np.uint8) for picture in shown]
        return found
