"""What a paper says and what became of it here, in sentences and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testudo.reports import wording
from testudo.reports.claims import Claim, Judged, Side
from testudo.reports.readings import Read
from testudo.reports.results import Results
from testudo.reports.tables import Cell, Row, Section, Table

MANY = 4  # tasks: more are counted, not listed
KINDS = {"holds": "better", "does not hold": "worse", "not decided": "open"}
SPEAKS = {1: "for", -1: "against", 0: "neither"}
RULE = (
    "The rule was fixed with the study. A comparison speaks for a claim where the 95 % interval of the difference, "
    "paired on the same test examples, lies wholly on the side that the claim says, against it where it lies wholly "
    "on the other. A claim holds where as many speak for it as it needs, does not hold where so many no longer can, "
    "and is not decided else. Intervals, and so verdicts, are not corrected for the number of comparisons; beside them "
    "stand the p values of McNemar’s exact test, as they are and corrected (Holm). What is read off a measured table "
    "is decided by the 95 % intervals of its lines: they must not touch each other, or the number that is named."
)


@dataclass(frozen=True)
class Told:
    """A claim in words.

    Args:
        text, source: what is claimed, and where.
        badge: the verdict in words.
        kind: the verdict as one word, for its look.
        evidence: sentences.
        pairs: its comparisons.
    """

    text: str
    source: str
    badge: str
    kind: str
    evidence: tuple[str, ...]
    pairs: Table


def verdicts(results: Results) -> list[Told]:
    """Every claim of the study with what was found."""
    told: list[tuple[Judged | Read, tuple[str, ...], Table]]
    told = [(each, _evidence(results, each), _pairs(results, [each])) for each in results.judged]
    told += [(each, _read(each), _lines(each)) for each in results.read]
    return [
        Told(each.claim.text, each.claim.source, f"{each.verdict} here", KINDS[each.verdict], evidence, pairs)
        for each, evidence, pairs in told
    ]


def tally(results: Results) -> str:
    """How many claims came out which way.

    Empty where there are none.
    """
    found = [each.verdict for each in (*results.judged, *results.read)]
    if not found:
        return ""
    said = [(found.count("holds"), "holds", "hold"), (found.count("does not hold"), "does not hold", "do not hold")]
    said.append((found.count("not decided"), "is not decided", "are not decided"))
    parts = wording.listed(f"{n} {one if n == 1 else more}" for n, one, more in said if n)
    return f"Of {wording.counted(len(found), 'claim')}, {parts} here."


def caveat(results: Results) -> str:
    """What the intervals of the claims are over, and what they do not tell."""
    seeds = sorted({n for each in results.judged for n in _seeds(results, each)})
    if not seeds:
        return (
            "Intervals are those of each line of the measured tables; their captions say over what."
            if results.read
            else ""
        )
    count = (
        f"{seeds[0]} to {wording.counted(seeds[-1], 'seed')}" if len(seeds) > 1 else wording.counted(seeds[0], "seed")
    )
    return (
        f"All intervals are over test images, with {count} for each variant: they tell how far a difference would move "
        "on other images, not how far on other trainings. A verdict may be another with other seeds."
    )


def verdict_table(results: Results) -> Table | None:
    """A line for each claim; None where there are none."""
    rows = tuple(_line(each) for each in (*results.judged, *results.read))
    if not rows:
        return None
    columns = tuple(map(Cell, ("here", "the paper says", "for", "against", "neither", "needed")))
    caption = f"{tally(results)} {caveat(results)}"
    return Table(
        "What the paper says, and what was found here", caption, columns, (Section("", rows),), frozenset({0, 1})
    )


def claims_table(results: Results) -> Table | None:
    """A line for each comparison of each claim; None where there are no claims."""
    return _pairs(results, results.judged) if results.judged else None


def _line(judged: Judged | Read) -> Row:
    claim, counts = judged.claim, {word: judged.speak.count(sign) for sign, word in SPEAKS.items()}
    about = claim.task if isinstance(claim, Claim) else claim.column
    record: dict[str, Any] = {"claim": claim.text, "source": claim.source, "task": about}
    record |= {"verdict": judged.verdict, **counts, "needed": claim.needed, "comparisons": len(claim.pairs)}
    numbers = (Cell(str(n)) for n in (*counts.values(), claim.needed))
    return Row(Cell(judged.verdict, record=record), (Cell(claim.text, (claim.source,)), *numbers))


def _evidence(results: Results, judged: Judged) -> tuple[str, ...]:
    """Of one comparison the numbers, of several how many speak which way; how each was made."""
    claim, (first, *others) = judged.claim, judged.found
    ns = sorted({row["n"] for row in judged.found})
    n = f"{ns[0]:,}" if len(ns) == 1 else f"{ns[0]:,} to {ns[-1]:,}"
    seeds = wording.listed(str(count) for count in sorted(_seeds(results, judged)))
    how = f"{_attacks(results, claim)}; n = {n} test examples, {seeds} {'seed' if seeds == '1' else 'seeds'} each."
    return (_counted(judged) if others else _one(first, *claim.pairs[0], judged.speak[0]), how)


def _counted(judged: Judged | Read) -> str:
    """How many comparisons speak which way."""
    claim, counts = judged.claim, {word: judged.speak.count(sign) for sign, word in SPEAKS.items()}
    needed = "all are" if claim.needed == len(claim.pairs) else f"{claim.needed} of them are"
    said = f"{counts['for']} speak for it, {counts['against']} against it, {counts['neither']} neither way"
    return f"Of {len(claim.pairs)} comparisons {said}; {needed} needed."


def _read(read: Read) -> tuple[str, ...]:
    """The same of what is read off a table."""
    (first, second), *others = read.found
    where = f"Read off the column “{read.claim.column}” of the measured table."
    if others:
        return (_counted(read), where)
    end = {1: "which speaks for it", -1: "which speaks against it", 0: "which are not apart"}[read.speak[0]]
    return (f"{first}, against {second}, {end}.", where)


def _lines(read: Read) -> Table:
    """The comparisons of what is read off a table."""
    rows = tuple(
        Row(Cell(a.label), (Cell(b.label), Cell(a.number), Cell(b.number), Cell(SPEAKS[speaks])))
        for (a, b), speaks in zip(read.found, read.speak, strict=True)
    )
    heads = tuple(Cell(name) for name in ("first", "against", "first", "against", "speaks"))
    return Table("Comparisons", "", heads, (Section("", rows),), frozenset({0, 1, 4}))


def _one(row: Mapping[str, Any], first: Side, second: Side, speaks: int) -> str:
    metric = row["metric"]
    values = [wording.with_unit(metric, row[name]) for name in ("value", "counterpart_value")]
    unit = wording.unit_of_difference(metric)
    difference = f"{wording.signed(metric, row['difference'])}{unit} {wording.between(metric, row['low'], row['high'])}"
    end = {1: "which speaks for it", -1: "which speaks against it", 0: "whose interval includes 0"}[speaks]
    return f"{first.group} {values[0]} against {second.group} {values[1]}, a difference of {difference}, {end}."


def _attacks(results: Results, claim: Claim) -> str:
    """``On digit, under PGD-20, L∞, ε 8/255``."""
    tasks = [wording.noun(task) for task in _tasks(claim)]
    told = []
    for side in dict.fromkeys(side for pair in claim.pairs for side in pair):
        attack = results.named(side.attack)
        told.append("on clean images" if attack is None or attack.clean else f"under {attack}")
    of = wording.listed(tasks) if len(tasks) <= MANY else f"{len(tasks)} tasks"
    return f"On {of}, {wording.listed(dict.fromkeys(told))}"


def _tasks(claim: Claim) -> list[str]:
    return list(dict.fromkeys(claim.on(side) for pair in claim.pairs for side in pair))


def _seeds(results: Results, judged: Judged) -> set[int]:
    return {len(results.study.group(side.group).runs) for pair in judged.claim.pairs for side in pair}


def _pairs(results: Results, judged: list[Judged] | tuple[Judged, ...]) -> Table:
    sections = []
    for each in judged:
        lines = zip(each.claim.pairs, each.found, each.speak, strict=True)
        rows = tuple(_pair(results, each.claim, pair, row, speaks) for pair, row, speaks in lines)
        sections.append(Section(each.claim.text if len(judged) > 1 else "", rows))
    columns = (
        Cell("first"),
        Cell("against"),
        Cell("first"),
        Cell("against"),
        Cell("difference"),
        Cell("n"),
        Cell("speaks"),
    )
    title = "Comparisons of the claims" if len(judged) > 1 else "Comparisons"
    return Table(title, _tested(results), columns, tuple(sections), frozenset({0, 1, 6}))


def _tested(results: Results) -> str:
    """What p and Holm are, and over how many tests; nothing where there are none."""
    pairs = [(each.claim.on(first), first, second) for each in results.judged for first, second in each.claim.pairs]
    rows = dict(zip(pairs, (row for each in results.judged for row in each.found), strict=True))  # each pair once
    tests = sum(len(row["p_values"]) for row in rows.values())
    holm = f"; Holm is the same corrected for the {tests:,} tests of all claims" if tests > 1 else ""
    return f"p is McNemar’s exact test, one for each pair of seeds{holm}." if tests else ""


def _pair(results: Results, claim: Claim, pair: tuple[Side, Side], row: Mapping[str, Any], speaks: int) -> Row:
    metric = row["metric"]
    notes = (wording.between(metric, row["low"], row["high"]), *wording.tests(row))
    task, several = claim.on(pair[0]), len(_tasks(claim)) > 1
    record = {"claim": claim.text, "source": claim.source, "task": task, "metric": metric}
    for name, side in zip(("first", "second"), pair, strict=True):
        attack = results.named(side.attack)
        record |= {name: side.group, f"{name}_attack": side.attack}
        record |= {f"{name}_{key}": getattr(attack, key, "") for key in ("norm", "eps")}
    record |= {"first_value": row["value"], "second_value": row["counterpart_value"]}
    record |= {name: row[name] for name in ("difference", "low", "high", "n", "p_values", "adjusted")}
    record |= {"runs": len(results.study.group(pair[0].group).runs), "speaks": SPEAKS[speaks]}
    cells = (
        Cell(wording.number(metric, row["value"])),
        Cell(wording.number(metric, row["counterpart_value"])),
        Cell(wording.signed(metric, row["difference"]), notes, record),
        Cell(f"{row['n']:,}"),
        Cell(SPEAKS[speaks]),
    )
    attacks = [str(results.named(side.attack) or side.attack) for side in pair]
    attacks = [f"{task}: {attack}" for attack in attacks] if several else attacks
    first, second = (Cell(side.group, (attack,)) for side, attack in zip(pair, attacks, strict=True))
    return Row(first, (second, *cells))
