"""Guided adversarial training (Ghamizi et al. 2023): what is measured of its models beside their accuracy."""

from __future__ import annotations

from dataclasses import replace

from testudo.reports.readings import Reading
from testudo.studies.catalogue.arms import ALONE, PAPER, asked, gat_entry, plus
from testudo.studies.catalogue.gat import BALANCES, table13
from testudo.studies.catalogue.printed import Printed
from testudo.studies.measures import Crossing, Fronts, Geometry
from testudo.studies.published import read
from testudo.studies.setting import HELPERS, PGD_NAME, Setting
from testudo.studies.study import Arms
from testudo.training.methods.standard import Standard


def figure1(setting: Setting) -> Arms:
    """What gradients that lie alike have to do with robustness."""
    sets = (("macro",), ("macro", "rotation"), ("jigsaw", "macro"), HELPERS)
    ways = {"standard": Standard(), "GAT": setting.guided()}
    arms = [
        setting.arm(f"{way}, {plus(names)}", setting.with_helpers(names, method))
        for way, method in ways.items()
        for names in sets
    ]
    caption = "Pearson's r between a model's measure, a mean over test images and pairs of tasks, and its accuracy "
    caption += "under attack. Of the paper's six numbers three stand in its text; it has them below 0, "
    caption += "which holds here where the whole interval is."
    geometry = Geometry("", "", setting.main, PGD_NAME, 200)
    printed = {
        training: {(row["row"],): row["value"] for row in read("gat-figure1").filter(training=training).to_dicts()}
        for training in ("adversarial", "standard")
    }
    text = "the smaller the {} of the tasks' gradients, the more robust the model, after {} training"
    measured = (
        Printed("Gradients and robustness, guided adversarial training", caption, geometry, ("measure",),
                printed["adversarial"], of="GAT",
                said=(_falls(text.format("curvature measure", "adversarial"), "curvature"),
                      _falls(text.format("cosine", "adversarial"), "cosine"))),
        Printed("Gradients and robustness, standard training", caption, geometry, ("measure",), printed["standard"],
                of="standard",
                said=(_falls(text.format("curvature measure", "standard"), "curvature"),)),
        replace(geometry, title="Gradients and robustness, both", caption=caption),
    )  # fmt: skip
    return Arms(
        setting.seeds,
        "Are models whose tasks' gradients lie alike more robust?",
        asked(setting, "Standard training and guided adversarial training with several sets of auxiliary tasks."),
        tuple(arms),
        measured=measured,
    )


def _falls(text: str, measure: str) -> Reading:
    """That a measure is correlated with robustness, negatively."""
    return Reading(text, f"{PAPER}, Figure 1", "r", (((measure,), 0.0),), lower=True)


def table14(setting: Setting) -> Arms:
    """The fronts that the weightings span: the runs of Table 13."""
    grid = table13(setting)
    fronts = {name: tuple(f"GAT, {name}, {helper}" for helper in HELPERS) for name in BALANCES}
    caption = "Each front is spanned by the three helpers; accuracies in [0, 1]. Volume above (0, 0): more is better. "
    caption += (
        "The paper's way: the volume between the points and (1, 1), where it counts less as better (its Figure 7 "
    )
    caption += "shows what a hypervolume is)."
    names = {"MGDA (OURS)": "MGDA", "IMTL": "IMTL", "PCG": "PCGrad", "GV": "GradVac"}
    theirs = {(names[row["row"]],): row["value"] for row in read("gat-table14").to_dicts()}
    best = Reading(
        "the front of MGDA covers the most of the plane",
        f"{PAPER}, Table 14",
        "above (0, 0)",
        tuple((("MGDA",), (other,)) for other in names.values() if other != "MGDA"),
    )
    return replace(
        grid,
        heading="Which weighting has the best front?",
        arms=tuple(arm for arm in grid.arms if arm.name.startswith("GAT")),
        claimed=(),
        published=(),
        measured=(
            Printed(
                "Hypervolume", caption, Fronts("", "", fronts, setting.main, PGD_NAME), ("front",), theirs, said=(best,)
            ),
        ),
    )


def table17(setting: Setting) -> Arms:
    """How well attacks carry over between models that were trained on clean images."""
    helpers = ("rotation", "jigsaw")
    arms = [setting.arm(name, setting.with_helpers((name,), Standard()), ALONE) for name in helpers]
    caption = f"Images made by PGD-{setting.judge} against the surrogate, at the same eps: the share of those that the "
    caption += "target tells right when they are clean and wrong then. The paper's Table 17 has such shares."
    names = {"Single Task": ALONE, "Auxiliary Rotation": "rotation", "Auxiliary Jigsaw": "jigsaw"}
    theirs = {(names[row["row"]], names[row["target"]]): row["value"] for row in read("gat-table17").to_dicts()}
    crossing = Crossing("", "", setting.suite[PGD_NAME], setting.main)
    said = (
        Reading(
            "what fools the model without a helper fools those with one less often",
            f"{PAPER}, Table 17",
            "success",
            tuple(((ALONE, name), (ALONE, ALONE)) for name in helpers),
            lower=True,
        ),
        Reading(
            "attacks on a model with a helper carry over least to the one without",
            f"{PAPER}, Table 17",
            "success",
            (
                *(((name, ALONE), (ALONE, name)) for name in helpers),
                *(((name, ALONE), (name, other)) for name, other in (helpers, helpers[::-1])),
            ),
            lower=True,
        ),
    )
    return Arms(
        setting.seeds,
        "Do attacks carry over between models with and without auxiliary tasks?",
        asked(setting, "Standard training alone, with rotation and with a jigsaw; attacks made against each are tried "
              "on all."),
        (setting.arm(ALONE, setting.alone(Standard())), *arms),
        measured=(Printed("Transfer", caption, crossing, ("surrogate", "target"), theirs, "the paper (%)", said=said),),
    )  # fmt: skip


ENTRIES = (
    gat_entry("figure1", "Figure 1", "do gradients that lie alike go with robustness?", figure1),
    gat_entry("table14", "Table 14, Figure 7", "which weighting has the best front?", table14, 11),
    gat_entry("table17", "Table 17", "do attacks carry over between models?", table17, 0.6),
)
