"""Multitask learning strengthens adversarial robustness (Mao et al. 2020): many tasks of rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.evaluation.summarise import summarise
from testudo.reports.claims import Claim, Side
from testudo.reports.wording import counted, radius
from testudo.studies.beside import beside
from testudo.studies.catalogue.dense_setting import CURVE, LEVEL, PAPER, DenseSetting, ahead
from testudo.studies.catalogue.dense_settings import ELEVEN, GROWING, PAIRS
from testudo.studies.catalogue.mao import alone
from testudo.studies.entry import Entry
from testudo.studies.measures import Groups, Measure
from testudo.studies.published import read
from testudo.studies.study import Arms
from testudo.training.methods.standard import Standard

SIX = {
    "s": "segmentation", "d": "depth", "e": "edges", "k": "keypoints2d", "n": "normal", "r": "reshading",
}  # fmt: skip
GROWN = ("s", "sd", "sde", "sdek", "sdekn", "sdeknr", "d", "e", "er", "k", "ks", "ksd")
ATTACK = "pgd"
EITHER = "each main task"  # of a claim whose sides name their own


def figure5(setting: DenseSetting) -> Arms:
    """Networks of one to six tasks, all of them attacked at once."""
    curve = setting.curve()
    arms = []
    for letters in GROWN:
        than = letters[0] if len(letters) > 1 else None
        arms.append(setting.arm(letters, tuple(SIX[letter] for letter in letters), Standard(), curve, than))
    claims = []
    for letter, task in list(SIX.items())[:4]:  # those that are learnt alone, too
        pairs = [(letters, letter) for letters in GROWN if letter in letters and letters != letter]
        text = f"attacked on all its tasks at once, a network of several does better at {task} than one of {task} alone"
        claims.append(ahead(text, f"{PAPER}, Figure 5", task, pairs, list(curve)))
    claims.append(
        ahead("the more tasks are attacked at once, the more is left of segmentation", "Theorem 1, by this package",
              "segmentation", [("sd", "s"), ("sdek", "sd"), ("sdeknr", "sdek")], list(curve))
    )  # fmt: skip
    letters = ", ".join(f"{letter} {task}" for letter, task in SIX.items())
    return Arms(
        setting.seeds,
        "More and more tasks, all attacked at once",
        (f"A variant is called after its tasks: {letters}. They weigh the same in training and in the attack, "
         f"PGD of {min(CURVE, max(setting.steps))} steps of 1/255 at every radius (the paper makes fewer at smaller "
         "ones). It prints curves alone.",),
        tuple(arms),
        (),
        tuple(claims),
    )  # fmt: skip


def figure7(setting: DenseSetting) -> Arms:
    """Every main task with every auxiliary one."""
    names = {name: task for name, task in ELEVEN.items() if task in {each.name for each in setting.data.tasks()}}
    weights = published_weights()
    arms = []
    for main, task in names.items():
        aim = PGD(Linf(setting.eps), Objective((task,)), steps=setting.steps[0], step=LEVEL)
        arms.append(setting.arm(alone(task), (task,), Standard(), {ATTACK: aim}))
        for other, helper in names.items():
            if other != main:
                method = Standard(weights={helper: weights[main, other]})
                arms.append(setting.arm(both(task, helper), (task, helper), method, {ATTACK: aim}, alone(task)))
    tasks = tuple(names.values())
    numbers = tuple(
        number
        for name, task in names.items()
        for number in beside("mao-supplement-table1", task, lambda row, name=name: _cell(row, name, names))
    )
    return Arms(
        setting.seeds,
        "Every main task with every auxiliary task",
        (f"{counted(len(tasks), 'task')}, each learnt alone and with each other one, whose weight is the one that the "
         "paper found best for the pair (its supplement, Table 2; it chose by robustness, and so did not learn it from "
         f"other images). PGD-{setting.steps[0]} on the main task within Linf radius {radius(setting.eps)} (pixels in "
         "[0, 1]), in steps of 1/255.",
         "By the figure's own numbers 88 pairs of 110 are more robust, not 90; see docs/published.md. A comparison of "
         "two networks has an interval over test images; one with another seed may differ as much."),
        tuple(arms),
        (),
        _pairs(tasks),
        numbers,
        (Gains(
            "Improvement by an auxiliary task",
            "Relative improvement of the main task (row) by each auxiliary one (column) in percent, as in Figure 7: "
            "under attack and on clean images; positive is better. The first number is that of the task alone.",
            tasks,
        ),),
    )  # fmt: skip


def both(main: str, helper: str) -> str:
    """What the arm of a pair is called."""
    return f"{main} with {helper}"


def published_weights() -> dict[tuple[str, str], float]:
    """Lambda by the paper's names of main and auxiliary task, its slip of 9.01 mended to 0.01."""
    rows = read("mao-supplement-table2").iter_rows(named=True)
    return {(row["row"], row["auxiliary"]): 0.01 if row["value"] == 9.01 else row["value"] for row in rows}


@dataclass(frozen=True)
class Gains(Measure):
    """The matrix of Figure 7: what each auxiliary task does to each main one.

    Args:
        title, caption: see :class:`~testudo.studies.measures.Measure`.
        tasks: rows and columns.
    """

    tasks: tuple[str, ...]

    def __call__(self, rows: pl.DataFrame, groups: Groups) -> pl.DataFrame:
        """``attack``, ``main``, ``alone`` (its metric), a column for each auxiliary task, and their ``mean``."""
        named = {run.name: group for group, runs in groups.items() for run in runs}
        known = summarise(rows, named, resamples=1).filter("primary").iter_rows(named=True)
        value = {(row["group"], row["attack"], row["task"]): row for row in known}
        lines = []
        for attack in (ATTACK, "clean"):
            for main in self.tasks:
                base = value[alone(main), attack, main]
                sign = 100 if base["higher_is_better"] else -100
                gains = {
                    helper: sign * (value[both(main, helper), attack, main]["value"] / base["value"] - 1)
                    for helper in self.tasks
                    if helper != main
                }
                own = {task: gains.get(task) for task in self.tasks}
                mean = sum(gains.values()) / len(gains)
                lines.append({"attack": attack, "main": main, "alone": base["value"], **own, "mean": mean})
        return pl.DataFrame(lines, infer_schema_length=None)


def _pairs(tasks: tuple[str, ...]) -> tuple[Claim, ...]:
    def sides(attack: str, mains: tuple[str, ...]) -> tuple[tuple[Side, Side], ...]:
        return tuple(
            (Side(both(main, helper), attack, main), Side(alone(main), attack, main))
            for main in mains
            for helper in tasks
            if helper != main
        )

    place = f"{PAPER}, Figure 7; supplement, Table 1"
    claims = [
        Claim(
            "an auxiliary task makes the main one more robust in 90 of 110 pairs",
            place,
            EITHER,
            sides(ATTACK, tasks),
            90 / 110,
        ),
        Claim(
            "an auxiliary task makes the main one better on clean images in 70 of 110 pairs",
            place,
            EITHER,
            sides("clean", tasks),
            70 / 110,
        ),
    ]
    for main in ("segmentation", "keypoints3d"):
        if main in tasks:
            text = f"{main} is made more robust by every auxiliary task"
            claims.append(Claim(text, f"{PAPER}, supplement, Table 1", main, sides(ATTACK, (main,))))
    return tuple(claims)


def _cell(row: Mapping[str, str], name: str, names: Mapping[str, str]) -> Side | None:
    """Ours for a number of the supplement's Table 1."""
    attack = {"PGD": ATTACK, "clean": "clean"}[row["attack"]]
    if row["row"] != name or row["auxiliary"] not in ("none", *names):
        return None
    return Side(
        alone(names[name]) if row["auxiliary"] == "none" else both(names[name], names[row["auxiliary"]]), attack
    )


ENTRIES = (
    Entry("mao-figure5", f"{PAPER}, Figure 5", "does attacking more tasks at once leave more of each?", figure5,
          GROWING, {}),
    Entry("mao-figure7", f"{PAPER}, Figure 7; supplement, Tables 1 and 2", "which task hardens which?", figure7,
          PAIRS, {}),
)  # fmt: skip
