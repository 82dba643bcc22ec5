"""``testudo data label``: what a run says of images becomes labels that others learn from."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from sklearn.datasets import load_digits

from testudo.data.array import Array
from testudo.data.digits import Digits
from testudo.data.extended import Extended
from testudo.data.manifest import Manifest
from testudo.run import Run, train

COLUMNS = {"digit": "classification", "marks": "multilabel", "ink": "regression"}
LABELS = ("loop", "odd", "tall")


def images(folder):
    """The digits of tiny, with several labels and a number too."""
    file = tiny.images(folder)
    rows = list(csv.DictReader((folder / "digits.csv").read_text().splitlines()))
    for row in rows:
        digit = int(row["digit"])
        marks = [
            name
            for name, flag in zip(LABELS, (digit in (0, 6, 8, 9), digit % 2, digit in (1, 4, 7)), strict=True)
            if flag
        ]
        row |= {"marks": "|".join(marks) or "|", "ink": digit / 3}
        del row["parity"]
    tiny.write(folder / "digits.csv", rows)
    return file


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run that does three kinds of tasks, and a folder of pictures that it has not seen."""
    root = tmp_path_factory.mktemp("home")
    data = Manifest(images(root / "images"), columns=COLUMNS)
    made = replace(tiny.recipe(data.file, suite=False), data=data, tasks=("digit", "marks", "ink"), validation=None)
    made = replace(made, trainer=replace(made.trainer, epochs=8))
    train(made, root / "run")
    (root / "new" / "deeper").mkdir(parents=True)
    scans = load_digits().images[100:140]
    for index, scan in enumerate(scans):
        place = root / "new" / ("deeper" if index % 2 else ".") / f"{index:02d}.png"
        Image.fromarray((scan * 255 / 16).astype("uint8")).resize((8, 8)).save(place)
    return root


def table(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def said_by(home, rows):
    """The model's own outputs for the images of a table."""
    pixels = [np.asarray(Image.open(home / row["image"]).convert("L")) for row in rows]
    batch = torch.from_numpy(np.stack(pixels))[:, None].float() / 255
    model = Run(home / "run").model()
    with torch.no_grad():
        return batch, model(batch)


def test_a_folder_becomes_a_manifest(home, said):
    out = home / "labels.csv"
    code, printed, err = said("data", "label", home / "run", "--data", home / "new", "--out", out, "--batch-size", "7")
    assert code == 0, err
    assert "labelling by run: 100%" in err
    assert "40 of 40 images, digit told with confidence 0 or more" in printed
    assert 'kind = "manifest"' in printed
    rows = table(out)
    assert [row["image"] for row in rows] == sorted(str(p.relative_to(home)) for p in (home / "new").rglob("*.png"))
    assert [row["id"] for row in rows] == [str(index) for index in range(40)]
    batch, outputs = said_by(home, rows)
    digits = sorted({row["digit"] for row in table(home / "images" / "digits.csv")}, key=int)
    for row, winner, flags, ink in zip(
        rows, outputs["digit"].argmax(1), outputs["marks"] > 0, outputs["ink"], strict=True
    ):
        assert row["digit"] == digits[int(winner)]
        assert row["marks"] == ("|".join(n for n, flag in zip(LABELS, flags, strict=True) if flag) or "|")
        task = Run(home / "run").tasks[2]
        assert float(row["ink"]) == pytest.approx(float(ink) * task.std + task.mean, rel=1e-4, abs=1e-5)
    student = Manifest(str(out), columns=COLUMNS, val_share=0.0, test_share=0.0, classes={"marks": LABELS})
    assert torch.equal(student.load("train").batch(range(40)).images, batch)
    teacher = Run(home / "run").recipe.data
    joined = Extended(teacher, student, share=0.5).load("train")
    assert joined.batch([40]).targets["digit"].item() == digits.index(rows[0]["digit"])


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_what_is_not_sure_is_left_out_or_blank(home, said, tmp_path, share):
    words = ("data", "label", home / "run", "--data", home / "new", "--out")
    said(*words, home / "all.csv")
    whole = table(home / "all.csv")
    _, outputs = said_by(home, whole)
    certain = outputs["digit"].softmax(1).amax(1)
    confidence = round(float(certain.quantile(share)), 4)
    out = tmp_path / "some.csv"
    code, printed, _ = said(*words, out, "--confidence", confidence)
    assert code == 0
    sure = certain >= confidence
    marked = torch.maximum(outputs["marks"].sigmoid(), 1 - outputs["marks"].sigmoid()).amin(1) >= confidence
    rows = table(out)
    assert 0 < len(rows) < 40
    assert [row["id"] for row in rows] == [row["id"] for row, keep in zip(whole, sure, strict=True) if keep]
    assert [bool(row["marks"]) for row in rows] == marked[sure].tolist()
    assert f"{len(rows)} of 40 images, digit told with confidence {confidence:g} or more" in printed
    assert f"  marks: {int((marked & sure).sum())} of them" in printed
    assert f"  ink: {len(rows)} of them" in printed  # numbers come without a probability


def test_a_manifest_and_a_data_set_can_be_labelled(home, said, tmp_path):
    source = tmp_path / "list.csv"
    names = [f"{home}/new/{index:02d}.png" for index in (0, 4, 2)]
    tiny.write(source, [{"image": name, "id": 30 + place, "digit": "nine"} for place, name in enumerate(names)])
    assert said("data", "label", home / "run", "--data", source, "--out", tmp_path / "a.csv")[0] == 0
    rows = table(tmp_path / "a.csv")
    assert [row["image"] for row in rows] == names
    assert [row["id"] for row in rows] == ["30", "31", "32"]
    words = ("data", "label", home / "run", "--data", "digits", "--split", "val", "--set", "data.size=8", "--out")
    code, printed, _ = said(*words, tmp_path / "b.csv")
    assert code == 0
    rows, val = table(tmp_path / "b.csv"), Digits(size=8).load("val")
    assert list(rows[0]) == ["id", "digit", "marks", "ink"]
    assert [int(row["id"]) for row in rows] == val.ids.tolist()
    assert 'kind = "extended", labels = ' in printed


def test_labels_of_arrays_teach_a_student(home, said, tmp_path, monkeypatch):
    """From images without files to training on them: array, label, extended, train."""
    monkeypatch.chdir(tmp_path)
    scans = (load_digits().images[200:230] * 255 / 16).astype(np.uint8)
    np.savez("bare.npz", image=scans, label=np.full(30, -1))
    place = (
        "--data",
        "array",
        "--set",
        "data.file=bare.npz",
        "--set",
        "data.val_share=0.0",
        "--set",
        "data.test_share=0.0",
    )
    assert said("data", "label", home / "run", *place, "--out", "bare.csv")[0] == 0
    made = Run(home / "run").recipe
    data = Extended(made.data, Array("bare.npz"), share=0.4, labels="bare.csv")
    student = train(replace(made, data=data, trainer=replace(made.trainer, epochs=1)), tmp_path / "student")
    assert student.facts["counts"]["train"] == 75  # 40 of its own, once more a few of them, and 30
    assert student.finished
    wanted = [row["digit"] for row in table(tmp_path / "bare.csv")]
    kept = data.load("train").targets["digit"]
    names = data.tasks()[0].labels
    assert [names[index] for index in kept[data.load("train").images.rows >= 40].tolist()] == wanted


def test_what_cannot_be_read_is_named_or_skipped(home, said, refused, tmp_path):
    folder = shutil.copytree(home / "new", tmp_path / "new")
    (folder / "02.png").write_bytes(b"cut")
    words = ("data", "label", home / "run", "--data", folder, "--out", tmp_path / "x.csv")
    refused(f"label: cannot decode image '{folder / '02.png'}'", *words)
    assert not (tmp_path / "x.csv").exists()
    code, printed, _ = said(*words, "--skip-bad")
    assert code == 0
    assert "skipped: 1 images that cannot be read" in printed
    assert len(table(tmp_path / "x.csv")) == 39


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data label RUN", "needs a run folder and --data"),
        ("data label --data NEW", "needs a run folder and --data"),
        ("data label NEW --data NEW", "is no run folder"),
        (
            "data label RUN --data digts",
            "neither a folder nor a file; unknown data set 'digts'; did you mean 'digits'?",
        ),
        ("data label RUN --data NEW --out x.txt", "labels are written to a .csv file, got --out 'x.txt'"),
        ("data label RUN --data NEW --confidence 2", "--confidence must be 0 to 1, got 2"),
        ("data label RUN --data digits --set data.size=16", "images are 1x16x16, the run was trained on 1x8x8"),
        ("data label RUN --data digits --split vla", "unknown split 'vla'; did you mean 'val'?"),
        ("data label RUN --data empty", "no image files in 'empty'"),
        ("data label RUN --data odd.csv", "unknown column in odd.csv: 'image'"),
        ("data label RUN --data blank.csv", "blank.csv row 1: column 'image' must hold the path of a file"),
        ("data label RUN --data twice.csv", "twice.csv row 2: id 1 is that of row 1 too"),
        ("data label RUN --data none.txt", "must be a .csv or .parquet file"),
    ],
)
def test_mistakes_are_one_line(home, refused, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.txt").write_text("")
    tiny.write(tmp_path / "odd.csv", [{"picture": "a.png"}])
    tiny.write(tmp_path / "blank.csv", [{"image": "", "id": 1}])
    tiny.write(tmp_path / "twice.csv", [{"image": "a", "id": 1}, {"image": "b", "id": 1}])
    places = {"RUN": home / "run", "NEW": home / "new"}
    refused(message, *(places.get(word, word) for word in words.split()))
    assert not (tmp_path / "labels.csv").exists()


def test_nothing_is_written_where_nothing_is_sure(home, said, tmp_path):
    words = ("data", "label", home / "run", "--data", home / "new", "--out", tmp_path / "x.csv", "--confidence", "1")
    code, _, err = said(*words)
    assert code == 2
    assert err.endswith("testudo: no image is told with confidence 1 or more; nothing is written\n")
    assert not (tmp_path / "x.csv").exists()


def test_evaluate_shows_the_area_of_each_label(home, said):
    code, printed, _ = said("evaluate", home / "run")
    assert code == 0
    assert "marks: further metrics" in printed
    for label in LABELS:
        assert f"auroc of {label}" in printed
