"""Dense tasks go the whole way: augmented, trained, attacked, judged, summarised."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

from testudo.attacks.fgsm import FGSM
from testudo.attacks.threat import Linf
from testudo.data.augment import Augment
from testudo.data.nyuv2 import NYUv2
from testudo.evaluation.summarise import summarise
from testudo.models.unet import UNet
from testudo.recipe import Recipe
from testudo.run import train
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser
from testudo.training.trainer import Trainer

writers = SimpleNamespace(**run_path(str(Path(__file__).resolve().parents[1] / "data" / "writers.py")))
METRICS = {"segmentation": "miou", "depth": "aerr", "normal": "mdist"}


def test_three_dense_tasks_from_files_to_delta(tmp_path):
    recipe = Recipe(
        name="rooms",
        data=NYUv2(str(writers.nyuv2_images(tmp_path / "data")), size=(16, 24)),
        model=UNet(width=4),
        method=Standard(),
        trainer=Trainer(
            epochs=2,
            batch_size=8,
            optimiser=Optimiser("adamw", lr=0.01),
            augment=Augment(crop=2, flip=True),
            precision="float32",
        ),
        suite={"fgsm": FGSM(Linf(0.1))},
    )
    run = train(recipe, tmp_path / "run")
    summary = summarise(run.rows({"clean": None, **recipe.suite}), resamples=50)
    found = {(row["attack"], row["task"]): row for row in summary.iter_rows(named=True)}
    for name, metric in METRICS.items():
        clean, attacked = found["clean", name], found["fgsm", name]
        assert clean["metric"] == metric
        assert clean["n"] == attacked["n"] == 4
        assert clean["low"] <= clean["value"] <= clean["high"]
    assert run.log[-1]["validation"]["score"] == run.log[-1]["validation"]["segmentation.clean"]
    depths = [record["terms"]["depth.clean"] for record in run.log]
    assert depths[1] < depths[0]
    deltas = {row["metric"]: row["value"] for row in summary.filter(task="*").iter_rows(named=True)}
    clean, hurt = ({task: found[attack, task]["value"] for task in METRICS} for attack in ("clean", "fgsm"))
    changes = [clean[task] / hurt[task] - 1 for task in ("depth", "normal")]
    changes.append(hurt["segmentation"] / clean["segmentation"] - 1)
    assert deltas["delta_mtl"] == pytest.approx(sum(changes) / 3)
    assert deltas["delta_wor"] == pytest.approx(max(changes))
    assert deltas["delta_mtl"] < 0
