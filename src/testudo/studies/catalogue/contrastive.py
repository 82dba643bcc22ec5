"""Multitask learning with self-supervision to improve robustness (Wang and Wang 2021), and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testudo.reports.claims import Beside, Claim, Side
from testudo.studies.beside import beside
from testudo.studies.catalogue.views import (
    CONTRASTIVE,
    HUNDRED,
    RESTARTED,
    SINGLE,
    STRONG,
    SUPERVISED,
    TEN,
    VIEWS,
    ViewsSetting,
    pgd_name,
)
from testudo.studies.entry import Entry
from testudo.studies.study import Arms

PAPER, OURS = "Wang and Wang 2021 (contrastive)", "this package"
PUBLISHED = {"Single-Task": SINGLE, "Supervised Multitask": SUPERVISED, "Contrastive Multitask": CONTRASTIVE}


HELPED, MORE, TAUGHT = (CONTRASTIVE, SINGLE), (CONTRASTIVE, SUPERVISED), (SUPERVISED, SINGLE)
Told = tuple[str, tuple[str, str], Sequence[str]]  # what is said, who is ahead of whom, under which attacks


def table1(setting: ViewsSetting) -> Arms:
    """One task, and a contrastive one beside it."""
    return Arms(
        setting.seeds,
        "Does a contrastive task harden a classifier?",
        setting.told("A classifier is trained alone and beside a contrastive head."),
        setting.arms(supervised=False),
        (pgd_name(setting.steps[-1]),),
        (*_theirs(setting, f"{PAPER}, Table 1"), *_ours(setting)),
        _numbers("contrastive-table1", setting),
    )


def table2(setting: ViewsSetting) -> Arms:
    """One task, a supervised one beside it, a contrastive one beside it."""
    place, printed = f"{PAPER}, Table 2", list(setting.printed)
    theirs: list[Told] = [
        ("a supervised auxiliary task hardens the main one", TAUGHT, printed),
        ("a contrastive task hardens the main one more than a supervised one", MORE, printed),
        ("a supervised auxiliary task makes the main one more accurate on clean images", TAUGHT, ["clean"]),
    ]
    ours: list[Told] = [
        ("ours: a supervised auxiliary task hardens the main one under AutoAttack, too", TAUGHT, [STRONG]),
        ("ours: a contrastive task hardens it more than a supervised one under AutoAttack, too", MORE, [STRONG]),
    ]
    claims = (*_theirs(setting, place), *_claims(setting, place, theirs))
    what = f"A classifier is trained alone, beside the coarser classes {setting.coarse!r}, and beside a contrastive "
    return Arms(
        setting.seeds,
        "Which hardens more, a supervised or a contrastive auxiliary task?",
        setting.told(f"{what}head."),
        setting.arms(supervised=True),
        (pgd_name(setting.steps[-1]),),
        (*claims, *_ours(setting), *_claims(setting, OURS, ours)),
        _numbers("contrastive-table2", setting),
    )


def _theirs(setting: ViewsSetting, place: str) -> list[Claim]:
    """What the paper says of both tables."""
    masked = tuple((Side(CONTRASTIVE, pgd_name(steps)), Side(CONTRASTIVE, "fgsm")) for steps in setting.steps)
    text = "the steps of PGD fool the contrastive model less often than the one of FGSM (its own numbers: the sign of "
    told: list[Told] = [
        ("a contrastive task hardens the classifier", HELPED, list(setting.printed)),
        ("a contrastive task costs the classifier accuracy on clean images", (SINGLE, CONTRASTIVE), ["clean"]),
    ]
    return [*_claims(setting, place, told), Claim(f"{text}masked gradients)", place, setting.main, masked)]


def _ours(setting: ViewsSetting) -> list[Claim]:
    """What this package asks of both tables."""
    every = [*map(pgd_name, setting.steps), RESTARTED, STRONG]
    told: list[Told] = [
        ("ours: a contrastive task hardens the classifier under AutoAttack, too", HELPED, [STRONG]),
        ("ours: a contrastive task hardens the classifier under PGD with restarts, too", HELPED, [RESTARTED]),
        ("ours: the contrastive loss hardens beyond the two views themselves", (CONTRASTIVE, VIEWS), every),
    ]
    return _claims(setting, OURS, told)


def _claims(setting: ViewsSetting, source: str, told: Sequence[Told]) -> list[Claim]:
    return [
        Claim(text, source, setting.main, tuple((Side(first, attack), Side(second, attack)) for attack in attacks))
        for text, (first, second), attacks in told
    ]


def _numbers(table: str, setting: ViewsSetting) -> tuple[Beside, ...]:
    def where(row: Mapping[str, str]) -> Side | None:
        attack = row["attack"].lower().replace("-", "")
        return Side(PUBLISHED[row["row"]], attack) if attack in ("clean", *setting.printed) else None

    return beside(table, setting.main, where)


ENTRIES = (
    Entry("contrastive-table1", f"{PAPER}, Table 1", "does a contrastive task harden, and does that stand up to "
          "AutoAttack?", table1, TEN, {}),
    Entry("contrastive-table2", f"{PAPER}, Table 2", "which hardens more, a supervised or a contrastive task?", table2,
          HUNDRED, {}),
)  # fmt: skip
