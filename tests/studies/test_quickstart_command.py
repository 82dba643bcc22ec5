"""`testudo study` and `testudo report` from end to end, in this process, on a user's own images."""

from __future__ import annotations

import json
import random
import shutil

import polars as pl
import pytest
import tiny

from testudo import cli
from testudo.errors import TestudoError
from testudo.studies import quickstart
from testudo.studies.publish import tell
from testudo.studies.runner import Runner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study folder, made by the command."""
    root = tmp_path_factory.mktemp("study")
    words = ["study", "quickstart", "--data", "manifest", "--data-dir", tiny.images(root / "images")]
    settings = ["seeds=[0]", "epochs=1", "adversarial_epochs=1", "linf=[0.1]", "train_steps=1", "batch_size=20"]
    for setting in (*settings, "model.width=2", "precision=float32"):
        words += ["--set", setting]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "STEPS", 1)
        patch.setattr(Runner, "__call__", tiny.one_by_one)
        assert cli.run([*words, "--out", str(root / "out")]) == 0
    return root / "out"


def test_the_study_leaves_a_page_rows_and_facts(folder):
    page = (folder / "report.html").read_text()
    assert "digit" in page
    assert "<html" in page
    told = json.loads((folder / "study.json").read_text())
    assert [group["counterpart"] for group in told["groups"]] == [
        None, "standard, single-task", None, "adversarial, single-task",
    ]  # fmt: skip
    rows = pl.read_parquet(folder / "rows.parquet")
    assert rows["run"].n_unique() == 4
    assert rows["example"].n_unique() == 10


def test_report_makes_the_same_page_again(folder, capsys):
    (folder / "report.html").unlink()
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(folder)])
    assert stop.value.code == 0
    assert f"report: {(folder / 'report.html').resolve()}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["study.json", "rows.parquet"])
def test_a_damaged_study_folder_is_told_in_one_line(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    whole, draw, outcomes = (folder / name).read_bytes(), random.Random(0), []
    for number in range(6 if name == "study.json" else 30):
        content = bytearray(whole)
        place = draw.randrange(len(content))
        content[place : place + 1] = draw.choice([b"", b"{", b"7", b"\xff"])
        (copy / name).write_bytes(content if number else b"[1]")
        try:
            tell(copy)
        except TestudoError as error:
            outcomes.append(str(error))
    assert outcomes
    assert not any("\n" in line for line in outcomes)


@pytest.mark.parametrize(
    "change", [("groups", 5), ("groups", [5]), ("minutes", "x"), ("intro", 5), ("also", ["."]), ("also", [5])]
)
def test_facts_of_another_form_are_told_in_one_line(folder, tmp_path, change):
    copy = shutil.copytree(folder, tmp_path / "copy")
    told = json.loads((copy / "study.json").read_text())
    told[change[0]] = change[1]
    del told["sha256"]  # as an older version wrote it
    (copy / "study.json").write_text(json.dumps(told))
    with pytest.raises(TestudoError, match=r"^[^\n]*study\.json[^\n]*$"):
        tell(copy)
