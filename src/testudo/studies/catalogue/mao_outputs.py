"""Multitask learning strengthens adversarial robustness (Mao et al. 2020): output pixels and tasks, few and many."""

from __future__ import annotations

from dataclasses import dataclass, replace

from testudo.evaluation.theory.output_dimension import MEAN, SUM
from testudo.reports.readings import FIRST, LAST, Reading
from testudo.reports.wording import listed
from testudo.studies.catalogue.dense_setting import PAPER, DenseSetting, at
from testudo.studies.catalogue.dense_settings import GROWING, TOGETHER
from testudo.studies.catalogue.mao_pairs import GROWN, SIX
from testudo.studies.catalogue.outputs import Pixels, Tasks
from testudo.studies.entry import Entry, Scale
from testudo.studies.study import Arms, Parts
from testudo.training.methods.standard import Standard

MAIN = "segmentation"
OURS = "ours: whether it is so where nothing falls by a"
ALL = max(GROWN, key=len)  # the network of all six tasks


@dataclass(frozen=True)
class OutputSetting:
    """What Figure 4 is measured on.

    Args:
        pixels: of the network whose output pixels are counted.
        tasks: of the network whose tasks are.
        examples: test images, evenly spaced.
        points: numbers of pixels.
        draws: of the pixels, for each number.
    """

    pixels: DenseSetting
    tasks: DenseSetting
    examples: int = 32
    points: int = 10
    draws: int = 20


def figure4(made: OutputSetting) -> Arms:
    """Output pixels; and on the same page, tasks."""
    setting = made.pixels
    (arm, *_) = setting.choices(MAIN)
    suite = {name: arm.recipe.suite[name] for name in ("fgsm", f"pgd{setting.steps[0]}")}
    curve = Pixels(
        "Output pixels, few and many (Figure 4a and b)",
        f"Random pixels of {made.examples} test images, {made.draws} draws of each number. The loss of d pixels is "
        "their mean, whose 1/d makes its gradient fall even where no pixel is harder to attack; the summed one's does "
        "not. Right: the share of these pixels that are told right when they alone are attacked.",
        arm.name,
        made.examples,
        MAIN,
        tuple(suite.items()),
        made.points,
        made.draws,
        said=_of_pixels(tuple(suite)),
    )
    return Parts(
        setting.seeds,
        "Does more output make a network more robust?",
        (f"{MAIN.capitalize()} learnt alone, attacked on more and more of its output pixels; below, a network of six "
         "tasks, attacked on more and more of them. The paper shows curves and prints no number of them; it looks at "
         "the mean loss alone.",),
        (replace(arm, recipe=replace(arm.recipe, suite=suite)),),
        (),
        measured=(curve,),
        others={"tasks": _tasks(made)},
    )  # fmt: skip


def _of_pixels(attacks: tuple[str, ...]) -> tuple[Reading, ...]:
    """What the paper says, and what is left of it where nothing falls by itself."""
    text, a, b = "the more pixels are attacked,", f"{PAPER}, Figure 4a", f"{PAPER}, Figure 4b"
    return (
        _changes(f"{text} the smaller the gradient of their mean loss", a, MEAN, False),
        _changes(f"{text} the smaller the gradient of their summed loss", f"{OURS} 1/d", SUM, False),
        *(_changes(f"{text} the more of them are told right under {n}", b, f"right, {n}", True) for n in attacks),
    )


def _changes(text: str, source: str, column: str, rises: bool) -> Reading:
    """That a column is higher in a curve's last line than in its first, or lower."""
    return Reading(text, source, column, ((LAST, FIRST),), lower=not rises)


def _tasks(made: OutputSetting) -> Arms:
    """More and more tasks of one network."""
    setting, names = made.tasks, tuple(SIX[letter] for letter in ALL)
    suite = {at(setting.eps): setting.curve()[at(setting.eps)]}
    curve = Tasks(
        "Tasks, few and many (Figure 4c)",
        f"The L2 norm of the joint gradient at {made.examples} test images, of the mean and of the summed loss of the "
        "tasks; Theorem 1 as printed and Corollary 1, of the covariances of the same gradients, are to be set beside "
        "the former.",
        ALL,
        made.examples,
        tuple(names[:size] for size in range(1, len(names) + 1)),
        said=(
            _changes("the more tasks, the smaller the gradient of their mean loss", f"{PAPER}, Figure 4c", MEAN, False),
            _changes("the more tasks, the smaller the gradient of their summed loss", f"{OURS} 1/M", SUM, False),
        ),
    )
    return Arms(
        setting.seeds,
        "More and more tasks of one network",
        (f"A network that has learnt {listed(names)}, all weighing the same. Losses of different units weigh in the "
         "joint gradient as they are, so that one task may rule it.",),
        (setting.arm(ALL, names, Standard(), suite),),
        (),
        measured=(curve,),
    )  # fmt: skip


FIGURE: dict[Scale, OutputSetting] = {
    "smoke": OutputSetting(TOGETHER["smoke"], GROWING["smoke"], examples=2, points=3, draws=2),
    "small": OutputSetting(TOGETHER["small"], GROWING["small"]),
    "gpu": OutputSetting(TOGETHER["gpu"], GROWING["gpu"], examples=100),
    "paper": OutputSetting(TOGETHER["paper"], GROWING["paper"], examples=100),
}
ENTRIES = (
    Entry("mao-figure4", f"{PAPER}, Figure 4", "does more output, in pixels or tasks, make a network more robust?",
          figure4, FIGURE, {}),
)  # fmt: skip
