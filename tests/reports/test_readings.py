"""Sentences that lines of a measured table decide."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, replace

import polars as pl
import pytest

from testudo.errors import TestudoError
from testudo.files import from_json, to_json
from testudo.reports.measures import Measure, read_measures
from testudo.reports.page import Part, render
from testudo.reports.readings import FIRST, LAST, Reading
from testudo.reports.study import Study
from testudo.reports.verdicts import caveat, tally, verdict_table, verdicts

TABLE = pl.DataFrame({
    "from": ["a", "a", "b"], "to": ["a", "b", "a"], "rate": [1.0, 0.6, 0.95],
    "rate_low": [0.99, 0.5, 0.9], "rate_high": [1.0, 0.7, 0.995],
})  # fmt: skip
LESS = Reading("attacks carry over less", "Table 17", "rate", ((("a", "b"), ("a", "a")),), lower=True)


@pytest.mark.parametrize(
    ("pairs", "lower", "speak", "verdict"),
    [
        (((("a", "b"), ("a", "a")),), True, (1,), "holds"),
        (((("a", "b"), ("a", "a")),), False, (-1,), "does not hold"),
        (((("b", "a"), ("a", "a")),), True, (0,), "not decided"),  # 0.995 and 0.99: they overlap
        (((("a", "b"), 0.8),), True, (1,), "holds"),
        (((("a", "b"), 0.7),), True, (0,), "not decided"),
        (((LAST, FIRST), (("a", "b"), 0.4)), False, (0, 1), "not decided"),
        (((LAST, FIRST), (("a", "b"), 0.8)), False, (0, -1), "does not hold"),
    ],
)
def test_intervals_that_do_not_touch_decide(pairs, lower, speak, verdict):
    read = replace(LESS, pairs=pairs, lower=lower).judged(TABLE)
    assert (read.speak, read.verdict) == (speak, verdict)


def test_a_number_without_interval_decides_nothing():
    blank = TABLE.with_columns(rate_low=pl.lit(None, pl.Float64))
    assert LESS.judged(blank).speak == (0,)
    plain = pl.DataFrame({"name": ["x"], "r": [-0.9], "low": [-0.99], "high": [-0.2]})
    assert replace(LESS, column="r", pairs=((("x",), 0.0),)).judged(plain).speak == (1,)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"column": "speed"}, "no numbers called 'speed'"),
        ({"pairs": ((("a", "c"), 0.5),)}, "0 lines 'a, c'"),
        ({"pairs": ((("a",), 0.5),)}, "2 lines 'a'"),
        ({"pairs": ((3, 0.5),)}, "3 lines is asked for line 3"),
    ],
)
def test_what_a_table_lacks_is_named(changed, told):
    with pytest.raises(TestudoError, match=told):
        replace(LESS, **changed).judged(TABLE)


def test_a_file_that_lacks_a_line_is_named(tmp_path):
    TABLE.head(1).write_csv(tmp_path / "0.csv")
    with pytest.raises(TestudoError, match=r"0\.csv: a measured table has 0 lines 'a, b'"):
        read_measures(tmp_path, [Measure("0", "", "", "0.csv", (LESS,))])


def test_a_reading_survives_study_json():
    for pairs in (LESS.pairs, ((LAST, FIRST),), ((("a", "b"), 0.0),)):
        reading = replace(LESS, pairs=pairs)
        back = Reading.of(from_json(to_json(asdict(reading))))
        assert back == reading
        assert all(type(a) is type(b) for a, b in zip(back.pairs[0], pairs[0], strict=True))  # 0.0 is no place


@pytest.mark.parametrize(
    "changed",
    [{"pairs": []}, {"pairs": [[["a"]]]}, {"pairs": [[["a"], None]]}, {"pairs": [[[1], 2.0]]}, {"lower": 1},
     {"share": 0.0}, {"column": 5}, {"pairs": [5]}, {"pairs": [[True, 0.5]]}],
)  # fmt: skip
def test_another_form_is_refused_in_one_line(study, changed):
    told = {**from_json(to_json(asdict(LESS))), **changed}
    measure = {"name": "0", "title": "", "caption": "", "file": "0.csv", "said": [told]}
    whole = {**vars(study), "groups": [vars(group) for group in study.groups], "claims": [], "measures": [measure]}
    with pytest.raises(TestudoError, match=r"^[^\n]+$"):
        Study.of({**whole, "beside": []})


def test_the_page_tells_readings_with_the_claims(claimed):
    both = replace(claimed, read=(LESS.judged(TABLE),))
    assert tally(both) == "Of 4 claims, 2 hold, 1 does not hold and 1 is not decided here."
    told = verdicts(both)[-1]
    assert (told.badge, told.source) == ("holds here", "Table 17")
    assert told.evidence[0] == "a → b: 0.6 [0.5, 0.7], against a → a: 1 [0.99, 1], which speaks for it."
    page = render([Part(both)])
    assert "Attacks carry over less" in page
    assert page.index("Attacks carry over less") < page.index('id="found"')
    lines = list(csv.DictReader(io.StringIO(verdict_table(both).csv())))
    assert (lines[-1]["claim"], lines[-1]["verdict"], lines[-1]["for"]) == ("attacks carry over less", "holds", "1")
    alone = replace(both, judged=())
    assert "each line" in caveat(alone)
    assert "All comparisons in one table" not in render([Part(alone)])
