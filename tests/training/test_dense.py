"""Dense tasks go the whole way: augmented, trained, attacked, judged, summarised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest
import torch
from task_cases import CASES, labels

from testudo.attacks.fgsm import FGSM
from testudo.attacks.number_surrogates import L1Error, L2Error
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import TaskLoss
from testudo.attacks.threat import Linf
from testudo.balance.softmin import Softmin
from testudo.data.augment import Augment
from testudo.data.batch import Batch
from testudo.data.nyuv2 import NYUv2
from testudo.evaluation.evaluate import evaluate
from testudo.evaluation.summarise import summarise
from testudo.models.multitask import MultiTaskModel
from testudo.models.unet import UNet
from testudo.recipe import Recipe
from testudo.run import train
from testudo.tasks.segmentation import Segmentation
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser
from testudo.training.trainer import Trainer

writers = SimpleNamespace(**run_path(str(Path(__file__).resolve().parents[1] / "data" / "writers.py")))
METRICS = {"segmentation": "miou", "depth": "aerr", "normal": "mdist"}


def test_three_dense_tasks_from_files_to_delta(tmp_path, said):
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
    found = {(row["attack"], row["task"]): row for row in summary.filter("primary").iter_rows(named=True)}
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
    code, out, _ = said("evaluate", run.folder)
    assert code == 0
    for words in ("segmentation: further metrics", "depth: further metrics", "relative error", "median angle"):
        assert words in " ".join(out.split())


@pytest.mark.parametrize("surrogate", [TaskLoss(), L1Error(), L2Error()], ids=repr)
def test_every_dense_task_is_attacked_and_judged(surrogate):
    """All of them at once, on random labels; where a surrogate is not for classes, the segmentation's own loss is."""
    tasks = [replace(task, name=name.replace("-", "_")) for name, task in CASES.items() if task.dense]
    model = MultiTaskModel(UNet(width=4).build(3, 0), tasks, [0.5] * 3, [0.25] * 3, 0).eval()
    images = torch.rand(4, 3, 3, 4, generator=torch.Generator().manual_seed(0))
    data = Batch(images, {task.name: labels(task, 4) for task in tasks})
    by = {task.name: TaskLoss() if isinstance(task, Segmentation) else surrogate for task in tasks}
    attack = PGD(Linf(0.1), Objective(balance=Softmin(), surrogate=by), steps=5)
    summary = summarise(evaluate(model, data, {"clean": None, "pgd": attack}), resamples=20)
    for task in tasks:
        for attacked in ("clean", "pgd"):
            part = summary.filter(task=task.name, attack=attacked)
            assert part["metric"].to_list() == [task.metric_name, *task.further]
            assert part["value"].is_finite().all()
            assert part["n"].to_list() == [3] * len(part)
    assert summary.filter(metric="delta_mtl")["value"].item() < 0
