"""Every number that the five papers print, as tables a study sets its own beside.

One CSV a table (in the folder of this module's name), transcribed from the papers' text and checked against it by the
tests. A number stands there as it is printed. What is wrong with one is told in its ``note``, which then begins with
``slip`` (another number or line of the same paper contradicts it), ``doubt`` (odd, not impossible) or ``garbled`` (its
place in the text is not certain). Nothing here needs torch.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import polars as pl

from testudo.errors import unknown

MAO = "Multitask Learning Strengthens Adversarial Robustness (Mao et al., ECCV 2020)"
CONTRASTIVE = "Multitask Learning With Self-Supervision to Improve Robustness (Wang and Wang, 2021)"
GAT = "GAT: Guided Adversarial Training with Pareto-optimal Auxiliary Tasks (Ghamizi et al., ICML 2023)"
MINMAX = "Robust Multi-task Adversarial Attacks Using Min-max Optimization (Guo et al., 2025)"


class Source(NamedTuple):
    """Where numbers were published.

    Args:
        paper: its title, authors and year.
        table: which table or figure of it.
        shows: its caption in our own words, with the unit.
    """

    paper: str
    table: str
    shows: str


SOURCES: dict[str, Source] = {
    "mao-table1": Source(MAO, "Table 1", "Cityscapes, DRN-105, all tasks attacked at once: mIoU in %, depth error"),
    "mao-table2": Source(MAO, "Table 2", "Cityscapes, DRN-22, the main task attacked at 4/255: mIoU in %, depth error"),
    "mao-table3": Source(MAO, "Table 3", "the same after adversarial training"),
    "mao-figure7": Source(MAO, "Figure 7", "Taskonomy, 11 main tasks with each of 10 auxiliaries: improvement in %"),
    "mao-supplement-table1": Source(MAO, "supplement, Table 1", "the same, absolute: mIoU in %, L1 error in its unit"),
    "mao-supplement-table2": Source(MAO, "supplement, Table 2", "weights of the auxiliary tasks of these pairs"),
    "contrastive-table1": Source(CONTRASTIVE, "Table 1", "CIFAR-10, single-task against contrastive: accuracy in %"),
    "contrastive-table2": Source(CONTRASTIVE, "Table 2", "CIFAR-100, a supervised auxiliary too: accuracy in %"),
    "gat-table1": Source(GAT, "Table 1", "CIFAR-10, auxiliary tasks with data augmentation, 3 runs: accuracy in %"),
    "gat-table2": Source(GAT, "Table 2", "CIFAR-10, Macro task, four weightings of the losses: accuracy in %"),
    "gat-table3": Source(GAT, "Table 3", "CIFAR-10, trained against attacks on main, both or auxiliary: accuracy in %"),
    "gat-table4": Source(GAT, "Table 4", "CIFAR-10, other attacks and a wide network: robust accuracy in %"),
    "gat-table5": Source(GAT, "Table 5", "CIFAR-10 and ROBIN, dense auxiliary tasks: accuracy in %"),
    "gat-table6": Source(GAT, "Table 6", "NIH and CheXpert: radiographs, patients, age, sex, labels"),
    "gat-table7": Source(GAT, "Table 7", "NIH and CheXpert: examples with and without each pathology"),
    "gat-table8": Source(GAT, "Table 8", "fine-tuned on 10 or 50 % of CIFAR-10, equal weights, 3 runs: accuracy in %"),
    "gat-table9": Source(GAT, "Table 9", "10, 25 and 50 % of CIFAR-10, MGDA: accuracy in %"),
    "gat-table10": Source(GAT, "Table 10", "CheXpert, three targets with six auxiliary tasks: AUC in %"),
    "gat-table11": Source(GAT, "Table 11", "CIFAR-10, GAT against nine other trainings: accuracy in %"),
    "gat-table12": Source(GAT, "Table 12", "CIFAR-10, five trainings, equal weights: accuracy in %"),
    "gat-table13": Source(GAT, "Table 13", "CIFAR-10, five weightings, standard or adversarial: accuracy in %"),
    "gat-table14": Source(GAT, "Table 14", "hypervolume of each weighting's front; lower is said to be better"),
    "gat-table15": Source(GAT, "Table 15", "CIFAR-10, one to four tasks: robust accuracy in %"),
    "gat-table16": Source(GAT, "Table 16", "CIFAR-10 and STL-10: accuracy under AutoAttack in %"),
    "gat-table17": Source(GAT, "Table 17", "attacks made on one model, tried on another: success rate in %"),
    "gat-mcnemar": Source(GAT, "appendix C.1", "McNemar's test of every pair of 12 models"),
    "gat-figure1": Source(GAT, "Figure 1", "Pearson correlation of gradient measures with robust accuracy"),
    "gat-figure3": Source(GAT, "Figure 3", "robust accuracy that GAT gains over others, in points"),
    "gat-figure4": Source(GAT, "Figure 4", "CheXpert: AUC in %, as told in the text"),
    "minmax": Source(MINMAX, "Tables I to IV", "NYUv2, Cityscapes, L2, Linf, three balances: mIoU, errors, Delta in %"),
}
_NUMBERS = ("value", "spread", "segment_miou", "part_miou", "depth_aerr", "disparity_aerr", "normal_mdist")
_NUMBERS += ("delta_mtl", "delta_wor")


def names() -> tuple[str, ...]:
    """All tables, by paper.

    >>> len(names()), names()[0]
    (30, 'mao-table1')
    """
    return tuple(SOURCES)


def read(name: str) -> pl.DataFrame:
    """A published table, one row a cell in the order of the paper.

    Columns: ``row`` (the paper's label of the model), what else tells the cells apart, ``value``, ``spread`` (standard
    deviation, null where none is printed) and ``note``. ``minmax`` alone is wide: one row a method, a column a measure.
    Radii are in [0, 1] pixels, except that ``minmax`` has both the paper's ``eps`` (of [-1, 1]) and ``eps_ours``.

    Args:
        name: one of :func:`names`.

    Returns:
        Strings, empty where nothing is told, but for the measured columns, which are float64 with nulls.

    Raises:
        TestudoError: there is no such table.

    >>> read("gat-table15").filter(row="Target + Rotation + Macro")["value"].item()
    56.21
    """
    if name not in SOURCES:
        raise unknown("published table", name, SOURCES)
    text = files("testudo.studies").joinpath(f"published/{name}.csv").read_bytes()
    table = pl.read_csv(text, infer_schema=False).fill_null("")
    measured = [column for column in _NUMBERS if column in table.columns]
    number = pl.col(measured).str.replace_all(",", "").replace("", None)  # 112,120 radiographs
    return table.with_columns(number.cast(pl.Float64))
