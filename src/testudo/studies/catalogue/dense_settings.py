"""The settings that studies on maps share, so that what one has trained others need not."""

from __future__ import annotations

from dataclasses import replace

from testudo.data.augment import Augment
from testudo.data.cityscapes import Cityscapes
from testudo.data.nyuv2 import NYUv2
from testudo.data.pixel_labels import ImageLabel
from testudo.data.scenes import Scenes
from testudo.data.taskonomy import Taskonomy
from testudo.models.drn import DRND22, DRND105
from testudo.models.resnet import ResNet18
from testudo.models.unet import UNet
from testudo.studies.auxiliaries import TASKS
from testudo.studies.catalogue.dense_setting import DenseSetting
from testudo.studies.entry import Scale
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

ELEVEN = {  # Taskonomy's tasks, as Mao et al. call them, and as they are called here
    "SemSeg": "segmentation", "DepthZ": "depth", "Edge2D": "edges", "Normal": "normal", "Reshading": "reshading",
    "Key2D": "keypoints2d", "Key3D": "keypoints3d", "DepthE": "euclidean", "AutoE": "image", "Edge3D": "occlusion",
    "PCurve": "curvature",
}  # fmt: skip
ADAM = ("depth", "edges", "normal", "keypoints2d", "occlusion")  # the main tasks that the paper learns with Adam

ADAMW, COSINE = Optimiser("adamw", lr=2e-3, weight_decay=1e-2), Schedule("cosine", warmup=0.05)
SMALL_TRAINER = Trainer(epochs=20, batch_size=16, optimiser=ADAMW, schedule=COSINE, validate_every=4)
SEEN = Augment(crop=8, flip=True)

SMOKE = DenseSetting(
    data=Scenes(size=(16, 24), rooms=(2, 1, 2), views=2, wanted=("segmentation", "depth", "image")),
    model=UNet(width=2),
    trainer=Trainer(epochs=1, batch_size=4, optimiser=ADAMW, precision="float32"),
    radii=(4 / 255, 8 / 255),
    steps=(1, 2),
    inner=1,
)
SMALL = DenseSetting(data=Scenes(size=(48, 64), wanted=TASKS), model=UNet(width=16), trainer=SMALL_TRAINER)
GPU = DenseSetting(
    data=NYUv2(size=(144, 192), derived=(ImageLabel("image"),)),
    model=UNet(),
    trainer=replace(SMALL_TRAINER, epochs=40, augment=SEEN, validate_every=10),
)
FLIPPED = Augment(flip=True)
STREETS = DenseSetting(
    data=Cityscapes(preparation="mao"),
    model=DRND22(),
    trainer=Trainer(
        epochs=200,
        batch_size=32,
        optimiser=Optimiser(lr=0.01, weight_decay=1e-4),
        schedule=Schedule("multistep", milestones=(0.9,)),
        augment=FLIPPED,
        workers=8,
        validate_every=10,
    ),
    weight=0.01,
)
WIDE = replace(
    STREETS,
    model=DRND105(),
    trainer=replace(
        STREETS.trainer, epochs=250, batch_size=24, schedule=Schedule("multistep", milestones=(0.4, 0.8))
    ),
)  # fmt: skip

THREE: dict[Scale, DenseSetting] = {"smoke": SMOKE, "small": SMALL, "gpu": GPU, "paper": STREETS}
TOGETHER: dict[Scale, DenseSetting] = {**THREE, "paper": WIDE}
HARDENED: dict[Scale, DenseSetting] = {  # each batch is attacked twice and good for two steps
    "smoke": SMOKE,
    "small": replace(SMALL, trainer=replace(SMALL_TRAINER, epochs=8, validate_every=2), steps=(50,)),
    "gpu": replace(GPU, trainer=replace(GPU.trainer, epochs=15, validate_every=5), steps=(50, 100)),
    "paper": replace(STREETS, steps=(50, 100)),
}

ROOMS = Scenes(size=(48, 64), rooms=(64, 16, 40), wanted=tuple(ELEVEN.values()))
MATRIX_SMALL = DenseSetting(
    data=ROOMS,
    model=ResNet18(width=16, stem="large", decoder="unet"),
    trainer=replace(SMALL_TRAINER, epochs=30, validate_every=6),
    steps=(10, 20),
)
MATRIX_GPU = replace(
    MATRIX_SMALL,
    data=replace(ROOMS, size=(96, 128)),
    model=ResNet18(width=32, stem="large", decoder="unet"),
    trainer=replace(SMALL_TRAINER, batch_size=32),
)
SGD = Trainer(
    epochs=150,
    batch_size=32,
    optimiser=Optimiser(lr=0.01, weight_decay=1e-4),
    schedule=Schedule("multistep", milestones=(140 / 150,)),
    workers=8,
    validate_every=10,
)
BY_ADAM = replace(
    SGD,
    optimiser=Optimiser("adam", lr=1e-3, weight_decay=1e-4),
    schedule=Schedule("multistep", milestones=(120 / 150, 140 / 150)),
)
BUILDINGS = DenseSetting(
    data=Taskonomy(),
    model=ResNet18(stem="large", decoder="transposed"),
    trainer=SGD,
    own=dict.fromkeys(ADAM, BY_ADAM),
    steps=(50,),
)
PAIRS: dict[Scale, DenseSetting] = {
    "smoke": replace(SMOKE, data=replace(SMOKE.data, wanted=("segmentation", "depth", "keypoints3d"))),
    "small": MATRIX_SMALL,
    "gpu": MATRIX_GPU,
    "paper": BUILDINGS,
}
SIX = ("segmentation", "depth", "edges", "keypoints2d", "normal", "reshading")
GROWING: dict[Scale, DenseSetting] = {
    "smoke": replace(SMOKE, data=replace(SMOKE.data, wanted=SIX)),
    "small": MATRIX_SMALL,
    "gpu": MATRIX_GPU,
    "paper": replace(
        BUILDINGS,
        data=Taskonomy(size=(512, 512), wanted=SIX),
        trainer=replace(
            SGD,
            optimiser=replace(SGD.optimiser, momentum=0.99),
            schedule=Schedule("multistep", milestones=(100 / 150,)),
        ),
        own={},
    ),
}
