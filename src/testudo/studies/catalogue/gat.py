"""Guided adversarial training (Ghamizi et al. 2023): the tables that are a grid of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from testudo.attacks.threat import Linf
from testudo.balance.base import Balance
from testudo.balance.fixed import Equal
from testudo.balance.gramian import IMTLG, MGDA
from testudo.balance.surgery import GradVac, PCGrad
from testudo.reports.claims import Side
from testudo.studies.beside import beside
from testudo.studies.catalogue.arms import ALONE, asked, better, gat_entry, helped, part, plus
from testudo.studies.setting import HELPERS, PGD_NAME, Setting
from testudo.studies.study import Arms, Variant
from testudo.training.methods.fast import Fast
from testudo.training.methods.goodfellow import Goodfellow
from testudo.training.methods.madry import Madry
from testudo.training.methods.standard import Standard
from testudo.training.methods.trades import Trades
from testudo.training.partners.cutmix import CutMix

COLUMNS = {"None": ALONE, "Jigsaw": "jigsaw", "Macro": "macro", "Rotation": "rotation"}
ATTACKS = {"clean accuracy": "clean", "robust accuracy": PGD_NAME}
BALANCES: dict[str, Balance] = {
    "Equal": Equal(),
    "GradVac": GradVac(),
    "IMTL": IMTLG(),
    "MGDA": MGDA(normalise="none"),
    "PCGrad": PCGrad(),
}


def table1(setting: Setting) -> Arms:
    """Task augmentation and data augmentation, each and both."""
    arms, partners = [], {"": (), "cutmix": (CutMix(),)}
    for name, with_them in partners.items():
        arms += helped(setting, name, partners=with_them)
    claims = [
        better("GAT with CutMix is more robust than CutMix alone (with the macro task)", "Table 1", setting,
                [("macro, cutmix", "alone, cutmix")]),
        better("GAT with the macro task is more robust than adversarial training alone", "Table 1", setting,
                [("macro", ALONE)]),
        better("GAT with a jigsaw or rotation is less robust than adversarial training alone (its own numbers)",
                "Table 1", setting, [(ALONE, "jigsaw"), (ALONE, "rotation")]),
        better("CutMix makes GAT more accurate on clean images", "Table 1", setting,
                [(f"{helper}, cutmix", helper) for helper in HELPERS], attack="clean", share=1.0),
    ]  # fmt: skip
    rows = {"None": "", "Cutmix": ", cutmix"}
    return Arms(
        setting.seeds,
        "Task augmentation and data augmentation",
        asked(setting, "Guided adversarial training with each of three auxiliary tasks, with CutMix and without. The "
               "rows that need another run first, Unlabeled and Pre-train, are the study gat-table1-first."),
        tuple(arms),
        (PGD_NAME,),
        tuple(claims),
        beside("gat-table1", setting.main, lambda row: side_of(row["auxiliary"], row["metric"], rows.get(row["row"]))),
    )  # fmt: skip


def table3(setting: Setting) -> Arms:
    """Whose loss the inner attack raises."""
    arms = helped(setting)
    for attacked in ("both", "auxiliary"):
        for helper, made in setting.helped(attacked=attacked, adversarial_pretexts=True).items():
            arms.append(setting.arm(f"{helper}, {attacked} attacked", made, helper))
    claims = [
        better("attacking both tasks in training robustifies the main one less than attacking it alone", "Table 3",
                setting, [(helper, f"{helper}, both attacked") for helper in HELPERS]),
        better("attacking the auxiliary task alone leaves the main one less robust than adversarial training",
                "Table 3", setting, [(helper, f"{helper}, auxiliary attacked") for helper in HELPERS]),
    ]  # fmt: skip
    rows = {"Main only": "", "Both tasks": ", both attacked", "Auxiliary only": ", auxiliary attacked"}
    return Arms(
        setting.seeds,
        "What the inner attack raises: the main loss, both, or the auxiliary one",
        asked(setting, "Guided adversarial training whose inner attack is on the main task, on both, or on the "
               "auxiliary one alone."),
        tuple(arms),
        (PGD_NAME,),
        tuple(claims),
        beside("gat-table3", setting.main, lambda row: side_of(row["auxiliary"], row["metric"], rows.get(row["row"]))),
    )  # fmt: skip


def table9(setting: Setting) -> Arms:
    """Scarce data: a share of the training images."""
    arms: list[Variant] = []
    shares = {"10%": 0.1, "25%": 0.25, "50%": 0.5}
    for name, share in shares.items():
        arms += helped(setting, name, data=part(setting, share))
    claims = [
        better("with a tenth of the images, a jigsaw or rotation hardens", "Table 9", setting,
                [(f"{helper}, 10%", f"{ALONE}, 10%") for helper in ("jigsaw", "rotation")]),
        better("with a tenth and a quarter of the images, the macro task hardens", "Table 9", setting,
                [(f"macro, {share}", f"{ALONE}, {share}") for share in ("10%", "25%")]),
        better("with half of the images no auxiliary task hardens", "Table 9", setting,
                [(f"{ALONE}, 50%", f"{helper}, 50%") for helper in ("jigsaw", "rotation")]),
    ]  # fmt: skip
    return Arms(
        setting.seeds,
        "Do auxiliary tasks harden more where images are scarce?",
        asked(setting, "Adversarial training and guided adversarial training on 10, 25 and 50 % of the training "
               "images; each makes as many epochs, so fewer steps than on all."),
        tuple(arms),
        (),
        tuple(claims),
        beside("gat-table9", setting.main,
               lambda row: side_of(row["auxiliary"], row["metric"], f", {row['row']}")),
    )  # fmt: skip


def table12(setting: Setting) -> Arms:
    """Ways of adversarial training, each with the auxiliary tasks."""
    inner = setting.inner
    ways = {
        "Standard training": Standard(),
        "Goodfellow AT": Goodfellow(attack=replace(Goodfellow().attack, threat=Linf(setting.eps))),
        "Madry AT": Madry(attack=inner),
        "Trades AT": Trades(attack=replace(Trades().attack, threat=inner.threat, steps=inner.steps, step=inner.step)),
        "Fast AT": Fast(threat=Linf(setting.eps)),
    }
    arms = []
    for name, method in ways.items():
        arms.append(setting.arm(f"{name}, {ALONE}", setting.alone(method)))
        for helper in HELPERS:
            made = setting.with_helpers((helper,), method)
            arms.append(setting.arm(f"{name}, {helper}", made, f"{name}, {ALONE}"))
    claims = [
        better("without adversarial training no auxiliary task hardens to speak of: Madry's training alone is ahead",
                "Table 12", setting, [(f"Madry AT, {ALONE}", f"Standard training, {helper}") for helper in HELPERS]),
        better("whatever the adversarial training, the macro task leaves more clean accuracy than jigsaw or rotation",
                "Table 12", setting,
                [(f"{way}, macro", f"{way}, {helper}") for way in ways for helper in ("jigsaw", "rotation")],
                attack="clean", share=0.8),
    ]  # fmt: skip
    return Arms(
        setting.seeds,
        "Auxiliary tasks under five ways of training",
        asked(setting, "Each way of training, on the main task alone and with each of three auxiliary tasks, all "
               "losses weighed equally."),
        tuple(arms),
        (),
        tuple(claims),
        beside("gat-table12", setting.main,
               lambda row: side_of(row["auxiliary"], row["metric"], row["row"], first=True)),
    )  # fmt: skip


def table13(setting: Setting) -> Arms:
    """How the losses are weighed, in standard and in adversarial training."""
    arms = []
    for name, balance in BALANCES.items():
        for way, method in (("standard", Standard(balance=balance)), ("GAT", setting.guided(balance=balance))):
            for helper in HELPERS:
                than = None if name == "Equal" else f"{way}, Equal, {helper}"
                arms.append(setting.arm(f"{way}, {name}, {helper}", setting.with_helpers((helper,), method), than))
    others = [name for name in BALANCES if name != "MGDA"]
    claims = [
        better("MGDA makes GAT with the macro task more robust than any other weighting", "Tables 2 and 13", setting,
                [("GAT, MGDA, macro", f"GAT, {name}, macro") for name in others]),
        better("with whatever weighting, the macro task makes the most robust model of the three helpers", "Table 13",
                setting, [(f"GAT, {name}, macro", f"GAT, {name}, {helper}")
                          for name in BALANCES for helper in ("jigsaw", "rotation")], share=0.8),
    ]  # fmt: skip
    scenario = {"standard": "standard", "adversarial": "GAT"}
    return Arms(
        setting.seeds,
        "How should the losses be weighed?",
        asked(setting, "Five weightings of the losses, in standard training and in guided adversarial training, with "
               "each of three auxiliary tasks. MGDA is the paper's: on gradients as they are."),
        tuple(arms),
        (),
        tuple(claims),
        beside("gat-table13", setting.main, lambda row: _weighed(row, scenario)),
    )  # fmt: skip


def table15(setting: Setting) -> Arms:
    """How many auxiliary tasks: Table 15 and Figure 5."""
    pairs: tuple[tuple[str, ...], ...] = (("jigsaw", "rotation"), ("jigsaw", "macro"), ("macro", "rotation"))
    sets = [*((name,) for name in HELPERS), *pairs, HELPERS]
    arms = [setting.arm(plus(names), setting.with_helpers(names, setting.guided()), ALONE) for names in sets]
    arms = [setting.arm(ALONE, setting.alone()), *arms]
    best = "macro + rotation"
    claims = [
        better("macro and rotation together harden most", "Table 15, Figure 5", setting,
                [(best, other) for other in (ALONE, "macro", "rotation", "jigsaw + macro")]),
        better("a jigsaw beside other tasks costs robustness", "Table 15, Figure 5", setting,
                [("macro", "jigsaw + macro"), (best, plus(HELPERS))]),
    ]  # fmt: skip
    return Arms(
        setting.seeds,
        "How many auxiliary tasks?",
        asked(setting, "Guided adversarial training with one, two and three auxiliary tasks."),
        tuple(arms),
        (PGD_NAME,),
        tuple(claims),
        beside("gat-table15", setting.main, _counted),
    )  # fmt: skip


def side_of(auxiliary: str, metric: str, other: str | None, first: bool = False) -> Side | None:
    """Where ours for a cell is: the arm is called after the column and ``other``, in that order unless ``first``."""
    if other is None or metric not in ATTACKS or auxiliary not in COLUMNS:
        return None
    arm = f"{other}, {COLUMNS[auxiliary]}" if first else COLUMNS[auxiliary] + other
    return Side(arm, ATTACKS[metric])


def _weighed(row: Mapping[str, str], scenario: Mapping[str, str]) -> Side | None:
    name = "MGDA" if row["row"].startswith(("GAT", "MGDA")) else row["row"]
    return Side(f"{scenario[row['scenario']]}, {name}, {COLUMNS[row['auxiliary']]}", ATTACKS[row["metric"]])


def _counted(row: Mapping[str, str]) -> Side:
    names = [part.lower() for part in row["row"].split(" + ")[1:]]
    return Side(plus(sorted(names)) if names else ALONE, PGD_NAME)


ENTRIES = (
    gat_entry("table1", "Table 1 (None and Cutmix)", "do task and data augmentation add up?", table1, 7.5),
    gat_entry("table3", "Table 3", "which task should the inner attack raise?", table3, 9.5),
    gat_entry("table9", "Table 9", "do auxiliary tasks harden more where images are scarce?", table9, 2.8),
    gat_entry("table12", "Table 12", "auxiliary tasks under five ways of training", table12),
    gat_entry("table13", "Tables 2 and 13", "how should the losses be weighed?", table13, 14),
    gat_entry("table15", "Table 15, Figure 5", "how many auxiliary tasks?", table15, 6),
)
