"""``testudo attack``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tyro.conf import Positional

from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.data.images import opened
from testudo.errors import TestudoError
from testudo.models.fast import Fast, fast
from testudo.run import Run
from testudo.tensors import norms
from testudo.training.checkpoint import write_atomic

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def attack(
    run: Positional[Path],
    /,
    image: Path,
    out: Path,
    eps: float = 8 / 255,
    steps: int = 20,
    tasks: tuple[str, ...] = (),
) -> None:
    """Attack image files with a run's model: PGD within an Linf ball, away from what it says of them now.

    Args:
        run: the run folder.
        image: a file, or a folder of files.
        out: the folder for adversarial PNGs, amplified perturbations and predictions.json.
        eps: radius in [0, 1] pixel units.
        steps: of PGD.
        tasks: the tasks to attack (default: every task).
    """
    trained = Run(run)
    model, channels = fast(trained.model()), len(trained.facts["mean"])
    search = PGD(threat=Linf(eps), objective=Objective(tasks=tasks), steps=steps)
    files = _files(image)
    if any(path.parent.resolve() == out.resolve() for path in files):
        raise TestudoError(f"{out} holds the images themselves; choose another folder for --out")
    told = [_one(model, search, path, channels, out / name) for path, name in zip(files, _names(files), strict=True)]
    write_atomic(out / "predictions.json", json.dumps(told, indent=1))
    for item in told:
        changes = "; ".join(f"{t['task']}: {t['before']} -> {t['after']}" for t in item["tasks"])
        print(f"{item['image']}: {changes}")
    print(f"{len(told)} adversarial PNGs and predictions.json in {out} (8-bit rounding is included in what is told)")


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


def _one(model: Fast, search: PGD, path: Path, channels: int, out: Path) -> dict[str, Any]:
    """Attack one file; write pictures whose names begin with ``out``; return what the model says before and after."""
    clean = _read(path, channels)
    with torch.no_grad():
        before = model.exact(clean)
    labels = {name: task.as_label(before[name]) for name, task in model.tasks.items()}
    hurt = _rounded(search(model, Batch(clean, labels)).images, clean)
    with torch.no_grad():
        after = model.exact(hurt)
    moved = hurt - clean
    factor = 0.5 / max(float(moved.abs().max()), 1 / 255)
    _write(hurt, out.with_name(f"{out.name}.adversarial.png"))
    _write((0.5 + factor * moved).clamp(0, 1), out.with_name(f"{out.name}.perturbation.png"))
    return {
        "image": str(path),
        "adversarial": f"{out.name}.adversarial.png",
        "attack": repr(search),
        "linf": float(norms(moved, torch.inf)),
        "l2": float(norms(moved, 2)),
        "perturbation_amplified_by": factor,
        "tasks": [
            {"task": name, "before": task.describe(before[name])[0], "after": task.describe(after[name])[0]}
            for name, task in model.tasks.items()
        ],
    }


def _read(path: Path, channels: int) -> Tensor:
    """(1, C, H, W) floats in [0, 1]."""
    pixels = np.asarray(opened(path, "attack").convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).copy()).permute(2, 0, 1)[None].float() / 255


def _rounded(images: Tensor, clean: Tensor) -> Tensor:
    """``images`` in 8 bits, each value rounded towards the clean one, so that the ball still holds it."""
    levels = 255 * (images - clean)
    return ((255 * clean).round() + (levels.abs() + 1e-4).floor() * levels.sign()) / 255  # as the PNG is read back


def _write(images: Tensor, path: Path) -> None:
    pixels = (images[0].permute(1, 2, 0) * 255).round().byte().numpy()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    write_atomic(path, lambda buffer: picture.save(buffer, "PNG"))
