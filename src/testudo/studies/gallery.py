"""The pictures of a study: a few test examples of each variant, before and after an attack."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from testudo.data.batch import Batch
from testudo.evaluation.evaluate import Evaluation
from testudo.files import write_atomic
from testudo.models.fast import Fast
from testudo.run import Run
from testudo.studies.study import Study
from testudo.tensors import norms

SHOWN = 4  # examples: the first of the test split, so that nobody chose them


def write_gallery(study: Study, folder: Path, path: Path) -> None:
    """Attack the first test examples with each variant's first run and save images and predictions as ``.npz``."""
    clean, attacked, meta = [], [], []
    for variant in study.variants():
        run = Run(folder / f"{variant.recipe.name}-s{study.seeds[0]}")
        model = Evaluation().target(run.model())
        examples = run.recipe.data.load("test")
        batch = examples.batch(range(min(SHOWN, len(examples))))
        for name in study.gallery(variant):
            images = variant.recipe.suite[name](model, batch).images
            clean.append(batch.images)
            attacked.append(images)
            meta += _captions(model, batch, images, {"group": variant.name, "run": run.folder.name, "attack": name})
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        images=torch.cat(clean).numpy(),
        adversarial=torch.cat(attacked).numpy(),
        meta=np.array(json.dumps(meta)),
    )
    write_atomic(path, buffer.getvalue())


def _captions(model: Fast, batch: Batch, images: torch.Tensor, shared: dict[str, str]) -> list[dict[str, Any]]:
    tasks = {name: task for name, task in model.tasks.items() if name in batch.targets}
    with torch.no_grad():
        before, after = model.exact(batch.images), model.exact(images)
    said = {n: (t.describe(before[n]), t.describe(after[n]), t.tell(batch.targets[n])) for n, t in tasks.items()}
    size = {"linf": norms(images - batch.images, torch.inf), "l2": norms(images - batch.images, 2)}
    return [
        {
            **shared,
            "example": int(batch.ids[row]),
            "linf": float(size["linf"][row]),
            "l2": float(size["l2"][row]),
            "task lines": [
                {"task": name, "before": said[name][0][row], "after": said[name][1][row], "truth": said[name][2][row]}
                for name in tasks
            ],
        }
        for row in range(len(batch))
    ]
