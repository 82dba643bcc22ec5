"""Guided adversarial training (Ghamizi et al. 2023) beside other ways of hardening, and with dense auxiliary tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from testudo.attacks.objective import Objective
from testudo.attacks.threat import Linf
from testudo.data.array import Array
from testudo.data.augment import Augment
from testudo.data.dataset import DataSet
from testudo.data.extended import Extended
from testudo.data.pixel_labels import HogLabel, ImageLabel
from testudo.data.robin import ROBIN
from testudo.models.encoder import Encoder
from testudo.models.resnet import PreActResNet18, ResNet50v2
from testudo.reports.claims import Side
from testudo.studies.beside import beside
from testudo.studies.catalogue.arms import ALONE, PAPER, asked, better
from testudo.studies.catalogue.gat import ATTACKS
from testudo.studies.catalogue.gat_first import AFTER, STARTED, TAUGHT, FirstSetting, for_epochs
from testudo.studies.catalogue.settings import CLASSES, SEEN
from testudo.studies.entry import Entry, Scale
from testudo.studies.setting import Setting
from testudo.studies.study import Arms, Parts, Variant
from testudo.training.methods.fast import Fast
from testudo.training.methods.hendrycks import Hendrycks
from testudo.training.methods.trades import Trades
from testudo.training.partners.cutmix import CutMix
from testudo.training.partners.maxup import MaxUp

GUIDED, PLAIN = "macro", "macro, no curvature"
DENSE = {"HOG": "hog", "Auto-encoder": "image"}
NAMES = {
    "GAT [Ours]": GUIDED, "GAT-noReg [Ours]": PLAIN, "CutMix": "cutmix", "Maxup": "maxup", "Unlabeled": TAUGHT,
    "DDPM": "generated images", "TRADES": "trades", "FAST": "fast", "Self-supervised": "self-supervised",
    "Pre-training": STARTED, "Madry Adversarial Training": ALONE,
}  # fmt: skip


@dataclass(frozen=True)
class OthersSetting:
    """A setting, and what the ways of Table 11 need beside it.

    Args:
        first: the setting, and what comes before its trainings.
        draws: what MaxUp draws from, in place of the trainer's augmentation.
        generated: images that a generative model has made; none: there are none.
        longer: an epoch of images of which 7 of 10 are generated, in epochs of the setting's data.
    """

    first: FirstSetting
    draws: Augment
    generated: DataSet | None = None
    longer: float = 1.0

    @property
    def setting(self) -> Setting:
        """The common one."""
        return self.first.setting

    def augmented(self) -> list[Variant]:
        """Adversarial training with more images, or with images changed."""
        setting, alone = self.setting, self.setting.alone()
        plain = {"trainer": replace(setting.trainer, augment=Augment())}
        found = [
            setting.arm("cutmix", alone, GUIDED, partners=(CutMix(),)),
            setting.arm("maxup", alone, GUIDED, plain, (MaxUp(augment=self.draws, partners=()),)),
            _renamed(self.first.taught(), f"{ALONE}, {TAUGHT}", TAUGHT),
        ]
        if self.generated is not None:
            trainer = for_epochs(setting.trainer, round(setting.trainer.epochs / self.longer))
            changed = {"data": Extended(setting.data, self.generated, share=0.7), "trainer": trainer}
            found.append(setting.arm("generated images", alone, GUIDED, changed))
        return found

    def optimised(self) -> list[Variant]:
        """Other ways of adversarial training."""
        setting, inner = self.setting, self.setting.inner
        trades = replace(Trades().attack, threat=inner.threat, steps=inner.steps, step=inner.step)
        return [
            setting.arm("trades", setting.alone(Trades(attack=trades)), GUIDED),
            setting.arm("fast", setting.alone(Fast(threat=Linf(setting.eps))), GUIDED),
            setting.arm("self-supervised", (Hendrycks(attack=replace(inner, objective=Objective())),
                                            (setting.main,)), GUIDED),
            _renamed(self.first.started(), f"{ALONE}, {STARTED}", STARTED),
            setting.arm(ALONE, setting.alone(), GUIDED),
        ]  # fmt: skip


def table11(made: OthersSetting) -> Arms:
    """GAT with the macro task beside nine other trainings."""
    setting = made.setting
    curvature = replace(setting.gat.curvature, weight=0.0)
    ours = [
        setting.arm(GUIDED, setting.with_helpers(("macro",), setting.guided())),
        setting.arm(PLAIN, setting.with_helpers(("macro",), setting.guided(curvature=curvature)), GUIDED),
    ]
    augmented, optimised = made.augmented(), made.optimised()
    claims = [
        better("GAT is more robust than adversarial training with any data augmentation", "Table 11, Figure 3", setting,
                [(GUIDED, arm.name) for arm in augmented]),
        better("GAT is more robust than any other way of adversarial training", "Table 11, Figure 3", setting,
                [(GUIDED, arm.name) for arm in optimised]),
        better("the curvature term makes GAT more robust", "Table 11", setting, [(GUIDED, PLAIN)]),
        better("the curvature term costs accuracy on clean images", "Table 11", setting, [(PLAIN, GUIDED)],
                attack="clean"),
    ]  # fmt: skip
    arms = (*ours, *augmented, *optimised)
    there = {arm.name for arm in arms}
    missing = "" if made.generated else " Generated images (the paper's DDPM) are at the paper's scale alone."
    return Arms(
        setting.seeds,
        "Guided adversarial training beside other ways of hardening",
        asked(setting, "GAT with the macro task, with its curvature term and without, and other trainings of the main "
              f"task.{missing} Figure 3 shows the same numbers."),
        arms,
        (),
        tuple(claims),
        beside("gat-table11", setting.main,
               lambda row: Side(NAMES[row["row"]], ATTACKS[row["metric"]]) if NAMES[row["row"]] in there else None),
    )  # fmt: skip


def _renamed(arms: list[Variant], old: str, new: str) -> Variant:
    """The arm called ``old``, as ``new``."""
    (arm,) = (each for each in arms if each.name == old)
    return replace(arm, name=new, counterpart=GUIDED, recipe=replace(arm.recipe, name=new.replace(" ", "-")))


@dataclass(frozen=True)
class DenseAuxiliaries:
    """A setting, and what dense auxiliary tasks need beside it.

    Args:
        setting: the common one.
        model: the encoder with a decoder.
        cell: of the histograms of gradients, in pixels.
        channels: of the images.
        other: the same on other images; none: there are none.
    """

    setting: Setting
    model: Encoder
    cell: int = 8
    channels: int = 3
    other: DenseAuxiliaries | None = None


def table5(made: DenseAuxiliaries) -> Arms:
    """GAT with maps as auxiliary tasks."""
    first = _dense(made, "CIFAR10")
    return first if made.other is None else replace(first, others={"robin": _dense(made.other, "ROBIN")})


def _dense(made: DenseAuxiliaries, dataset: str) -> Parts:
    setting = made.setting
    derived = (HogLabel("hog", cell=made.cell), ImageLabel("image", channels=made.channels))
    changed = {"data": replace(setting.data, derived=derived), "model": made.model}
    arms = [
        setting.arm(ALONE, setting.alone()),
        *(setting.arm(name, (setting.guided(), (setting.main, name)), ALONE, changed) for name in DENSE.values()),
    ]
    pairs = [(name, ALONE) for name in DENSE.values()]
    claims = (
        better("histograms of gradients and an autoencoder beside it harden a classifier", "Table 5", setting, pairs),
        better("they make it more accurate on clean images, too", "Table 5", setting, pairs, attack="clean"),
    )
    return Parts(
        setting.seeds,
        "Dense auxiliary tasks" if dataset == "CIFAR10" else "Dense auxiliary tasks on ROBIN",
        asked(setting, "Guided adversarial training with histograms of oriented gradients, and with the image itself, "
               "as tasks of a decoder. The paper's third such task, depth, needs labels that neither data set has; it "
               "does not say where it has them from."),
        tuple(arms),
        (),
        claims,
        beside("gat-table5", setting.main, lambda row: _of_table5(row, dataset)),
    )  # fmt: skip


def _of_table5(row: Mapping[str, str], dataset: str) -> Side | None:
    names = {"No auxiliary": ALONE, **DENSE}
    if row["dataset"] != dataset or row["row"] not in names:
        return None
    return Side(names[row["row"]], ATTACKS[row["metric"]])


CROP = Augment(crop=2)
OTHERS: dict[Scale, OthersSetting] = {
    "smoke": OthersSetting(AFTER["smoke"], CROP),
    "small": OthersSetting(AFTER["small"], CROP),
    "gpu": OthersSetting(AFTER["gpu"], SEEN),
    "paper": OthersSetting(AFTER["paper"], SEEN, Array("cifar10_ddpm.npz", task="object"), longer=30.0),
}
ROBINS = replace(
    CLASSES["paper"],
    data=ROBIN(size=256),
    macro="",
    model=ResNet50v2(stem="large"),
    trainer=replace(CLASSES["paper"].trainer, epochs=200, augment=Augment(crop=38, flip=True), workers=4),
)
DECODED: dict[Scale, DenseAuxiliaries] = {
    "smoke": DenseAuxiliaries(CLASSES["smoke"], PreActResNet18(width=4, decoder="unet"), cell=4, channels=1),
    "small": DenseAuxiliaries(CLASSES["small"], PreActResNet18(width=16, decoder="unet"), cell=4, channels=1),
    "gpu": DenseAuxiliaries(CLASSES["gpu"], PreActResNet18(decoder="unet")),
    "paper": DenseAuxiliaries(
        CLASSES["paper"],
        ResNet50v2(decoder="unet"),
        other=DenseAuxiliaries(ROBINS, ResNet50v2(stem="large", decoder="unet")),
    ),
}
ENTRIES = (
    Entry("gat-table11", f"{PAPER}, Table 11, Figure 3", "is guided adversarial training ahead of other trainings?",
          table11, OTHERS, {}),
    Entry("gat-table5", f"{PAPER}, Table 5", "do dense auxiliary tasks harden a classifier?", table5, DECODED, {}),
)  # fmt: skip
