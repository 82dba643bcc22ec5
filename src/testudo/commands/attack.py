"""``testudo attack``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tyro.conf import OmitArgPrefixes, Positional

from testudo.attacks.base import Attack
from testudo.attacks.pgd import PGD
from testudo.commands.picture import picture
from testudo.data.batch import Batch
from testudo.data.images import opened
from testudo.errors import TestudoError, nearest
from testudo.evaluation.evaluate import describe
from testudo.files import write_atomic
from testudo.models.fast import Fast, fast
from testudo.recipe import Recipe
from testudo.registry import ATTACKS, THREATS
from testudo.run import Run
from testudo.suite import ball
from testudo.tensors import norms

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
SLACK = 1e-4  # of a 255th: a value this near to a level is on it


@dataclass(frozen=True)
class Search:
    """Which attack; what is not given stays as the attack has it.

    Args:
        attack: one of the recipe's suite by its name there, or any of "testudo list attacks".
        eps: radius in [0, 1] pixel units (by default the suite's; else 8/255 in Linf).
        norm: linf, l2 or l1.
        steps: of the search.
        tasks: the tasks to attack (default: the suite's; else every task).
    """

    attack: str = "pgd"
    eps: float | None = None
    norm: str | None = None
    steps: int | None = None
    tasks: tuple[str, ...] = ()

    def build(self, recipe: Recipe) -> Attack:
        """The attack; raises TestudoError for an unknown one and for what it does not take."""
        chosen = recipe.suite.get(self.attack) or self._registered(recipe)
        if self.steps is not None and "steps" not in {field.name for field in dataclasses.fields(chosen)}:
            raise TestudoError(f"{self.attack} has no steps to choose")
        if self.norm is not None and self.eps is None and self.norm != THREATS.name_of(type(chosen.threat)):
            raise TestudoError(f"--norm {self.norm} needs --eps, which means something else in every norm")
        threat = type(chosen.threat) if self.norm is None else THREATS.get(self.norm)
        given: dict[str, Any] = {"threat": threat(chosen.threat.eps if self.eps is None else self.eps)}
        if self.steps is not None:
            given["steps"] = self.steps
        if self.tasks:
            given["objective"] = replace(chosen.objective, tasks=self.tasks)
        return replace(chosen, **given)

    def _registered(self, recipe: Recipe) -> Attack:
        if self.attack == "pgd":
            return PGD(steps=20)
        if self.attack not in ATTACKS.names():
            allowed = [*recipe.suite, *ATTACKS.names()]
            guess = nearest(self.attack, allowed)
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise TestudoError(f"unknown attack {self.attack!r}{hint} (allowed: {', '.join(allowed)})")
        return ATTACKS.get(self.attack)()


def attack(
    run: Positional[Path],
    /,
    image: Path,
    out: Path,
    search: Annotated[Search, OmitArgPrefixes] = Search(),
) -> None:
    """Attack image files with a run's model, away from what it says of them now.

    Args:
        run: the run folder.
        image: a file, or a folder of files.
        out: the folder for adversarial PNGs, amplified perturbations, pictures of both and predictions.json.
        search: which attack.
    """
    trained = Run(run)
    made, files = search.build(trained.recipe), _files(image)
    model, channels = fast(trained.model()), len(trained.facts["mean"])
    if any(path.parent.resolve() == out.resolve() for path in files):
        raise TestudoError(f"{out} holds the images themselves; choose another folder for --out")
    told = [_one(model, made, path, channels, out / name) for path, name in zip(files, _names(files), strict=True)]
    write_atomic(out / "predictions.json", json.dumps(told, indent=1))
    for item in told:
        changes = "; ".join(f"{t['task']}: {t['before']} -> {t['after']}" for t in item["tasks"])
        print(f"{item['image']}: {changes}")
    kept = sum(item["inside"] for item in told)
    print(
        f"{len(told)} adversarial PNGs, pictures and predictions.json in {out} (8-bit rounding is included in all that "
        f"is told; {kept} of {len(told)} then lie within {ball(made.threat)})"
    )


def _files(place: Path) -> list[Path]:
    """The image files at ``place``; raises TestudoError where there are none."""
    if place.is_file():
        return [place]
    files = sorted(path for path in place.glob("*") if path.suffix.lower() in ENDINGS) if place.is_dir() else []
    if not files:
        raise TestudoError(f"no image files at {place} (allowed: {', '.join(ENDINGS)})")
    return files


def _names(files: list[Path]) -> list[str]:
    """What each file's pictures are called: without its ending, where that tells it from the others."""
    stems = [path.stem for path in files]
    return [path.name if stems.count(path.stem) > 1 else path.stem for path in files]


def _one(model: Fast, search: Attack, path: Path, channels: int, out: Path) -> dict[str, Any]:
    """Attack one file; write pictures whose names begin with ``out``; return what the model says before and after."""
    clean = _read(path, channels)
    with torch.no_grad():
        before = model.exact(clean)
    labels = {name: task.as_label(before[name]) for name, task in model.tasks.items()}
    hurt = _rounded(search(model, Batch(clean, labels)).images, clean, SLACK if search.threat.p == torch.inf else 0)
    with torch.no_grad():
        after = model.exact(hurt)
    moved = hurt - clean
    factor = 0.5 / max(float(moved.abs().max()), 1 / 255)
    size = float(search.threat.size(hurt, clean))
    told = {
        "image": str(path),
        "adversarial": f"{out.name}.adversarial.png",
        "attack": describe(search) | {"fields": repr(search)},
        "linf": float(norms(moved, torch.inf)),
        "l2": float(norms(moved, 2)),
        "size": size,
        "inside": size <= float(search.threat.eps) + 1e-6,
        "within": ball(search.threat),
        "perturbation_amplified_by": factor,
        "tasks": [
            {"task": name, "before": task.describe(before[name])[0], "after": task.describe(after[name])[0]}
            for name, task in model.tasks.items()
        ],
    }
    shown = (0.5 + factor * moved).clamp(0, 1)
    _write(hurt, out.with_name(f"{out.name}.adversarial.png"))
    _write(shown, out.with_name(f"{out.name}.perturbation.png"))
    write_atomic(
        out.with_name(f"{out.name}.picture.png"), picture((clean, shown, hurt), model.tasks, before, after, told)
    )
    return told


def _read(path: Path, channels: int) -> Tensor:
    """(1, C, H, W) floats in [0, 1]."""
    pixels = np.asarray(opened(path, "attack").convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).copy()).permute(2, 0, 1)[None].float() / 255


def _rounded(images: Tensor, clean: Tensor, slack: float) -> Tensor:
    """``images`` in 8 bits, each value rounded towards the clean one, so that the ball still holds it.

    In Linf that is to the bit: values within ``slack`` of the ball's last level reach it. In other norms rounding gives
    some of the perturbation away.
    """
    levels = 255 * (images - clean)
    return ((255 * clean).round() + (levels.abs() + slack).floor() * levels.sign()) / 255  # as the PNG is read back


def _write(images: Tensor, path: Path) -> None:
    pixels = (images[0].permute(1, 2, 0) * 255).round().byte().numpy()
    made = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    write_atomic(path, lambda buffer: made.save(buffer, "PNG"))
