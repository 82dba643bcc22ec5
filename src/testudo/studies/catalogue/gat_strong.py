"""Guided adversarial training (Ghamizi et al. 2023) under stronger attacks than PGD, and with larger networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from testudo.attacks.apgd import APGD
from testudo.attacks.base import Attack
from testudo.attacks.fab import FAB
from testudo.attacks.objective import Objective
from testudo.attacks.threat import Linf
from testudo.data.augment import Augment
from testudo.data.stl10 import STL10
from testudo.models.encoder import Encoder
from testudo.models.resnet import PreActResNet18, ResNet50v2
from testudo.models.wide_resnet import WRN28x10, WRN70x16
from testudo.reports.claims import Side
from testudo.studies.beside import beside
from testudo.studies.catalogue.arms import ALONE, PAPER, asked, better, helped, part
from testudo.studies.catalogue.gat import COLUMNS
from testudo.studies.catalogue.settings import CLASSES
from testudo.studies.entry import Entry, Scale
from testudo.studies.setting import HELPERS, PGD_NAME, STRONG, Setting
from testudo.studies.study import Arms, Parts, Variant

STEPPED, NEAREST, WIDE, WIDEST, TENTH = "apgd", "fab", "wide", "widest", "10%"


@dataclass(frozen=True)
class StrongSetting:
    """A setting, and what Tables 4 and 16 vary of it.

    Args:
        setting: the common one.
        wide: a larger network.
        widest: a still larger one, and the epochs that it is trained for; none: there is none.
        other: the same on other images; none: there are none.
    """

    setting: Setting
    wide: Encoder
    widest: tuple[Encoder, int] | None = None
    other: Setting | None = None


def table4(strong: StrongSetting) -> Arms:
    """Stronger attacks than PGD, and a larger network."""
    setting = replace(strong.setting, strong=True)
    arms = [_attacked(setting, arm) for arm in helped(setting)]
    arms += helped(strong.setting, WIDE, model=strong.wide)
    softer = [(ALONE, "jigsaw"), (ALONE, "rotation")]
    claims = [
        better("GAT with the macro task is more robust under AutoAttack than adversarial training alone", "Table 4",
                setting, [("macro", ALONE)], attack=STRONG),
        better("GAT with a jigsaw is, too", "Table 4", setting, [("jigsaw", ALONE)], attack=STRONG),
        better("GAT with rotation is less robust under AutoAttack than adversarial training alone", "Table 4",
                setting, [(ALONE, "rotation")], attack=STRONG),
        better("GAT with the macro task is more robust under AutoPGD", "Table 4", setting, [("macro", ALONE)],
                attack=STEPPED),
        better("GAT with the macro task is more robust under FAB", "Table 4", setting, [("macro", ALONE)],
                attack=NEAREST),
        better("a jigsaw and rotation leave less under AutoPGD (its own numbers)", "Table 4", setting, softer,
                attack=STEPPED),
        better("a jigsaw and rotation leave less under FAB (its own numbers)", "Table 4", setting, softer,
                attack=NEAREST),
        better("the macro task hardens a wide network under PGD", "Table 4", setting,
                [(f"macro, {WIDE}", f"{ALONE}, {WIDE}")]),
    ]  # fmt: skip
    return Arms(
        setting.seeds,
        "Guided adversarial training under stronger attacks",
        asked(setting, "Adversarial training alone and with each of three auxiliary tasks, under PGD, AutoPGD, FAB and "
               f"AutoAttack, the last three on {_few(setting)}, and a wider network under PGD. The paper's row "
               "Transfer is 100 minus the success rates of its Table 17: see the study gat-table17."),
        tuple(arms),
        (PGD_NAME,),
        tuple(claims),
        beside("gat-table4", setting.main, _of_table4),
    )  # fmt: skip


def table16(strong: StrongSetting) -> Arms:
    """AutoAttack: few images, larger networks, other images."""
    setting = replace(strong.setting, strong=True)
    arms = helped(setting) + helped(setting, TENTH, data=part(setting, 0.1)) + helped(setting, WIDE, model=strong.wide)
    if strong.widest is not None:
        model, epochs = strong.widest
        arms += helped(setting, WIDEST, model=model, trainer=replace(setting.trainer, epochs=epochs))
    claims = [
        better("under AutoAttack the macro task hardens, with all images and with a tenth of them", "Table 16", setting,
                [("macro", ALONE), (f"macro, {TENTH}", f"{ALONE}, {TENTH}")], attack=STRONG),
        better("under AutoAttack no auxiliary task hardens a wide network (its own numbers)", "Table 16", setting,
                [(f"{ALONE}, {WIDE}", f"{helper}, {WIDE}") for helper in HELPERS],
                attack=STRONG),
    ]  # fmt: skip
    known = {"100% Dataset": "", "10% Dataset": f", {TENTH}", "WideResnet28-10": f", {WIDE}"}
    known |= {} if strong.widest is None else {"WideResNet-70-16": f", {WIDEST}"}
    others = {} if strong.other is None else {"stl-10": _other(replace(strong.other, strong=True))}
    return Parts(
        setting.seeds,
        "AutoAttack with few images, larger networks and other images",
        asked(setting, "Adversarial training alone and with each of three auxiliary tasks, on all training images, on "
               f"a tenth of them, and with a wider network, under PGD and, on {_few(setting)}, AutoAttack. What the "
               "paper prints for its widest network is a copy of what it prints for the wide one."),
        tuple(arms),
        (),
        tuple(claims),
        beside("gat-table16", setting.main, lambda row: _cell(row, "CIFAR-10", known)),
        others=others,
    )  # fmt: skip


def _other(setting: Setting) -> Arms:
    """The same on STL-10."""
    return Arms(
        setting.seeds,
        "The same on STL-10",
        asked(setting, "Adversarial training alone and with each of three auxiliary tasks on STL-10."),
        tuple(helped(setting)),
        (),
        (better("under AutoAttack the macro task hardens on STL-10, too", "Table 16", setting, [("macro", ALONE)],
                attack=STRONG),),
        beside("gat-table16", setting.main, lambda row: _cell(row, "STL-10", {"100% Dataset": ""})),
    )  # fmt: skip


def _attacked(setting: Setting, arm: Variant) -> Variant:
    """The arm under AutoPGD and FAB by themselves, too."""
    ball, aim, steps = Linf(setting.eps), Objective((setting.main,)), setting.strongest.steps
    further: dict[str, Attack] = {STEPPED: APGD(ball, aim, steps=steps), NEAREST: FAB(ball, aim, steps=steps)}
    few = {**arm.few, **dict.fromkeys(further, setting.few)}
    return replace(arm, recipe=replace(arm.recipe, suite={**arm.recipe.suite, **further}), few=few)


def _few(setting: Setting) -> str:
    return f"{setting.few} test images" if setting.few else "all test images"


def _of_table4(row: Mapping[str, str]) -> Side | None:
    attack = {"AutoAttack": STRONG, "AutoPGD": STEPPED, "FAB": NEAREST, "WideResnet28": PGD_NAME}.get(row["row"])
    suffix = f", {WIDE}" if row["row"] == "WideResnet28" else ""
    return None if attack is None else Side(COLUMNS[row["auxiliary"]] + suffix, attack)


def _cell(row: Mapping[str, str], dataset: str, known: Mapping[str, str]) -> Side | None:
    if row["dataset"] != dataset or row["row"] not in known:
        return None
    return Side(COLUMNS[row["auxiliary"]] + known[row["row"]], STRONG)


LARGE = replace(
    CLASSES["paper"],
    data=STL10(),
    model=ResNet50v2(stem="large"),
    trainer=replace(CLASSES["paper"].trainer, augment=Augment(crop=14, flip=True)),
)
STRONGER: dict[Scale, StrongSetting] = {
    "smoke": StrongSetting(CLASSES["smoke"], PreActResNet18(width=6)),
    "small": StrongSetting(CLASSES["small"], PreActResNet18(width=32)),
    "gpu": StrongSetting(CLASSES["gpu"], PreActResNet18(width=96)),
    "paper": StrongSetting(CLASSES["paper"], WRN28x10(), (WRN70x16(), 40), LARGE),
}
ENTRIES = (
    Entry("gat-table4", f"{PAPER}, Table 4", "does what PGD shows stand up to other attacks?", table4, STRONGER, {}),
    Entry("gat-table16", f"{PAPER}, Table 16", "does it stand up to AutoAttack with few images, wide networks, other "
          "images?", table16, STRONGER, {}),
)  # fmt: skip
