"""The page is made of rows: without torch, and another where they are others."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys

import polars as pl
import pytest

from testudo.errors import TestudoError
from testudo.evaluation.seal import sealed
from testudo.studies.publish import tell

SECTIONS = (
    "top", "verdicts", "published", "found", "numbers", "measures", "front", "curves", "gallery", "diagnosis",
    "objectives", "setting",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(folder) -> str:
    return tell(folder)[0].read_text()


def test_a_page_is_made_from_rows_without_torch(folder, page, tmp_path):
    """In a process of its own, from the rows and facts alone; and it is the same page."""
    for name in ("rows.parquet", "study.json", "gallery.npz"):
        shutil.copy(folder / name, tmp_path / name)
    for name in ("measures", "diagnosis"):
        shutil.copytree(folder / name, tmp_path / name)
    code = (
        "import sys; from pathlib import Path; from testudo.studies.publish import tell; "
        "tell(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
    assert (tmp_path / "report.html").read_text() == page


def test_everything_is_on_the_page_in_order(page):
    places = [page.index(f'<section id="{name}"') for name in SECTIONS]
    assert places == sorted(places)
    assert "there is no measures/1.csv" in page
    assert "epochs = 30" in page  # a recipe
    assert len(page) < 6e6


def test_an_edited_row_is_another_page(folder, page, tmp_path):
    """One example that one run had right under the strongest attack, told wrong."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    rows = pl.read_parquet(folder / "rows.parquet")
    right = (
        (pl.col("run") == "standard-single-task-0") & (pl.col("task") == "digit") & (pl.col("attack") == "clean")
        & (pl.col("score") == 1)
    )  # fmt: skip
    first = rows.with_row_index().filter(right)["index"][0]
    record = pl.concat_list(pl.col("record").list.get(0) + 1, pl.col("record").list.get(1)).cast(rows["record"].dtype)
    changed = rows.with_row_index().with_columns(
        record=pl.when(pl.col("index") == first).then(record).otherwise("record"),
        score=pl.when(pl.col("index") == first).then(pl.lit(0, rows["score"].dtype)).otherwise("score"),
    )
    (copy / "rows.parquet").write_bytes(sealed(changed.drop("index")))
    other = tell(copy)[0].read_text()
    assert other != page
    before, after = (pl.read_csv(made / "tables" / "every-number.csv") for made in (folder, copy))
    moved = before.filter(before["value"] != after["value"])
    assert set(moved.select("group", "task").rows()) == {("standard, single-task", name) for name in ("digit", "*")}
    assert "clean" in moved["attack"].to_list()
    one = pl.col("attack") == "clean", pl.col("group") == "standard, single-task"
    fall = before.filter(*one)["value"].item() - after.filter(*one)["value"].item()
    assert fall == pytest.approx(1 / 240 / 2)


HOSTILE = (
    ("title", "</title><script>alert(1)</script>"),
    ("name", '../../../etc/x"><img src=x onerror=alert(1)>'),
    ("intro", ["<img src=x onerror=alert(1)>"]),
    ("environment", {"<b>": ["</dd><script>"]}),
    ("minutes", float("1e308")),
    ("created", "not a day"),
)


def test_hostile_facts_stay_text(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    facts = json.loads((copy / "study.json").read_text())
    facts |= dict(HOSTILE)
    facts["groups"][0] |= {"training": "<svg onload=alert(1)>", "recipe": "</pre><script>alert(2)</script>"}
    facts["claims"][0] |= {"text": "<script>alert(3)</script>", "source": "\"'><b>"}
    facts["beside"][0] |= {"label": "<iframe>", "note": "]]><!--"}
    facts["measures"][0] |= {"name": "../../x", "title": "<script>4</script>"}
    (copy / "study.json").write_text(json.dumps(facts))
    page = tell(copy)[0].read_text()
    assert page.count("<script") == 1
    for tag in ("<img src=x", "<svg onload", "<iframe", "<!--", "<b>"):
        assert tag not in page
    assert {path.parent.name for path in copy.rglob("*.tex")} == {"tables"}
    assert not list(tmp_path.glob("*.tex"))


def test_facts_changed_anywhere_give_a_page_or_one_line(folder, tmp_path, monkeypatch):
    """Any value of study.json for one of another kind."""
    copy, draw, outcomes = shutil.copytree(folder, tmp_path / "copy"), random.Random(0), []
    whole = (copy / "study.json").read_text()
    for _ in range(8):
        facts = json.loads(whole)
        place = facts
        while isinstance(place, dict | list) and place:
            parent, key = place, draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
            place = parent[key]
            if draw.random() < 0.3:
                break
        parent[key] = draw.choice([None, 5, "x", [], {}, [None], -1.5])
        (copy / "study.json").write_text(json.dumps(facts))
        try:
            tell(copy)
            outcomes.append("page")
        except TestudoError as mistake:
            outcomes.append(str(mistake))
    assert not any("\n" in line for line in outcomes)
    assert len(set(outcomes)) > 3
