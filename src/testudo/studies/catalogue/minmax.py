"""Robust multi-task adversarial attacks using min-max optimization (Guo et al. 2025): weights for an attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import isclose

from testudo.attacks.pgd import PGD
from testudo.attacks.problem import Keep
from testudo.attacks.threat import L2, Linf, Threat
from testudo.balance.base import Balance
from testudo.balance.fixed import Equal
from testudo.balance.minmax import MinMax
from testudo.balance.normalised import Normalised
from testudo.balance.softmin import Softmin
from testudo.data.augment import Augment
from testudo.data.cityscapes import Cityscapes
from testudo.data.dataset import DataSet
from testudo.data.nyuv2 import NYUv2
from testudo.data.scenes import Scenes
from testudo.models.aspp import ResNet50ASPP
from testudo.models.encoder import Encoder
from testudo.models.unet import UNet
from testudo.reports.claims import Beside, Claim, Side
from testudo.reports.wording import NORMS, counted, listed
from testudo.studies.catalogue.dense_setting import told
from testudo.studies.entry import Entry, Scale
from testudo.studies.joint import TOGETHER, Joint
from testudo.studies.published import read
from testudo.studies.study import Arms, attack_name
from testudo.training.optimiser import Optimiser, Schedule
from testudo.training.trainer import Trainer

PAPER = "Guo et al. 2025 (min-max)"
OURS = "this package"
EQUAL, NORMALISED, MINMAX, SOFTMIN = Equal(), Normalised(), MinMax(scale="raw"), Softmin()
METHODS: dict[str, Balance] = {"Equal": EQUAL, "Normalize": NORMALISED, "Min-max": MINMAX}
MEASURED = {  # the paper's columns, and the tasks whose metric they are
    "segment_miou": ("mIoU, %", "segmentation"),
    "part_miou": ("mIoU of parts, %", "parts"),
    "depth_aerr": ("aErr of depth, x 100", "depth"),
    "disparity_aerr": ("aErr of disparity, x 100", "disparity"),
    "normal_mdist": ("mDist, degrees", "normal"),
    "delta_mtl": ("Delta_MTL, %", "delta_mtl"),
    "delta_wor": ("Delta_Wor, %", "delta_wor"),
}
BALLS: dict[str, type[Threat]] = {"l2": L2, "linf": Linf}


@dataclass(frozen=True)
class AttackedSetting:
    """One network of several tasks, and the balls it is attacked in.

    Args:
        data: where images and labels come from, and with them the tasks.
        model: the encoder.
        trainer: of the network.
        linf, l2: radii, in [0, 1] pixel units, rising.
        steps: of every attack.
        keep: of every attack; the paper reports the last images.
        seeds: the network is trained once with each.
    """

    data: DataSet
    model: Encoder
    trainer: Trainer
    linf: tuple[float, ...] = (1 / 255, 2 / 255, 4 / 255, 8 / 255)
    l2: tuple[float, ...] = (2.5, 5.0)
    steps: int = 10
    keep: Keep = "best"
    seeds: tuple[int, ...] = (0,)

    def balls(self, norm: str) -> list[Threat]:
        """Those of a norm."""
        return [BALLS[norm](eps) for eps in getattr(self, norm)]

    @property
    def study(self) -> Joint:
        """The study whose network and attacks these are."""
        tasks = tuple(task.name for task in self.data.tasks())
        plain = Joint(self.seeds, self.data, tasks, self.model, twins=False)
        return replace(plain, linf=self.linf, l2=self.l2, steps=self.steps)


def table(setting: AttackedSetting, number: str) -> Arms:
    """A table of the paper: a data set and a norm."""
    norm, indoors = ("l2", "linf")[number in ("III", "IV")], number in ("I", "III")
    study, balls = setting.study, setting.balls(norm)
    (whole,) = study.variants()
    suite = {
        name: replace(attack, keep=setting.keep) if isinstance(attack, PGD) else attack
        for name, attack in whole.recipe.suite.items()
        if attack.threat in balls and len(attack.objective.tasks) > 1
    }
    recipe = replace(whole.recipe, trainer=setting.trainer, suite=suite)
    tasks = listed(study.names)
    return Arms(
        setting.seeds,
        f"How should an attack on {tasks} weigh them? ({NORMS[norm]})",
        (f"One network learns {tasks} and is attacked on all of them: with equal weights, with each loss divided by "
         "its value on the clean image, and with the paper's min-max weights, which go to the smallest loss; and with "
         f"ours, softmin and Siege. {counted(setting.steps, 'step')} each, without a random start. The paper's images "
         "lie in [-1, 1], so that its radii are twice these.",
         "Delta is the relative change of a task's metric, Delta_MTL the mean of the tasks', Delta_Wor that of the "
         "least degraded task: the lower they are, the stronger is the attack. In a claim about attacks the first "
         "side is the weaker one, under which the tasks are better."),
        (replace(whole, recipe=recipe, training=told(setting.trainer)),),
        tuple(name_of(balance, balls[len(balls) // 2], study.names) for balance in METHODS.values()),
        (*_theirs(number, indoors, balls, study.names), *_ours(balls, study.names)),
        tuple(_published(number, setting, study.names)),
    )  # fmt: skip


def name_of(balance: Balance, ball: Threat, tasks: tuple[str, ...], kind: str = "pgd") -> str:
    """What the rows call an attack."""
    return attack_name(kind, ball, tasks, balance)


def _theirs(number: str, indoors: bool, balls: Sequence[Threat], tasks: tuple[str, ...]) -> list[Claim]:
    """What the paper says of a table."""

    def hurts(text: str, task: str, more: Balance, than: Balance) -> Claim:
        pairs = [(name_of(than, ball, tasks), name_of(more, ball, tasks)) for ball in balls]
        return _claim(text, f"{PAPER}, Table {number}", task, pairs)

    least, mean = "delta_wor", "delta_mtl"
    claims = [
        hurts("min-max weights hurt the least degraded task more than equal ones do", least, MINMAX, EQUAL),
        hurts("min-max weights hurt the least degraded task more than normalised ones do", least, MINMAX, NORMALISED),
        hurts("min-max weights hurt the tasks more on average than normalised ones do", mean, MINMAX, NORMALISED),
    ]
    if indoors:
        claims += [
            hurts("min-max weights hurt the tasks more on average than equal ones do", mean, MINMAX, EQUAL),
            hurts(
                "on NYUv2 normalised weights hurt the least degraded task more than equal ones do",
                least,
                NORMALISED,
                EQUAL,
            ),
        ]
    else:
        claims.append(
            hurts(
                "on Cityscapes normalised weights hurt the tasks less on average than equal ones do",
                mean,
                EQUAL,
                NORMALISED,
            )
        )
    return claims


def _ours(balls: Sequence[Threat], tasks: tuple[str, ...]) -> list[Claim]:
    """What this package says of its own attacks."""
    siege, minmax, softmin = (
        [name_of(balance, ball, tasks, kind) for ball in balls]
        for kind, balance in (("siege", SOFTMIN), ("pgd", MINMAX), ("pgd", SOFTMIN))
    )
    least = "delta_wor"
    return [
        _claim(
            "ours: softmin weights hurt the least degraded task more than min-max ones",
            OURS,
            least,
            list(zip(minmax, softmin, strict=True)),
        ),
        _claim(
            "ours: Siege hurts the least degraded task more than PGD with softmin weights",
            OURS,
            least,
            list(zip(softmin, siege, strict=True)),
        ),
    ]


def _claim(text: str, source: str, task: str, pairs: Sequence[tuple[str, str]]) -> Claim:
    """The network is better off under the first of each pair of attacks."""
    return Claim(text, source, task, tuple((Side(TOGETHER, one), Side(TOGETHER, two)) for one, two in pairs))


def _published(number: str, setting: AttackedSetting, tasks: tuple[str, ...]) -> list[Beside]:
    """The table's numbers, in the balls that are ours."""
    found = []
    for row in read("minmax").filter(table=number).iter_rows(named=True):
        attack = _attack(row, setting, tasks)
        for column, (unit, task) in MEASURED.items():
            shown = row[column] is not None and (attack != "clean" or not task.startswith("delta"))
            if attack and shown and task in (*tasks, "delta_mtl", "delta_wor"):
                ball = "clean" if attack == "clean" else f"{NORMS[row['norm']]}, eps {row['eps']} of [-1, 1]"
                note = row["note"] if column == "delta_wor" else ""
                label = f"{row['method']}, {ball}: {unit}"
                found.append(Beside(label, str(row[column]), "", note, Side(TOGETHER, attack), task))
    return found


def _attack(row: Mapping[str, str], setting: AttackedSetting, tasks: tuple[str, ...]) -> str:
    """Our attack for a row of the paper; empty where we have none."""
    if row["method"] == "Baseline":
        return "clean"
    eps = float(Fraction(row["eps_ours"]))
    balls = [ball for ball in setting.balls(row["norm"]) if isclose(float(ball.eps), eps)]
    return name_of(METHODS[row["method"]], balls[0], tasks) if balls else ""


INDOORS = Augment(flip=True, scales=(1.0, 1.2, 1.5))
ADAMW = Optimiser("adamw", lr=2e-3, weight_decay=1e-2)
SMALL_TRAINER = Trainer(
    epochs=40, batch_size=16, optimiser=ADAMW, schedule=Schedule("cosine", warmup=0.05), validate_every=8
)
PAPER_TRAINER = Trainer(
    epochs=200,
    batch_size=4,
    optimiser=Optimiser(lr=0.1, weight_decay=1e-4),
    augment=INDOORS,
    workers=8,
    validate_every=10,
)
SMOKE = AttackedSetting(
    data=Scenes(size=(16, 24), rooms=(2, 1, 2), views=2),
    model=UNet(width=2),
    trainer=Trainer(epochs=1, batch_size=4, optimiser=ADAMW, precision="float32"),
    linf=(2 / 255,),
    l2=(2.5,),
    steps=1,
)
SMALL = AttackedSetting(
    data=NYUv2(size=(72, 96)), model=UNet(width=16), trainer=replace(SMALL_TRAINER, augment=INDOORS)
)
GPU = AttackedSetting(
    data=NYUv2(size=(144, 192)), model=UNet(), trainer=replace(SMALL_TRAINER, augment=INDOORS, epochs=60)
)
STREET_TASKS = ("segmentation", "parts", "disparity")
ROOMS: dict[Scale, AttackedSetting] = {
    "smoke": SMOKE,
    "small": SMALL,
    "gpu": GPU,
    "paper": AttackedSetting(NYUv2(size=(288, 384)), ResNet50ASPP(), PAPER_TRAINER, keep="last"),
}
STREETS: dict[Scale, AttackedSetting] = {  # short of street scenes, rooms with the same tasks
    "smoke": replace(SMOKE, data=replace(SMOKE.data, wanted=STREET_TASKS)),
    "small": replace(
        SMALL, data=Scenes(size=(72, 96), rooms=(64, 16, 40), wanted=STREET_TASKS), trainer=SMALL_TRAINER
    ),
    "gpu": replace(GPU, data=Scenes(size=(144, 192), rooms=(256, 32, 64), wanted=STREET_TASKS)),
    "paper": AttackedSetting(Cityscapes(), ResNet50ASPP(), PAPER_TRAINER, keep="last"),
}  # fmt: skip
PLACES = {"I": ("NYUv2, L2", ROOMS), "II": ("Cityscapes, L2", STREETS), "III": ("NYUv2, L∞", ROOMS),
          "IV": ("Cityscapes, L∞", STREETS)}  # fmt: skip

ENTRIES = tuple(
    Entry(
        f"minmax-table{place}",
        f"{PAPER}, Table {number} ({shown})",
        "how should an attack on several tasks weigh them?",
        partial(table, number=number),
        settings,
        {},
    )
    for place, (number, (shown, settings)) in enumerate(PLACES.items(), start=1)
)
