"""Guided adversarial training (Ghamizi et al. 2023) after another run: taught by it, or started from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from testudo.attacks.base import Attack
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.dataset import DataSet
from testudo.data.extended import Extended
from testudo.data.rotation import Rotation
from testudo.data.stl10 import STL10
from testudo.reports.claims import Side
from testudo.studies.beside import beside
from testudo.studies.catalogue.arms import ALONE, PAPER, asked, better, helped, part
from testudo.studies.catalogue.gat import COLUMNS, side_of
from testudo.studies.catalogue.settings import CLASSES
from testudo.studies.entry import Entry, Scale
from testudo.studies.pool import FIRST
from testudo.studies.setting import HELPERS, PGD_NAME, Setting
from testudo.studies.study import Arms, Variant
from testudo.training.methods.madry import Madry
from testudo.training.methods.standard import Standard
from testudo.training.trainer import Trainer

TAUGHT, STARTED = "unlabelled images", "pre-trained"
SHARES = {"0.1": "10%", "0.5": "50%"}
SHORT = 4  # steps of the attack that Table 8 trains against, and one of the two that judge there
SHORT_NAME = f"pgd{SHORT}"


@dataclass(frozen=True)
class FirstSetting:
    """A setting, and what comes first.

    Args:
        setting: the common one.
        labelled: the images whose labels are known where others are labelled by a teacher.
        extra: those others.
        longer: an epoch of both, in epochs of the setting's data.
        whole: epochs of what Table 8 fine-tunes.
        slower: the learning rate of fine-tuning is that of training over this.
    """

    setting: Setting
    labelled: DataSet
    extra: DataSet
    longer: float
    whole: int
    slower: float = 1.0

    @property
    def half(self) -> Trainer:
        """Half of the setting's epochs."""
        return for_epochs(self.setting.trainer, self.setting.trainer.epochs // 2)

    @property
    def fine(self) -> Trainer:
        """The other half, for fine-tuning."""
        optimiser = self.setting.trainer.optimiser
        return replace(self.half, optimiser=replace(optimiser, lr=optimiser.lr / self.slower))

    def taught(self) -> list[Variant]:
        """The arms that learn from images that a teacher has labelled."""
        teacher = self.setting.arm("teacher", self.setting.alone(Standard()), changed={"data": self.labelled})
        trainer = for_epochs(self.setting.trainer, round(self.setting.trainer.epochs / self.longer))
        data = Extended(self.labelled, self.extra, labels=FIRST)
        arms = helped(self.setting, TAUGHT, data=data, trainer=trainer)
        return [replace(arm, first=_unjudged(teacher)) for arm in arms]

    def started(self) -> list[Variant]:
        """The arms that start from adversarial training on turned images without their labels."""
        arms = helped(self.setting, STARTED, trainer=self.fine)
        return [_from(self._pretrained(), arm) for arm in arms]

    def tuned(self, share: str) -> list[Variant]:
        """The arms that are trained on clean images, and hardened on a share of them."""
        name, data = SHARES[share], part(self.setting, float(share))
        before = {"trainer": for_epochs(self.setting.trainer, self.whole)}
        attack = replace(self.setting.inner, steps=SHORT)
        arms = []
        for helper in ((), *((each,) for each in HELPERS)):
            first = self.setting.arm(
                f"standard {' '.join(helper)}".strip(), self.setting.with_helpers(helper, Standard()), changed=before
            )
            made = self.setting.with_helpers(helper, Madry(attack=attack, clean=0.5))
            than = f"{ALONE}, {name}" if helper else None
            label = f"{helper[0] if helper else ALONE}, {name}"
            arm = self.setting.arm(label, made, than, {"data": data, "trainer": self.fine})
            arms.append(_from(_unjudged(first), replace(arm, recipe=replace(arm.recipe, suite=self._judges()))))
        return arms

    def _pretrained(self) -> Variant:
        aim = replace(self.setting.inner, objective=Objective(("rotation",)))
        method = Madry({self.setting.main: 0.0}, None, (Rotation(),), "transformed", attack=aim)
        arm = self.setting.arm("pre-training", (method, (self.setting.main,)), changed={"trainer": self.half})
        trainer = arm.recipe.trainer  # the last weights: the untrained head's score would choose at random
        recipe = replace(arm.recipe, trainer=replace(trainer, validate_every=trainer.epochs), validation=None)
        return _unjudged(replace(arm, recipe=recipe))

    def _judges(self) -> dict[str, Attack]:
        aim = Objective((self.setting.main,))
        return {**self.setting.suite, SHORT_NAME: PGD(Linf(self.setting.eps), aim, steps=SHORT)}


def for_epochs(trainer: Trainer, epochs: int) -> Trainer:
    """The trainer for so many epochs, at least one."""
    epochs = max(1, epochs)
    return replace(trainer, epochs=epochs, validate_every=min(trainer.validate_every, epochs))


def _unjudged(arm: Variant) -> Variant:
    return replace(arm, recipe=replace(arm.recipe, suite={}), few={})


def _from(first: Variant, arm: Variant) -> Variant:
    """The arm, starting from the weights of ``first``."""
    return replace(arm, recipe=replace(arm.recipe, start=FIRST), first=first)


def table1(made: FirstSetting) -> Arms:
    """Task augmentation with images that a teacher has labelled, and from pre-trained weights."""
    setting = made.setting
    arms = [*helped(setting), *made.taught(), *made.started()]
    claims = [
        better(f"GAT with {words} is more robust than {words} alone, whichever the task", "Table 1", setting,
                [(f"{helper}, {name}", f"{ALONE}, {name}") for helper in HELPERS])
        for name, words in ((TAUGHT, "unlabelled images"), (STARTED, "pre-training"))
    ]  # fmt: skip
    claims += [
        better("pre-training makes GAT more accurate on clean images", "Table 1", setting,
                [(f"{helper}, {STARTED}", helper) for helper in HELPERS], attack="clean"),
        better("pre-training costs adversarial training robustness", "Table 1", setting,
                [(ALONE, f"{ALONE}, {STARTED}")]),
    ]  # fmt: skip
    rows = {"None": "", "Unlabeled": f", {TAUGHT}", "Pre-train": f", {STARTED}"}
    return Arms(
        setting.seeds,
        "Task augmentation with unlabelled images and with pre-training",
        (*asked(setting, "Guided adversarial training with each of three auxiliary tasks: by itself, on images that a "
                "teacher has labelled, and from pre-trained weights."), _told(made)),
        tuple(arms),
        (),
        tuple(claims),
        beside("gat-table1", setting.main, lambda row: side_of(row["auxiliary"], row["metric"], rows.get(row["row"]))),
    )  # fmt: skip


def _told(made: FirstSetting) -> str:
    known = (
        "The teacher is trained on all labelled images and labels the unlabelled ones of STL-10 (the paper's, of the "
        "Tiny Images, have been withdrawn)"
        if isinstance(made.extra, STL10)
        else "Short of other images half of the labels are hidden: the teacher is trained on the other half, and "
        "labels all training images"
    )
    return (
        f"{known}; half of what is learnt from has its labels. Pre-training is adversarial training on the turn of "
        "turned images, for half of the epochs; fine-tuning takes the other half. Neither is told by the paper."
    )


def table8(made: FirstSetting) -> Arms:
    """Hardened on few images, after training on clean ones."""
    setting = made.setting
    names = list(SHARES.values())
    attacks = (PGD_NAME, SHORT_NAME)
    claims = [
        better(f"hardened on a tenth of the images, every auxiliary task makes the main one more robust ({attack})",
                "Table 8", setting, [(f"{helper}, {names[0]}", f"{ALONE}, {names[0]}") for helper in HELPERS], attack)
        for attack in attacks
    ] + [
        better(f"hardened on half of them, a jigsaw and the macro task do ({attack})", "Table 8", setting,
                [(f"{helper}, {names[1]}", f"{ALONE}, {names[1]}") for helper in ("jigsaw", "macro")], attack)
        for attack in attacks
    ] + [
        better(f"rotation then does not ({attack})", "Table 8", setting,
                [(f"{ALONE}, {names[1]}", f"rotation, {names[1]}")], attack)
        for attack in attacks
    ]  # fmt: skip
    return Arms(
        setting.seeds,
        "Hardened on few images",
        asked(setting, f"Standard training on all images, {made.whole} epochs; then adversarial training against "
               f"PGD-{SHORT} on 10 and 50 % of them, half the loss on clean images, all losses weighed equally. The "
               "paper's clean accuracies differ with the attack that judges; ours cannot."),
        tuple(arm for share in SHARES for arm in made.tuned(share)),
        (),
        tuple(claims),
        beside("gat-table8", setting.main, _of_table8),
    )  # fmt: skip


def _of_table8(row: Mapping[str, str]) -> Side | None:
    judge = {"PGD-10": PGD_NAME, f"PGD-{SHORT}": SHORT_NAME}[row["attack"]]
    attack = "clean" if row["metric"] == "clean accuracy" else judge
    return Side(f"{COLUMNS[row['row']]}, {SHARES[row['subset']]}", attack)


def _hidden(setting: Setting) -> FirstSetting:
    """Half of the labels hidden, fine-tuned from what Table 12 trains."""
    return FirstSetting(setting, part(setting, 0.5), setting.data, longer=2.0, whole=setting.trainer.epochs)


AFTER: dict[Scale, FirstSetting] = {
    "smoke": _hidden(CLASSES["smoke"]),
    "small": _hidden(CLASSES["small"]),
    "gpu": _hidden(CLASSES["gpu"]),
    "paper": FirstSetting(
        CLASSES["paper"], CLASSES["paper"].data, STL10(size=32, unlabeled=True), longer=4.2, whole=200, slower=10.0
    ),
}
ENTRIES = (
    Entry("gat-table1-first", f"{PAPER}, Table 1 (Unlabeled and Pre-train)", "do task augmentation and another run's "
          "labels or weights add up?", table1, AFTER, {}),
    Entry("gat-table8", f"{PAPER}, Table 8", "do auxiliary tasks help where few images are hardened on?", table8, AFTER,
          {}),
)  # fmt: skip
