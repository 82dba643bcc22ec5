"""NIH ChestX-ray14 on tiny files, and the real sample where there is one."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest
import torch

from testudo.data.dataset import DataSet
from testudo.data.inspect import check
from testudo.data.xray import FINDINGS, NIH
from testudo.errors import TestudoError

HERE = Path(__file__).resolve().parent
writers = SimpleNamespace(**run_path(str(HERE / "writers.py")))
SAMPLE = Path(os.environ.get("TESTUDO_DATA") or HERE.parents[1] / "../shared/data") / "nih_cxr14_64"


def rows(root):
    with next(root.glob("*.csv")).open(newline="") as file:
        return list(csv.DictReader(file))


def everything(dataset):
    """Targets by row of the table, from all splits."""
    parts = [dataset.load(split) for split in dataset.splits]
    order = torch.cat([part.ids for part in parts]).argsort()
    return {name: torch.cat([part.targets[name] for part in parts])[order] for name in parts[0].targets}


@pytest.mark.parametrize("published", [False, True])
def test_the_table_is_read(tmp_path, published):
    root = writers.nih(tmp_path, published=published)
    targets = everything(NIH(str(root)))
    for index, row in enumerate(rows(root)):
        found = [name for name, flag in zip(FINDINGS, targets["pathology"][index], strict=True) if flag == 1]
        assert sorted(found) == sorted(f for f in row["Finding Labels"].split("|") if f != "No Finding")
        assert "FM"[targets["gender"][index]] == row["Patient Gender"]
        age = float(row["Patient Age"])
        assert targets["age"][index] == age if age < 120 else targets["age"][index].isnan()


def test_ages_are_standardised_over_training(tmp_path):
    dataset = NIH(str(writers.nih(tmp_path)))
    age = dataset.tasks()[1]
    known = dataset.load("train").targets["age"]
    known = known[~known.isnan()].double()
    assert (age.mean, age.std) == pytest.approx((float(known.mean()), float(known.std(correction=0))))
    assert age.unit == "years"


def test_target_and_auxiliary_findings_are_tasks(tmp_path):
    root = str(writers.nih(tmp_path))
    whole = NIH(root).load("train").targets["pathology"]
    chosen = NIH(root, target=("Mass", "Edema"), auxiliary=("Hernia",))
    assert [task.name for task in chosen.tasks()] == ["pathology", "Hernia", "age", "gender"]
    assert chosen.tasks()[0].labels == ("Mass", "Edema")
    targets = chosen.load("train").targets
    assert torch.equal(targets["pathology"], whole[:, [FINDINGS.index("Mass"), FINDINGS.index("Edema")]])
    assert torch.equal(targets["Hernia"], whole[:, [FINDINGS.index("Hernia")]])
    with pytest.raises(TestudoError, match="unknown nih finding 'Hernya'; did you mean 'Hernia'"):
        NIH(root, auxiliary=("Hernya",))


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_in_two_splits_and_shares_are_about_right(tmp_path, seed):
    root = writers.nih(tmp_path, patients=100)
    patients = [row["Patient ID"] for row in rows(root)]
    parts = {split: NIH(str(root), seed=seed).load(split).ids.tolist() for split in ("train", "val", "test")}
    seen = {split: {patients[index] for index in ids} for split, ids in parts.items()}
    assert not seen["train"] & seen["val"]
    assert not seen["train"] & seen["test"]
    assert not seen["val"] & seen["test"]
    for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert len(parts[split]) / len(patients) == pytest.approx(share, abs=0.03)
    assert parts["test"] != NIH(str(root), seed=seed + 1).load("test").ids.tolist()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Finding Labels", "Hernya", "row 3, unknown label .* did you mean 'Hernia'"),
        ("Patient Age", "old", "row 3, column 'age': must be a number or blank, got 'old'"),
        ("Patient Gender", "X", "row 3, unknown class in column 'gender': 'X'"),
        ("Patient ID", "", "row 3: no patient number"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, column, value, message):
    root = writers.nih(tmp_path)
    table = rows(root)
    table[2][column] = value
    writers.write_csv(root / "sample_labels.csv", table)
    with pytest.raises(TestudoError, match=message) as caught:
        NIH(str(root)).load("train")
    assert "\n" not in str(caught.value)
    assert check(NIH(str(root))).problems == (str(caught.value),)


def test_missing_files_are_named(tmp_path):
    assert check(NIH(str(tmp_path))).problems[0].startswith("nih: no table in")
    assert check(NIH(str(tmp_path / "no"))).problems[0].startswith("nih: no folder")
    root = writers.nih(tmp_path)
    (root / "images" / "00000003_000.png").unlink()
    (root / "images" / "00000004_000.png").write_bytes(b"cut")
    problems = check(NIH(str(root))).problems
    assert len(problems) == 2
    assert "00000003_000.png" in problems[0]
    assert "00000004_000.png" in problems[1]


def test_too_small_a_size_is_refused():
    with pytest.raises(TestudoError, match="nih: size must be at least 8 pixels, got 4"):
        NIH(size=4)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no sample in {SAMPLE} (see TESTUDO_DATA)")
def test_the_real_sample():
    dataset = NIH(str(SAMPLE))
    targets = everything(dataset)
    assert len(targets["age"]) == 1000
    assert int((targets["pathology"].sum(1) == 0).sum()) == 499
    assert int((targets["gender"] == 0).sum()) == 509
    assert int(targets["pathology"][:, FINDINGS.index("Hernia")].sum()) == 9
    assert targets["age"].max() <= 120
    assert DataSet.statistics(dataset)[0] == pytest.approx(dataset.statistics()[0], abs=0.01)
