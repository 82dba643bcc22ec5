from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from testudo.errors import TestudoError
from testudo.evaluation.mcnemar import corrected
from testudo.reports.claims import Claim, Side, verdict
from testudo.reports.page import Part, render
from testudo.reports.published import published_table
from testudo.reports.results import Results
from testudo.reports.study import Study
from testudo.reports.verdicts import caveat, claims_table, tally, verdict_table, verdicts

HARD, PLAIN = "adversarial, single-task", "standard, single-task"


def test_each_claim_has_its_verdict_and_what_it_rests_on(claimed):
    held, failed, open_ = verdicts(claimed)
    assert [told.badge for told in (held, failed, open_)] == ["holds here", "does not hold here", "not decided here"]
    row = claimed.judged[0].found[0]
    for side in ("value", "counterpart_value"):
        assert f"{100 * row[side]:.1f}\N{NO-BREAK SPACE}%" in held.evidence[0]
    assert (
        f"+{100 * row['difference']:.1f} points [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" in held.evidence[0]
    )
    assert "which speaks for it" in held.evidence[0]
    plain = held.evidence[1].replace("\N{NO-BREAK SPACE}", " ")
    assert plain == "On digit, under PGD-20, L∞, ε 0.2; n = 240 test examples, 2 seeds each."
    assert failed.evidence[0] == ("Of 2 comparisons 0 speak for it, 1 against it, 1 neither way; all are needed.")
    assert "ε 0.2 and on clean images; n = 240" in failed.evidence[1].replace("\N{NO-BREAK SPACE}", " ")
    assert len(failed.pairs.rows) == 2


def test_the_tally_counts_verdicts(claimed):
    assert tally(claimed) == "Of 3 claims, 1 holds, 1 does not hold and 1 is not decided here."
    assert tally(replace(claimed, judged=claimed.judged[:1] * 2)) == "Of 2 claims, 2 hold here."
    assert tally(replace(claimed, judged=())) == ""


def test_what_intervals_do_not_tell_is_said(claimed):
    assert "over test images, with 2 seeds for each variant" in caveat(claimed)
    assert caveat(replace(claimed, judged=())) == ""


def test_the_page_begins_with_the_verdicts(claimed):
    page = render([Part(claimed)])
    places = [page.index(f'id="{part}"') for part in ("top", "verdicts", "published", "found", "numbers")]
    assert places == sorted(places)
    for words in ("holds here", "does not hold here", "not decided here", "The rule was fixed", "with 2 seeds"):
        assert words in page
    assert "standard training &lt;hardens&gt;" in page.casefold()
    assert 'id="verdicts"' not in render([Part(replace(claimed, judged=()))])


def test_the_tables_hold_each_claim_and_each_comparison(claimed):
    lines = list(csv.DictReader(io.StringIO(verdict_table(claimed).csv())))
    assert [(line["verdict"], line["for"], line["against"], line["needed"]) for line in lines] == [
        ("holds", "1", "0", "1"), ("does not hold", "0", "1", "2"), ("not decided", "1", "0", "2"),
    ]  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(claims_table(claimed).csv())))
    rows = [row for each in claimed.judged for row in each.found]
    assert len(lines) == len(rows) == 5
    for line, row in zip(lines, rows, strict=True):
        assert [float(line[name]) for name in ("difference", "low", "high")] == [
            row["difference"], row["low"], row["high"],
        ]  # fmt: skip
        assert (int(line["n"]), int(line["runs"])) == (240, 2)
    assert (lines[0]["first"], lines[0]["second"]) == (HARD, PLAIN)
    assert (lines[0]["first_norm"], float(lines[0]["first_eps"])) == ("linf", 0.2)
    assert [line["speaks"] for line in lines] == ["for", "against", "neither", "neither", "for"]


def test_p_values_are_corrected_for_all_tests_of_the_claims(claimed):
    """Three different comparisons of two pairs of seeds each, two of them asked for twice."""
    told = claims_table(claimed)
    once = {pair: row for each in claimed.judged for pair, row in zip(each.claim.pairs, each.found, strict=True)}
    p = [p for row in once.values() for p in row["p_values"]]
    assert [p for row in once.values() for p in row["adjusted"]] == pytest.approx(corrected(p).tolist())
    assert len(p) == 6
    assert "corrected for the 6 tests of all claims" in told.caption
    for shown in (told.html(), told.markdown(), told.latex()):
        assert "Holm" in shown
    lines = list(csv.DictReader(io.StringIO(told.csv())))
    assert [float(p) for p in lines[0]["adjusted"].split(";")] == claimed.judged[0].found[0]["adjusted"]
    assert "as they are and corrected (Holm)" in render([Part(claimed)])


@pytest.mark.parametrize(("share", "pairs", "needed"), [(0.7, 10, 7), (0.5, 3, 2), (1.0, 4, 4), (0.01, 5, 1)])
def test_a_share_is_so_many_pairs(share, pairs, needed):
    """0.7 * 10 is 7.000000000000001 in floats."""
    claim = Claim("", "", "digit", ((Side("a", "x"), Side("b", "x")),) * pairs, share)
    assert claim.needed == needed
    assert verdict([1] * needed + [-1] * (pairs - needed), needed) == "holds"
    assert verdict([1] * (needed - 1) + [-1] * (pairs - needed + 1), needed) == "does not hold"
    assert verdict([1] * (needed - 1) + [0] + [-1] * (pairs - needed), needed) == "not decided"


def test_published_numbers_stand_beside_ours(claimed):
    known, missing = published_table(claimed).rows
    ours = claimed.value(PLAIN, "digit", claimed.clean())
    assert known.cells[0].text == "74.49 ± 0.13"
    assert known.cells[1].text == f"{100 * ours['value']:.1f}"
    assert known.cells[1].notes == (f"[{100 * ours['low']:.1f}, {100 * ours['high']:.1f}]",)
    assert known.head.notes == ("slip: printed twice",)
    assert "⚑" in known.head.text
    assert missing.cells[1].text == "–"
    assert "settings" in published_table(claimed).caption or "differ" in published_table(claimed).caption
    lines = list(csv.DictReader(io.StringIO(published_table(claimed).csv())))
    assert (lines[0]["theirs"], float(lines[0]["value"])) == ("74.49", ours["value"])
    assert lines[1]["value"] == ""
    assert published_table(replace(claimed, study=replace(claimed.study, beside=()))) is None


def test_a_long_list_of_published_numbers_is_folded(claimed):
    """Thirteen and more; both ways it is said that settings differ."""
    several = replace(claimed.study, beside=claimed.study.beside * 7)
    page = render([Part(Results(several, claimed.summary, claimed.comparisons))])
    assert "<summary>14 published numbers</summary>" in page
    assert "published numbers</summary>" not in render([Part(claimed)])
    assert "lengths of training differ" in render([Part(claimed)])


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("claims", [{"text": "x"}]),
        ("claims", [5]),
        ("claims", [{"text": "x", "source": "", "task": "digit", "pairs": [], "share": 1.0}]),
        ("claims", [{"text": "x", "source": "", "task": "digit", "pairs": [[["a"], ["b"]]], "share": 1.0}]),
        ("claims", [{"text": "x", "source": "", "task": "d", "pairs": [[["a", "b"], ["c", "d"]]], "share": 2}]),
        ("beside", [{"label": "x"}]),
        ("beside", [None]),
        ("measures", [{"name": "x"}]),
        ("measures", ["x"]),
        ("measures", [{"name": "x", "title": "", "caption": "", "file": "../../secret.csv"}]),
        ("measures", [{"name": "x", "title": "", "caption": "", "file": "/etc/passwd"}]),
    ],
)
def test_facts_of_another_form_are_refused_in_one_line(study, part, value):
    whole = {**vars(study), "groups": [vars(group) for group in study.groups], "claims": [], "beside": [], part: value}
    with pytest.raises(TestudoError, match=r"^[^\n]+$"):
        Study.of(whole)
