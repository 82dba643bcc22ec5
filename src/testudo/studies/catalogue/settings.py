"""The settings that studies on classes share, so that what one has trained others need not."""

from __future__ import annotations

from testudo.attacks.ensemble import AutoAttack
from testudo.data.augment import Augment
from testudo.data.cifar import CIFAR10
from testudo.data.digits import Digits
from testudo.data.fraction import Fraction
from testudo.models.resnet import PreActResNet18, ResNet50v2
from testudo.studies.entry import Scale
from testudo.studies.setting import Setting
from testudo.training.methods.gat import GATPaper
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

COSINE = Schedule("cosine", warmup=0.1)
SEEN = Augment(crop=4, flip=True)

SMOKE = Setting(
    data=Fraction(Digits(), share=0.1, test=0.1),
    main="digit",
    macro="loop",
    model=PreActResNet18(width=4),
    trainer=Trainer(epochs=1, batch_size=32, schedule=COSINE, precision="float32", validate_every=1),
    eps=0.15,
    steps=1,
    judge=2,
    strongest=AutoAttack(steps=2, queries=5),
    few=10,
    tiles=2,
)
SMALL = Setting(
    data=Digits(size=16),
    main="digit",
    macro="loop",
    model=PreActResNet18(width=16),
    trainer=Trainer(epochs=12, batch_size=64, schedule=COSINE, precision="float32", validate_every=4),
    eps=0.15,
    steps=7,
    judge=20,
    few=100,
)
GPU = Setting(
    data=CIFAR10(),
    main="object",
    macro="vehicle",
    model=PreActResNet18(),
    trainer=Trainer(epochs=20, batch_size=256, schedule=COSINE, augment=SEEN, validate_every=5),
    eps=8 / 255,
    few=1000,
)
PAPER = Setting(
    data=CIFAR10(),
    main="object",
    macro="vehicle",
    model=ResNet50v2(),
    trainer=Trainer(epochs=400, batch_size=64, optimiser=Optimiser(lr=0.1), schedule=Schedule("cosine"), augment=SEEN),
    eps=8 / 255,
    seeds=(0, 1, 2),
    gat=GATPaper(),
)
CLASSES: dict[Scale, Setting] = {"smoke": SMOKE, "small": SMALL, "gpu": GPU, "paper": PAPER}
