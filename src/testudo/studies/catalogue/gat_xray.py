"""Guided adversarial training (Ghamizi et al. 2023) of chest X-rays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from testudo.data.augment import Augment
from testudo.data.chexpert import CheXpert
from testudo.data.radiographs import Radiographs
from testudo.data.xray import NIH
from testudo.models.resnet import PreActResNet18, ResNet50v2
from testudo.recipe import Recipe
from testudo.reports.claims import Beside, Claim, Side
from testudo.reports.wording import radius
from testudo.studies.beside import beside
from testudo.studies.catalogue.arms import ALONE, PAPER, asked, better
from testudo.studies.catalogue.census import Census, Findings
from testudo.studies.catalogue.settings import CLASSES, COSINE, SMALL, SMOKE
from testudo.studies.entry import Entry, Scale
from testudo.studies.measures import Measure
from testudo.studies.setting import PGD_NAME, Setting
from testudo.studies.study import Arms, Parts, Variant
from testudo.tasks.task import Task
from testudo.training.methods.gat import GATPaper
from testudo.training.optimiser import Optimiser
from testudo.training.trainer import Trainer

SEEN = ("jigsaw", "rotation")
CARDIO, PNEUMO = "Cardiomegaly", "Pneumothorax"
HELPERS = {CARDIO: CARDIO, PNEUMO: PNEUMO, "Age": "age", "Gender": "gender"}  # the paper's names, and the tasks
METRICS = {"clean AUC": "clean", "robust AUC": PGD_NAME}
MOST = 2 / 3


@dataclass(frozen=True)
class XRaySetting(Setting):
    """A setting on X-rays, whose tasks are not known before their tables are there."""

    def _learnt(self, recipe: Recipe) -> list[Task]:
        return []  # GAT makes one step of a batch, whatever it learns


@dataclass(frozen=True)
class Diagnosis:
    """What is to be found, and what is learnt beside it.

    Args:
        settings: by target; the first one's table comes first.
        helpers: tasks of the data, by what the paper calls them or else by their own name.
        count: what is counted of the data; the paper's name of them.
    """

    settings: Mapping[str, Setting]
    helpers: Mapping[str, str]
    count: str = ""

    def arms(self, target: str) -> list[Variant]:
        """Adversarial training of the target alone, and with each helper."""
        setting = self.settings[target]
        arms = [setting.arm(ALONE, setting.alone())]
        for task in self.helpers.values():
            arms.append(setting.arm(task, (setting.guided(), (setting.main, task)), ALONE))  # noqa: PERF401
        return arms + [setting.arm(name, setting.with_helpers((name,), setting.guided()), ALONE) for name in SEEN]

    @property
    def measured(self) -> tuple[Measure, ...]:
        """Tables 6 and 7, where there is anything to count."""
        if not self.count:
            return ()
        return (
            Census("Who is in the data", "As in the paper's Table 6; age and sex are over radiographs.", self.count),
            Findings(
                "How many patients have what",
                "As in the paper's Table 7, whose counts add up to patients: a patient's first radiograph counts.",
                self.count,
            ),
        )


def table10(made: Diagnosis) -> Arms:
    """Three findings, each with every auxiliary task."""
    return _parts(made, "Table 10, Figure 4", printed=True)


def figure6(made: Diagnosis) -> Arms:
    """The same on another hospital's X-rays."""
    return _parts(made, "Figure 6", printed=False)


def _parts(made: Diagnosis, place: str, printed: bool) -> Arms:
    first, *others = (_part(made, target, place, printed) for target in made.settings)
    names = [target.lower() for target in made.settings][1:]
    return replace(first, measured=made.measured, others=dict(zip(names, others, strict=True)))


def _part(made: Diagnosis, target: str, place: str, printed: bool) -> Parts:
    setting, names = made.settings[target], [*made.helpers.values(), *SEEN]
    claims = _claims(target, place, setting, names) if printed else []
    if not claims:
        text = f"most auxiliary tasks make the diagnosis of {target} more robust"
        claims = [better(text, place, setting, [(name, ALONE) for name in names], share=MOST)]
    return Parts(
        setting.seeds,
        f"Auxiliary tasks beside {target}",
        asked(setting, f"Adversarial training to tell {target}, alone and with each auxiliary task; the measure is the "
              f"area under the ROC curve (the paper's is in percent), within Linf radius {radius(setting.eps)} (the "
              "paper's is 4/255)."),
        tuple(made.arms(target)),
        (),
        tuple(claims),
        _beside(target, setting, made) if printed else (),
    )  # fmt: skip


def _claims(target: str, place: str, setting: Setting, names: list[str]) -> list[Claim]:
    """What the paper says of a target, or its own numbers do."""

    def than_alone(text: str, chosen: list[str], attack: str = PGD_NAME) -> Claim:
        return better(text, place, setting, [(name, ALONE) for name in chosen], attack)

    def best(text: str, name: str, attack: str = PGD_NAME) -> Claim:
        return better(text, place, setting, [(name, other) for other in names if other != name], attack)

    if target == "Atelectasis":
        return [
            than_alone("every auxiliary task but age makes it more robust", [n for n in names if n != "age"]),
            than_alone("every one makes it better on clean images", names, "clean"),
            best("gender makes it most robust", "gender"),
        ]
    if target == "Edema":
        return [
            best("a jigsaw makes it most robust", "jigsaw"),
            best("a jigsaw makes it best on clean images", "jigsaw", "clean"),
            than_alone("every auxiliary task makes it better on clean images", names, "clean"),
        ]
    if target == "Pneumonia":
        chosen = [name for name in names if name != PNEUMO]
        return [than_alone("every auxiliary task but pneumothorax makes it more robust (its own numbers)", chosen)]
    return []


def _beside(target: str, setting: Setting, made: Diagnosis) -> tuple[Beside, ...]:
    """The numbers of Table 10, and those that the text tells of Figure 4."""
    groups = {"Single task": ALONE, **made.helpers, **{name.title(): name for name in SEEN}}

    def of(table: str, prefix: str) -> tuple[Beside, ...]:
        found = beside(
            table,
            setting.main,
            lambda row: Side(groups[row["row"]], METRICS[row["metric"]]) if row["target"] == target else None,
        )
        return tuple(replace(number, label=f"{prefix}{number.label} (%)") for number in found)

    return (*of("gat-table10", ""), *of("gat-figure4", "Figure 4: "))


def _of(data: Radiographs, targets: tuple[str, ...], like: Setting) -> dict[str, Setting]:
    """The setting for each target."""
    return {name: replace(like, data=replace(data, target=(name,), auxiliary=(CARDIO, PNEUMO))) for name in targets}


EPS = 4 / 255
WEAK = 1 / 255  # at 4/255 a network of 700 images tells nothing at all: by trial an AUC of 0.01
SAMPLE = XRaySetting(
    data=NIH(size=64),
    main="pathology",
    macro="",
    model=PreActResNet18(width=16, stem="large"),
    trainer=Trainer(
        epochs=12,
        batch_size=32,
        optimiser=Optimiser("adamw", lr=1e-3, weight_decay=1e-2),
        schedule=COSINE,
        augment=Augment(crop=4, flip=True),
        precision="float32",
        validate_every=4,
    ),
    eps=WEAK,
    steps=SMALL.steps,
    judge=SMALL.judge,
)
WHOLE = XRaySetting(
    data=NIH(size=128),
    main="pathology",
    macro="",
    model=PreActResNet18(stem="large"),
    trainer=replace(SAMPLE.trainer, epochs=20, batch_size=128, augment=Augment(crop=8, flip=True), precision="auto"),
    eps=EPS,
)
LONG = XRaySetting(
    data=CheXpert(size=256),
    main="pathology",
    macro="",
    model=ResNet50v2(stem="large"),
    trainer=replace(CLASSES["paper"].trainer, epochs=200, augment=Augment(crop=38, flip=True), workers=4),
    eps=EPS,
    seeds=CLASSES["paper"].seeds,
    gat=GATPaper(),
)
COMMON, THREE = ("Atelectasis", "Effusion", "Infiltration"), ("Atelectasis", "Edema", "Pneumonia")
DIGITS = Diagnosis({SMOKE.main: SMOKE}, {"loop": "loop", "parity": "parity"})
CHEST: dict[Scale, Diagnosis] = {
    "smoke": DIGITS,
    "small": Diagnosis(_of(NIH(size=64), COMMON, SAMPLE), HELPERS, "NIH"),
    "gpu": Diagnosis(_of(NIH(size=128), THREE, WHOLE), HELPERS, "NIH"),
    "paper": Diagnosis(_of(CheXpert(size=256), THREE, LONG), HELPERS, "CheXpert"),
}
OTHER: dict[Scale, Diagnosis] = {
    "smoke": DIGITS,
    "small": Diagnosis(_of(NIH(size=64), COMMON[:2], SAMPLE), HELPERS, "NIH"),
    "gpu": Diagnosis(_of(NIH(size=128), THREE[:2], WHOLE), HELPERS, "NIH"),
    "paper": Diagnosis(_of(NIH(size=256), THREE[:2], LONG), HELPERS, "NIH"),
}
ENTRIES = (
    Entry("gat-table10", f"{PAPER}, Tables 6, 7 and 10, Figure 4", "do auxiliary tasks harden the diagnosis of chest "
          "X-rays?", table10, CHEST, {}),
    Entry("gat-figure6", f"{PAPER}, Figure 6", "do they on another hospital's X-rays?", figure6, OTHER, {}),
)  # fmt: skip
