from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from testudo.data.manifest import Manifest
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.regression import Regression

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))
DECLARED = {"breed": "classification", "age": "regression", "seen": "multilabel"}


@pytest.fixture
def animals(tmp_path):
    return Manifest(writers.animals(tmp_path), columns=DECLARED)


def every(dataset):
    """Ids and targets of all splits, in the order of the ids."""
    parts = [dataset.load(split).batch(range(len(dataset.load(split)))) for split in dataset.splits]
    whole = type(parts[0]).cat(parts)
    return whole[whole.ids.argsort()]


def written(tmp_path, rows, **options):
    """A manifest of the given rows; images "a.png" and "b.png" exist."""
    for number, name in enumerate(("a.png", "b.png")):
        (tmp_path / name).write_bytes(writers.encoded(writers.pixels(1, number, (4, 4))[0]))
    rows = [{"image": "ab"[index % 2] + ".png", **row} for index, row in enumerate(rows)]
    options = {"val_share": 0.0, "test_share": 0.0, **options}
    return Manifest(writers.write_csv(tmp_path / "list.csv", rows), **options)


def refused(dataset, words, split="train"):
    with pytest.raises(TestudoError, match=words) as caught:
        dataset.load(split)
    assert "\n" not in str(caught.value)


def test_cells_become_targets_and_blanks_unknown(animals):
    batch = every(animals)
    assert batch.ids.tolist() == list(range(100, 140))
    breed = [-1 if i == 3 else i % 3 for i in range(40)]
    assert batch.targets["breed"].tolist() == breed
    age = torch.tensor([0.5 * i for i in range(40)])
    age[4] = torch.nan
    assert torch.equal(batch.targets["age"].nan_to_num(-1), age.nan_to_num(-1))
    seen = torch.tensor([[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]][i % 3] for i in range(40)])
    seen[5] = torch.nan
    assert torch.equal(batch.targets["seen"].nan_to_num(-1), seen.nan_to_num(-1))


def test_tasks_have_the_classes_and_the_scale_of_train(animals):
    breed, age, seen = animals.tasks()
    assert breed == Classification("breed", classes=3, labels=("cat", "dog", "fox"))
    assert seen == MultiLabel("seen", labels=("ear", "tail"))
    known = animals.load("train").targets["age"]
    known = known[~known.isnan()]
    assert isinstance(age, Regression)
    assert age.mean == pytest.approx(known.mean().item(), rel=1e-5)
    assert age.std == pytest.approx(known.std(correction=0).item(), rel=1e-5)


def test_kinds_are_inferred_and_shown(animals):
    lines = "\n".join(replace(animals, columns={}).describe())
    assert "40 rows, 12x10 RGB images; 28 train, 4 val, 8 test" in lines
    assert "8 test and 4 val rows drawn at random by class of breed (seed 0)" in lines
    assert "breed: classification, 3 classes (cat, dog, fox), 1 unknown (inferred)" in lines
    assert "age: regression, mean " in lines
    assert "seen: classification" in lines  # several labels are never guessed


def test_what_is_left_out_is_said(tmp_path):
    rows = [{"kind": index % 2, "comment": f"word {index}", "place": "here"} for index in range(30)]
    lines = written(tmp_path, rows).describe()
    assert "left out: comment (30 different words)" in lines
    assert "left out: place (one value only)" in lines
    assert "kind: classification, 2 classes (0, 1) (inferred)" in lines


def test_whole_numbers_are_classes_in_order_of_size(tmp_path):
    dataset = written(tmp_path, [{"stars": stars} for stars in (10, 9, 2, 10)])
    assert dataset.tasks()[0].labels == ("2", "9", "10")
    assert dataset.load("train").targets["stars"].tolist() == [2, 1, 0, 2]


def test_declared_classes_keep_their_order(tmp_path):
    rows = [{"size": word} for word in ("large", "small", "")]
    options = {"columns": {"size": "classification"}, "classes": {"size": ("small", "medium", "large")}}
    dataset = written(tmp_path, rows, **options)
    assert dataset.load("train").targets["size"].tolist() == [2, 0, -1]
    refused(
        written(tmp_path, [{"size": "smal"}], **options),
        r"list.csv row 1, unknown class in column 'size': 'smal'; did you",
    )


def test_names_become_identifiers(tmp_path):
    dataset = written(tmp_path, [{"Patient Age": 1.5}, {"Patient Age": 2}])
    assert [task.name for task in dataset.tasks()] == ["Patient_Age"]
    refused(written(tmp_path, [{"a b": 1.5, "a-b": 2}, {"a b": 2, "a-b": 4}]), "two columns make a task called 'a_b'")


def test_labels_in_columns_of_0_and_1(tmp_path):
    options = {"columns": {"parts": "multilabel"}, "classes": {"parts": ("wing", "beak")}}
    rows = [{"wing": 1, "beak": 0}, {"wing": "", "beak": 1}]
    found = written(tmp_path, rows, **options).load("train").targets["parts"]
    assert found.nan_to_num(-1).tolist() == [[1, 0], [-1, 1]]
    refused(
        written(tmp_path, [{"wing": 2, "beak": 0}], **options), "row 1, column 'wing': must be 0, 1 or blank, got 2"
    )
    refused(written(tmp_path, [{"wing": 1, "beek": 0}], **options), r"unknown column .*'beak'; did you mean 'beek'\?")


def test_parquet_with_bytes_lists_and_hub_images(tmp_path):
    image = writers.encoded(writers.pixels(1, 1, (4, 4))[0])
    (tmp_path / "a.png").write_bytes(image)
    cells = [{"bytes": image, "path": None}, {"bytes": None, "path": "a.png"}]
    table = {"image": cells, "tags": [["x", "y"], []], "score": [1.5, None]}
    pl.DataFrame(table).write_parquet(tmp_path / "t.parquet")
    options = {"columns": {"tags": "multilabel", "score": "regression"}, "val_share": 0.0, "test_share": 0.0}
    batch = every(_train_only(Manifest(str(tmp_path / "t.parquet"), **options)))
    assert torch.equal(batch.images[0], batch.images[1])
    assert batch.targets["tags"].tolist() == [[1, 1], [0, 0]]
    assert batch.targets["score"].isnan().tolist() == [False, True]


def _train_only(dataset):
    """A stand-in whose only split is train, for files that are all training rows."""
    return SimpleNamespace(splits=("train",), load=dataset.load)


def test_split_column_is_followed_and_val_drawn_where_missing(tmp_path):
    rows = [{"kind": index % 2, "split": "test" if index >= 15 else "Train"} for index in range(20)]
    dataset = written(tmp_path, rows, val_share=0.2)
    assert dataset.load("test").ids.tolist() == [15, 16, 17, 18, 19]
    assert len(dataset.load("val")) == 3
    assert dataset.load("val").note == "3 val rows drawn at random by class of kind (seed 0)"
    refused(written(tmp_path, rows), "no rows for split 'val'", "val")


def test_size_and_channels_change_images_and_say_so(animals):
    small = replace(animals, size=(6, 5), channels=1).load("train")
    assert (small.channels, small.size) == (1, (6, 5))
    assert small.batch([0]).images.shape == (1, 1, 6, 5)
    assert small.note.startswith("images resized to 6x5 bilinearly; ")


def test_root_is_relative_to_the_file(tmp_path):
    (tmp_path / "sub").mkdir()
    dataset = written(tmp_path, [{"kind": 0}, {"kind": 1}])
    moved = Path(dataset.file).rename(tmp_path / "sub" / "list.csv")
    assert len(replace(dataset, file=str(moved), root="..").load("train").batch([0, 1])) == 2


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([{"kind": 0}], {"image": "img"}, r"unknown column in .*list.csv: 'img'; did you mean 'image'\?"),
        ([{"kind": 0}], {"columns": {"kid": "regression"}}, r"unknown column .*'kid'; did you mean 'kind'\?"),
        ([{"kind": 0}], {"split": "part"}, "unknown column in .*list.csv: 'part'"),
        ([{"kind": 0}], {"classes": {"kin": ("a", "b")}}, r"unknown column \(in classes\) .*did you mean 'kind'"),
        ([{"kind": 0}], {"columns": {"kind": "classification"}}, "needs two or more classes, found"),
        (
            [{"age": "old"}],
            {"columns": {"age": "regression"}},
            "row 1, column 'age': must be a number or blank, got 'old'",
        ),
        ([{"age": "inf"}, {"age": 1}], {}, "row 1, column 'age': must be a number or blank, got 'inf'"),
        (
            [{"split": "tset", "kind": 0}, {"split": "train", "kind": 1}],
            {},
            "row 1, unknown split .*did you mean 'test'",
        ),
        ([{"split": "", "kind": 0}, {"split": "train", "kind": 1}], {}, "row 1, unknown split in column 'split': ''"),
        ([{"split": "test", "kind": 0}, {"split": "test", "kind": 1}], {}, "no rows for split 'train'"),
        ([{"id": 7, "kind": 0}, {"id": 7, "kind": 1}], {}, "row 2: id 7 is that of row 1 too"),
        ([{"id": "x", "kind": 0}, {"id": 7, "kind": 1}], {}, "row 1, column 'id': must be a whole number, got 'x'"),
        ([{"note": "a"}, {"note": "a"}], {}, r"no column of labels; left out: note \(one value only\)"),
    ],
)
def test_mistakes_are_one_line(tmp_path, rows, options, words):
    refused(written(tmp_path, rows, **options), words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no rows in it"),
        (b"image,kind\n", "no rows in it"),
        (b"image,kind\na.png,1,2\n", "row 1: 3 cells, the header has 2"),
        (b"image,kind,kind\na.png,1,2\n", "two columns are called 'kind'"),
        (b'image,kind\n"a.png,1\n', "not a readable CSV file"),
        (b"image,kind\n\xff\xfe,1\n", "not a readable CSV file"),
    ],
)
def test_broken_tables_are_one_line(tmp_path, text, words):
    file = tmp_path / "list.csv"
    file.write_bytes(text)
    refused(Manifest(str(file)), words)


def test_other_files_are_refused(tmp_path):
    refused(Manifest(str(tmp_path / "no.csv")), "missing file '.*no.csv'")
    refused(Manifest(str(tmp_path / "no.parquet")), "missing file '.*no.parquet'")
    refused(Manifest("list.xlsx"), r"must be a \.csv or \.parquet file")
    whole = Path(writers.birds(tmp_path)).read_bytes()
    (tmp_path / "birds.parquet").write_bytes(whole[: len(whole) // 2])
    refused(Manifest(str(tmp_path / "birds.parquet")), "birds.parquet: not a readable Parquet file")


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 2},
        {"size": (0, 5)},
        {"val_share": 0.6, "test_share": 0.5},
        {"val_share": 1.0},
        {"columns": {"age": "regresion"}},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TestudoError):
        Manifest("list.csv", **wrong)


def test_check_reports_every_bad_image_and_cell(tmp_path):
    rows = [{"kind": index % 2, "age": "old" if index == 4 else index / 2} for index in range(6)]
    dataset = written(tmp_path, rows, columns={"kind": "classification", "age": "regression"})
    text = Path(dataset.file).read_text().splitlines()
    text[2] = text[2].replace("b.png", "missing.png")
    text[4] = text[4].replace("b.png", "")
    Path(dataset.file).write_text("\n".join(text))
    found = dataset.check()
    assert [problem.split(": ")[0].removeprefix(dataset.file) for problem in found] == [
        " row 5, column 'age'",
        " row 2",
        " row 4",
    ]
    assert "missing.png" in found[1]
    assert "no image" in found[2]


def test_check_goes_on_where_the_first_image_is_bad_and_where_nothing_can_be_read(tmp_path):
    dataset = written(tmp_path, [{"kind": index % 2} for index in range(4)])
    (tmp_path / "a.png").write_bytes(b"cut")
    assert [problem.split(": ")[0] for problem in dataset.check()] == [f"{dataset.file} row {row}" for row in (1, 3)]
    (tmp_path / "b.png").unlink()
    assert len(dataset.check()) == 4
    refused(replace(dataset), "list.csv row 1: cannot decode image '.*a.png': not an image of a known kind")
    assert replace(dataset, image="img").check() == [
        f"unknown column in {dataset.file}: 'img'; did you mean 'image'? (allowed: image, kind)"
    ]


def test_loading_opens_only_the_first_image(tmp_path):
    dataset = written(tmp_path, [{"kind": index % 2} for index in range(4)])
    (tmp_path / "b.png").unlink()
    examples = dataset.load("train")
    assert examples.batch([0, 2]).images.shape == (2, 3, 4, 4)
    with pytest.raises(TestudoError, match=r"list\.csv row 2: cannot read image"):
        examples.batch([1])
