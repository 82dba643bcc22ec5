"""Published numbers against each other: what contradicts is noted as a slip, what is odd as a doubt.

A check yields the cells that fail it. Their notes have a phrase in common, and exactly these cells have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import pytest
from published_cells import CLEAN, ROBUST, ROWS, Cell, Row, cell, only, rows, value
from scipy.stats import binom


def half(number: float, places: int = 9) -> float:
    """Half a unit of the last place that is not zero: how far rounding may have moved a number."""
    text = f"{number:.{places}f}".rstrip("0")
    return 0.5 * 10.0 ** -len(text.partition(".")[2])


def improvements(task: str, attack: str) -> Iterator[tuple[Row, float, float]]:
    """Figure 7's cells of a row with the range that the supplement's absolute numbers leave to each."""
    base = value("mao-supplement-table1", row=task, attack=attack, auxiliary="none")
    sign = 1 if task == "SemSeg" else -1
    ranges = {}
    for row in rows("mao-supplement-table1", row=task, attack=attack):
        ends = [100 * sign * (row["value"] + u * half(row["value"]) - base - v * half(base)) / (base + v * half(base))
                for u, v in product((-1, 1), repeat=2)]  # fmt: skip
        ranges[row["auxiliary"]] = min(ends) - 0.005, max(ends) + 0.005
    ranges.pop("none")
    ranges["mean"] = tuple(sum(ends) / len(ranges) for ends in zip(*ranges.values(), strict=True))
    for auxiliary, (low, high) in ranges.items():
        yield only("mao-figure7", row=task, attack=attack, auxiliary=auxiliary), low, high


def worse_and_not_underlined() -> Iterator[Cell]:
    """ "Multitask learning models out-perform single-task models except for the underlined ones"."""
    for name, task in product(("mao-table1", "mao-table2", "mao-table3"), ("SemSeg", "Depth")):
        for row in rows(name, task=task):
            base = value(name, task=task, row="s" if task == "SemSeg" else "d", attack=row["attack"])
            worse = row["value"] > base if row["metric"] == "abs error" else row["value"] < base
            underlined = row["note"].startswith("underlined")
            assert worse or not underlined
            if worse and not underlined:
                yield cell(row)


def improvements_not_from_the_supplement() -> Iterator[Cell]:
    for row in rows("mao-figure7", quantity="absolute"):
        there = value("mao-supplement-table1", row=row["row"], attack=row["attack"], auxiliary="none")
        if abs(there - row["value"]) > half(there) + half(row["value"], 2):
            yield cell(row)
        for improvement, low, high in improvements(row["row"], row["attack"]):
            if not low <= improvement["value"] <= high:
                yield cell(improvement)


def baselines_not_of_the_figure() -> Iterator[Cell]:
    for row in rows("mao-supplement-table1", auxiliary="none"):
        there = value("mao-figure7", row=row["row"], attack=row["attack"], auxiliary="none")
        if abs(there - row["value"]) > half(there, 2) + half(row["value"]):
            yield cell(row)


def errors_below_the_clean_ones() -> Iterator[Cell]:
    for name in ("mao-supplement-table1", "mao-figure7"):
        for row in rows(name, attack="PGD"):
            if row["row"] == "SemSeg" or row.get("quantity") == "improvement":
                continue
            if row["value"] < value(name, row=row["row"], attack="clean", auxiliary=row["auxiliary"]):
                yield cell(row)


def weights_that_were_not_tried() -> Iterator[Cell]:
    for row in ROWS["mao-supplement-table2"]:
        if row["value"] not in ((0,) if row["row"] == row["auxiliary"] else (0.1, 0.01)):
            yield cell(row)


def equal_weights_of_two_tables() -> Iterator[Cell]:
    for metric in (CLEAN, ROBUST):
        for here, there in (
            ("Equal", "Equal weights"),
            ("MGDA [Ours]", "MGDA (Ours)"),
            ("GradVac", "GV"),
            ("PCGrad", "PCG"),
        ):
            pair = (
                only("gat-table13", row=here, scenario="adversarial", auxiliary="Macro", metric=metric),
                only("gat-table2", row=f"Macro Task + {there}", metric=metric),
            )
            if pair[0]["value"] != pair[1]["value"]:
                yield from map(cell, pair)


def an_ensemble_above_its_part() -> Iterator[Cell]:
    for row in rows("gat-table4", row="AutoAttack"):
        if any(value("gat-table4", row=part, auxiliary=row["auxiliary"]) < row["value"] for part in ("AutoPGD", "FAB")):
            yield cell(row)


def fewer_labels_than_listed() -> Iterator[Cell]:
    for row in rows("gat-table6", row="Number of pathology labels"):
        if row["value"] < len(rows("gat-table7", dataset=row["dataset"], label="positive")):
            yield cell(row)


def more_labels_than_listed() -> Iterator[Cell]:
    for row in rows("gat-table6", row="Number of pathology labels"):
        if row["value"] > len(rows("gat-table7", dataset=row["dataset"], label="positive")):
            yield cell(row)


def the_same_with_and_without_an_auxiliary() -> Iterator[Cell]:
    for with_it in rows("gat-table12", auxiliary="Macro"):
        for without in rows("gat-table11", metric=with_it["metric"], kind="Training optimization"):
            if with_it["value"] == without["value"]:
                yield from map(cell, (with_it, without))


def a_row_twice() -> Iterator[Cell]:
    seen: set[tuple[float, ...]] = set()
    for scenario in dict.fromkeys(row["row"] for row in rows("gat-table16", dataset="CIFAR-10")):
        found = rows("gat-table16", row=scenario, dataset="CIFAR-10")
        numbers = tuple(row["value"] for row in found)
        if numbers in seen:
            yield from map(cell, found)
        seen.add(numbers)


def figure4(least: float, most: float) -> Iterator[Cell]:
    """Cells of the text on Figure 4 off Table 10 by more than ``least`` and at most ``most``."""
    for row in ROWS["gat-figure4"]:
        there = value("gat-table10", row=row["row"], target=row["target"], metric=row["metric"])
        if least < abs(there - row["value"]) <= most:
            yield cell(row)


def one_step_stronger_than_many() -> Iterator[Cell]:
    for name in ("contrastive-table1", "contrastive-table2"):
        for row in ROWS[name]:
            if row["attack"].startswith("PGD") and row["value"] > value(name, row=row["row"], attack="FGSM"):
                yield cell(row)


def apgd_weaker_than_pgd() -> Iterator[Cell]:
    for row in rows("gat-table4", row="AutoPGD"):
        if row["value"] > value("gat-table1", row="None", auxiliary=row["auxiliary"], metric=ROBUST):
            yield cell(row)


def transfer_of_standard_models() -> Iterator[Cell]:
    targets = {"None": "Single Task", "Jigsaw": "Auxiliary Jigsaw", "Rotation": "Auxiliary Rotation"}
    for row in rows("gat-table4", row="Transfer"):
        target = targets.get(row["auxiliary"])
        if target and 100 - value("gat-table17", row="Single Task", target=target) == pytest.approx(row["value"]):
            yield cell(row)


def two_findings_alike() -> Iterator[Cell]:
    seen: set[tuple[float, ...]] = set()
    for finding in dict.fromkeys(row["row"] for row in ROWS["gat-table7"]):
        found = rows("gat-table7", row=finding, dataset="NIH")
        numbers = tuple(row["value"] for row in found)
        if numbers and numbers in seen:
            yield from map(cell, found)
        seen.add(numbers)


def fewer_steps_stronger() -> Iterator[Cell]:
    for row in rows("gat-table8", attack="PGD-4", metric=ROBUST):
        if row["value"] < value(
            "gat-table8", **{**{k: row[k] for k in ("row", "subset", "metric")}, "attack": "PGD-10"}
        ):
            yield cell(row)


def robust_above_clean() -> Iterator[Cell]:
    for row in rows("gat-table10", metric="robust AUC"):
        if row["value"] > value("gat-table10", row=row["row"], target=row["target"], metric="clean AUC"):
            yield cell(row)


def two_weightings_alike() -> Iterator[Cell]:
    for row in ROWS["gat-table13"]:
        keys = {key: row[key] for key in ("scenario", "auxiliary", "metric")}
        same = [other["row"] for other in rows("gat-table13", **keys) if other["value"] == row["value"]]
        if same.index(row["row"]):
            yield cell(row)


def autoattack_weaker_than_pgd() -> Iterator[Cell]:
    for row in rows("gat-table16", row="10% Dataset"):
        if row["value"] > value("gat-table9", row="10%", auxiliary=row["auxiliary"], metric=ROBUST):
            yield cell(row)


def disagreements(fewer: float, p: float) -> float:
    """How many more examples the other model alone gets right, by an exact McNemar test with that p-value.

    ``fewer``: right in one model only, of the two such counts the smaller one.
    """
    more = fewer
    while 2 * binom.cdf(fewer, fewer + more, 0.5) > p - 0.0005:
        more += 1
    return more - fewer


def accuracies(model: str) -> list[float]:
    """Clean and robust accuracy of a model of the appendix, from Tables 1 and 5."""
    if model in ("Hog", "Depth"):
        row = {"Hog": "HOG", "Depth": "Depth estimation"}[model]
        return [value("gat-table5", row=row, dataset="CIFAR10", metric=metric) for metric in (CLEAN, ROBUST)]
    task, _, augmented = model.partition(" + ")
    if task == "Unlabeled":
        task, augmented = "None", task
    where = {"row": augmented or "None", "auxiliary": {"Rot": "Rotation"}.get(task, task)}
    return [value("gat-table1", **where, metric=metric) for metric in (CLEAN, ROBUST)]


def too_alike_for_their_accuracies() -> Iterator[Cell]:
    """p-values that leave less between two models than either of their accuracies does, on however few examples."""
    least = 2 * max(row["value"] for row in rows("gat-mcnemar", quantity="statistic"))  # at least so many examples
    for row in rows("gat-mcnemar", quantity="p"):
        statistic = value("gat-mcnemar", row=row["row"], other=row["other"], quantity="statistic")
        if row["value"] > 0:
            most = 100 * disagreements(statistic, row["value"]) / least
            pairs = zip(accuracies(row["row"]), accuracies(row["other"]), strict=True)
            if all(abs(a - b) > most for a, b in pairs):
                yield cell(row)


CHECKS = {  # what the notes of the failing cells have in common
    "slip: worse than the baseline": worse_and_not_underlined,
    "8.017": improvements_not_from_the_supplement,
    "slip: 10.48 in Figure 7": baselines_not_of_the_figure,
    "slip: below the clean error": errors_below_the_clean_ones,
    "slip: neither 0.1 nor 0.01": weights_that_were_not_tried,
    "slip: Table 7 lists": fewer_labels_than_listed,
    "equal weights": equal_weights_of_two_tables,
    "slip: above AutoPGD": an_ensemble_above_its_part,
    "slip: the same as": the_same_with_and_without_an_auxiliary,
    "slip: a copy of": a_row_twice,
    "slip: the clean AUC": partial(figure4, 0.015, 100),
    "doubt: 55.69": partial(figure4, 0.005, 0.015),
    "doubt: Table 7 lists": more_labels_than_listed,
    "doubt: above FGSM": one_step_stronger_than_many,
    "doubt: above PGD-10 (39.09": apgd_weaker_than_pgd,
    "doubt: 100 minus": transfer_of_standard_models,
    "doubt: the same as Effusion's": two_findings_alike,
    "doubt: below the 32.41": fewer_steps_stronger,
    "doubt: above the clean AUC": robust_above_clean,
    "doubt: the same as GradVac's": two_weightings_alike,
    "in Table 9)": autoattack_weaker_than_pgd,
    "doubt: too large": too_alike_for_their_accuracies,
}
OTHER_DOUBTS = {"released code": 2, "not in Table 17": 1, "lower is said": 4}  # which no other number shows


@pytest.mark.parametrize("phrase", CHECKS)
def test_the_cells_that_fail_a_check_are_those_noted(phrase):
    noted = [cell(row) for table in ROWS.values() for row in table if phrase in row["note"]]
    found = list(CHECKS[phrase]())
    assert found
    assert sorted(set(found)) == sorted(noted)


def test_every_slip_and_doubt_is_a_check_s():
    notes = [row["note"] for table in ROWS.values() for row in table if row["note"].startswith(("slip", "doubt"))]
    unchecked = [note for note in notes if sum(phrase in note for phrase in CHECKS) != 1]
    assert all(note.startswith("doubt") for note in unchecked)
    assert {word: sum(word in note for note in unchecked) for word in OTHER_DOUBTS} == OTHER_DOUBTS
    assert len(unchecked) == sum(OTHER_DOUBTS.values())
