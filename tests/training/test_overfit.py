"""Eight real photographs are learnt by heart: losses, labels, head and trainer fit together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from testudo.data.nyuv2 import NYUv2
from testudo.models.multitask import MultiTaskModel
from testudo.models.unet import UNet
from testudo.training.journal import Journal
from testudo.training.methods.standard import Standard
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

SAMPLES = Path(os.environ.get("TESTUDO_DATA") or Path(__file__).resolve().parents[2] / "../shared/data")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """The model, and the eight images it was trained on."""
    if not (SAMPLES / "nyuv2").is_dir():
        pytest.skip(f"no sample nyuv2 in {SAMPLES} (see TESTUDO_DATA)")
    data = NYUv2(str(first_eight(tmp_path_factory.mktemp("data"))), size=(48, 64), val_share=0.0)
    examples = data.load("train")
    mean, std = data.statistics()
    model = MultiTaskModel(UNet(width=16).build(3, 0), data.tasks()[:2], mean, std)
    trainer = Trainer(
        epochs=320,
        batch_size=8,
        optimiser=Optimiser("adamw", lr=0.01, weight_decay=0.0),
        schedule=Schedule("cosine", warmup=0.05),
        precision="float32",
        validate_every=320,
    )
    journal = Journal(tmp_path_factory.mktemp("run"))
    trainer.fit(model, Standard(), examples, lambda _: {"score": 0.0}, journal)
    return model.eval(), examples.batch(range(8))


def first_eight(folder):
    """A folder of eight, so that the other 787 need not be decoded."""
    for path in (SAMPLES / "nyuv2" / "train").glob("*/[0-7].*"):
        place = folder / "train" / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        (place / path.name).symlink_to(path.resolve())
    return folder


def test_segmentation_of_eight_photographs_is_learnt_by_heart(learnt):
    model, batch = learnt
    metric = model.tasks["segmentation"].metric()
    with torch.no_grad():
        metric.update(model(batch.images)["segmentation"], batch.targets["segmentation"])
    assert metric.compute() > 0.9


def test_depth_beats_the_best_constant_by_far(learnt):
    model, batch = learnt
    task, target = model.tasks["depth"], batch.targets["depth"]
    median = torch.full_like(target, float(target.nanmedian()))
    with torch.no_grad():
        told = model(batch.images)["depth"]
    assert task.loss(told, target).mean() < 0.25 * task.loss(median, target).mean()
