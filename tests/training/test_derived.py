"""Derived labels go the whole way: from a recipe's text through augmentation and training to rows."""

from __future__ import annotations

import math
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

from testudo.recipe import read
from testudo.run import train

writers = SimpleNamespace(**run_path(str(Path(__file__).resolve().parents[1] / "data" / "writers.py")))
TEXT = """
name = "derived"
tasks = ["segmentation", "image", "edges", "corners", "hog", "gaps"] # and not the normals, which are mirrored
[data]
kind = "nyuv2"
root = "{root}"
size = [16, 24]
derived = [
    {{ kind = "image", name = "image", loss_kind = "l2" }},
    {{ kind = "canny", name = "edges", sigma = 0.5 }},
    {{ kind = "harris", name = "corners" }},
    {{ kind = "hog", name = "hog", cell = 4 }},
    {{ kind = "occlusion", name = "gaps" }},
]
[model]
kind = "unet"
width = 4
[method]
kind = "standard"
[trainer]
epochs = 2
batch_size = 8
precision = "float32"
optimiser = {{ algorithm = "adamw", lr = 0.01 }}
augment = {{ flip = true, scales = [1.0, 1.2, 1.5], colour = {{ brightness = 0.2, hue = 0.1 }} }}
[suite.fgsm]
kind = "fgsm"
threat = {{ kind = "linf", eps = 0.1 }}
"""


def test_derived_tasks_from_a_recipe_to_rows(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT.format(root=writers.nyuv2_images(tmp_path / "data")))
    recipe = read(path)
    run = train(recipe, tmp_path / "run")
    assert set(run.log[-1]["terms"]) == {f"{name}.clean" for name in recipe.tasks}
    assert all(math.isfinite(term) and term > 0 for term in run.log[-1]["terms"].values())
    first, last = (sum(record["terms"].values()) for record in (run.log[0], run.log[-1]))
    assert last < first
    rows = run.rows({"clean": None, **recipe.suite})
    assert set(rows["task"].unique()) >= set(recipe.tasks)
    clean, hurt = (rows.filter(attack=attack)["loss"].mean() for attack in ("clean", "fgsm"))
    assert 0 < clean < hurt
