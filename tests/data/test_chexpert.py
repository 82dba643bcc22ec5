"""CheXpert on tiny files in the published layout."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from testudo.data.chexpert import FINDINGS, CheXpert
from testudo.data.dataset import DataSet
from testudo.data.inspect import check
from testudo.errors import TestudoError

sets = SimpleNamespace(**run_path(str(Path(__file__).with_name("set_writers.py"))))
FOLDER = "CheXpert-v1.0-small"


def table(root, part):
    with (root / FOLDER / f"{part}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rewritten(root, part, row, **cells):
    """The data set with some cells of a row of a table changed."""
    rows = table(root, part)
    rows[row] |= cells
    sets.writers.write_csv(root / FOLDER / f"{part}.csv", rows)
    return CheXpert(str(root))


def refused(dataset, message):
    with pytest.raises(TestudoError, match=message) as caught:
        dataset.load("train")
    assert "\n" not in str(caught.value)


def every(dataset):
    """(part of the tables, row) -> targets, over all splits."""
    found = {}
    for split in dataset.splits:
        examples = dataset.load(split)
        for place, row in enumerate(examples.ids.tolist()):
            targets = {name: values[place] for name, values in examples.targets.items()}
            found["valid" if split == "test" else "train", row] = targets
    return found


@pytest.mark.parametrize(("uncertain", "meaning"), [("mask", None), ("negative", 0.0), ("positive", 1.0)])
@pytest.mark.parametrize("frontal_only", [True, False])
def test_the_tables_are_read(tmp_path, uncertain, meaning, frontal_only):
    root = sets.chexpert(tmp_path)
    found = every(CheXpert(str(root), uncertain=uncertain, frontal_only=frontal_only))
    meant = {"1.0": 1.0, "0.0": 0.0, "-1.0": meaning, "": None}
    count = 0
    for part in ("train", "valid"):
        for row, cells in enumerate(table(root, part)):
            if frontal_only and cells["Frontal/Lateral"] == "Lateral":
                assert (part, row) not in found
                continue
            count += 1
            targets = found[part, row]
            for place, name in enumerate(FINDINGS):
                value = float(targets["pathology"][place])
                assert (None if np.isnan(value) else value) == meant[cells[name]], (part, row, name)
            assert float(targets["age"]) == float(cells["Age"])
            assert int(targets["gender"]) == {"Female": 0, "Male": 1, "Unknown": -1}[cells["Sex"]]
    assert len(found) == count


def test_target_and_auxiliary_findings_are_tasks(tmp_path):
    root = sets.chexpert(tmp_path)
    whole = CheXpert(str(root)).load("train").targets["pathology"]
    chosen = CheXpert(str(root), target=("Edema", "Atelectasis"), auxiliary=("Pleural Effusion", "Cardiomegaly"))
    names = [task.name for task in chosen.tasks()]
    assert names == ["pathology", "Pleural_Effusion", "Cardiomegaly", "age", "gender"]
    assert [task.labels for task in chosen.tasks()[:3]] == [
        ("Edema", "Atelectasis"),
        ("Pleural Effusion",),
        ("Cardiomegaly",),
    ]
    targets = chosen.load("train").targets
    for name, labels in (("pathology", ("Edema", "Atelectasis")), ("Pleural_Effusion", ("Pleural Effusion",))):
        columns = [FINDINGS.index(label) for label in labels]
        assert torch.equal(targets[name].nan_to_num(-7), whole[:, columns].nan_to_num(-7))


def test_ages_are_standardised_over_training(tmp_path):
    dataset = CheXpert(str(sets.chexpert(tmp_path)), val_share=0.3)
    age = dataset.tasks()[1]
    known = dataset.load("train").targets["age"].double()
    assert (age.mean, age.std) == pytest.approx((float(known.mean()), float(known.std(correction=0))))
    assert age.unit == "years"


@pytest.mark.parametrize("seed", range(4))
def test_no_patient_is_in_two_splits(tmp_path, seed):
    root = sets.chexpert(tmp_path, train=60)
    dataset = CheXpert(str(root), seed=seed, val_share=0.2)
    tables = {part: table(root, part) for part in ("train", "valid")}
    seen = {}
    for split in dataset.splits:
        rows = tables["valid" if split == "test" else "train"]
        paths = [rows[row]["Path"] for row in dataset.load(split).ids.tolist()]
        seen[split] = {re.search(r"patient(\d+)", path)[1] for path in paths}
    assert not seen["train"] & seen["val"]
    assert not (seen["train"] | seen["val"]) & seen["test"]
    assert len(dataset.load("val")) / 120 == pytest.approx(0.2, abs=0.02)
    assert len(dataset.load("test")) == 16
    other = CheXpert(str(root), seed=seed + 1, val_share=0.2)
    assert dataset.load("val").ids.tolist() != other.load("val").ids.tolist()


def test_images_are_those_of_the_table(tmp_path):
    root = sets.chexpert(tmp_path, train=6, valid=2)
    dataset = CheXpert(str(root), size=32)
    examples = dataset.load("test")
    row = examples.ids.tolist().index(2)
    with Image.open(root / "CheXpert-v1.0-small/valid/patient64541/study1/view3_frontal.jpg") as image:
        wanted = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    assert torch.equal((examples.batch([row]).images[0, 0] * 255).round(), torch.from_numpy(wanted.copy()).float())
    before, renamed = examples.fingerprint(), root / "somewhere"
    (root / FOLDER).rename(renamed)
    assert CheXpert(str(renamed), size=32).load("test").fingerprint() == before


def test_statistics_are_of_the_training_images(tmp_path):
    dataset = CheXpert(str(sets.chexpert(tmp_path)), size=16)
    assert dataset.statistics() == DataSet.statistics(dataset)  # fewer than a thousand: all of them


@pytest.mark.parametrize(
    ("part", "cells", "message"),
    [
        ("train", {"Edema": "2.0"}, "train.csv row 4, column 'Edema': must be 0, 1 or blank, got 2"),
        ("train", {"Edema": "yes"}, "train.csv row 4, column 'Edema': must be a number or blank, got 'yes'"),
        ("train", {"Age": "old"}, "train.csv row 4, column 'age': must be a number or blank, got 'old'"),
        ("train", {"Sex": "X"}, "train.csv row 4, unknown class in column 'gender': 'X'"),
        ("train", {"Frontal/Lateral": "Frontl"}, "train.csv row 4, unknown view 'Frontl'; did you mean 'Frontal'"),
        ("valid", {"Path": "valid/person1/view1_frontal.jpg"}, "valid.csv row 4: no patient number"),
        ("valid", {"Path": ""}, "valid.csv row 4: no patient number"),
        ("valid", {"Path": "valid/patient00002/v.jpg"}, "valid.csv row 4: this patient is in train.csv too"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, part, cells, message):
    dataset = rewritten(sets.chexpert(tmp_path), part, 3, **cells)
    refused(dataset, message)
    assert re.search(message, check(dataset).problems[0])


def test_missing_files_and_columns_are_named(tmp_path):
    assert check(CheXpert(str(tmp_path))).problems[0].startswith("chexpert: no train.csv in")
    assert check(CheXpert(str(tmp_path / "no"))).problems[0].startswith("chexpert: no folder")
    root = sets.chexpert(tmp_path)
    image = root / FOLDER / "train/patient00005/study1/view1_frontal.jpg"
    image.write_bytes(image.read_bytes()[:200])
    (root / FOLDER / "valid/patient64542/study1/view1_frontal.jpg").unlink()
    first, second = check(CheXpert(str(root))).problems
    assert "train.csv row 13: cannot decode image" in first
    assert "valid.csv row 4: cannot read image" in second
    rows = [{name: cell for name, cell in row.items() if name != "Fracture"} for row in table(root, "valid")]
    sets.writers.write_csv(root / FOLDER / "valid.csv", rows)
    refused(CheXpert(str(root)), "unknown column in .*valid.csv: 'Fracture'")
    (root / FOLDER / "valid.csv").unlink()
    refused(CheXpert(str(root)), "missing file .*valid.csv")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 4}, "chexpert: size must be at least 8 pixels, got 4"),
        ({"uncertain": "ignore"}, "unknown chexpert: uncertain 'ignore'"),
        ({"val_share": 1.0}, "chexpert: val_share must be at least 0 and below 1"),
        ({"target": ("Oedema",)}, "unknown chexpert finding 'Oedema'; did you mean 'Edema'"),
        ({"target": ("Edema",), "auxiliary": ("Edema",)}, "chexpert: target and auxiliary name 'Edema' twice"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(TestudoError, match=message):
        CheXpert(**fields)
