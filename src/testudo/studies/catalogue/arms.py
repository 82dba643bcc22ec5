"""What the studies of guided adversarial training have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from testudo.data.fraction import Fraction
from testudo.reports.claims import Claim, Side
from testudo.studies.catalogue.settings import CLASSES
from testudo.studies.entry import Entry
from testudo.studies.setting import PGD_NAME, Setting
from testudo.studies.study import Arms, Variant
from testudo.training.partners.base import Partner

PAPER = "Ghamizi et al. 2023 (GAT)"
ALONE = "alone"  # adversarial training of the main task and nothing else


def asked(setting: Setting, what: str) -> tuple[str, ...]:
    """The first paragraphs: what is asked, and how it was made here."""
    preset = type(setting.gat).__name__.removeprefix("GAT") or "this package's default"
    macro = f", the macro task {setting.macro!r}" if setting.macro else ""
    return (
        f"{what} The main task is {setting.main!r}{macro}. Every arm makes as many "
        f"optimiser steps, each on as many images; the inner attack is PGD-{setting.steps}, what judges "
        f"PGD-{setting.judge} on the main task in the same ball.",
        f"GAT is that of {preset}; see the recipes for every value. The published numbers were measured on CIFAR-10 "
        "with a ResNet-50: beside ours they tell the direction, not what to expect.",
    )


def helped(setting: Setting, suffix: str = "", partners: tuple[Partner, ...] = (), **changed: Any) -> list[Variant]:
    """Adversarial training alone, and with each helper against that."""
    end = f", {suffix}" if suffix else ""
    arms = [setting.arm(ALONE + end, setting.alone(), None, changed, partners)]
    for helper, made in setting.helped().items():
        arms.append(setting.arm(helper + end, made, ALONE + end, changed, partners))
    return arms


def part(setting: Setting, share: float) -> Fraction:
    """A share of the setting's training images."""
    data = setting.data
    return replace(data, share=data.share * share) if isinstance(data, Fraction) else Fraction(data, share=share)


def plus(names: Sequence[str]) -> str:
    """What an arm with these helpers is called."""
    return " + ".join(names)


def better(
    text: str,
    place: str,
    setting: Setting,
    pairs: Sequence[tuple[str, str]],
    attack: str = PGD_NAME,
    share: float = 1.0,
) -> Claim:
    """The first of each pair has the better main task under ``attack``."""
    sides = tuple((Side(first, attack), Side(second, attack)) for first, second in pairs)
    return Claim(text, f"{PAPER}, {place}", setting.main, sides, share)


def gat_entry(name: str, place: str, asks: str, make: Callable[[Setting], Arms], small: float | None = None) -> Entry:
    """A table or figure of the paper, on classes; ``small`` are the minutes of that scale, where they were measured."""
    return Entry(f"gat-{name}", f"{PAPER}, {place}", asks, make, CLASSES, {} if small is None else {"small": small})
