"""Tables to take away: as links of the page that hold the whole file, and as files in the study folder."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from testudo.files import write_atomic
from testudo.reports.part import Part
from testudo.reports.tables import Table, records_csv

FOLDER = "tables"
MEDIA = {"csv": "text/csv", "md": "text/markdown", "tex": "application/x-tex", "toml": "application/toml"}
NAMES = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX"}


def contents(table: Table) -> dict[str, str]:
    """A table as files, by their ending."""
    told = f"**{table.title}**\n\n{table.caption}\n\n{table.markdown()}\n"
    return {"csv": table.csv(), "md": told, "tex": table.latex()}


def write_tables(folder: Path, parts: Sequence[Part]) -> None:
    """Every table of a study and of those shown with it, each three times, into ``folder``/tables.

    Raises:
        TestudoError: one cannot be written.
    """
    for part, prefix in zip(parts, prefixes(parts), strict=True):
        for stem, table in part.tables.items():
            for ending, text in contents(table).items():
                write_atomic(folder / FOLDER / f"{prefix}{slug(stem)}.{ending}", text)


def prefixes(parts: Sequence[Part]) -> list[str]:
    """What the names of the files of each part begin with: nothing for the first, its study's name for another."""
    found = [""]
    for number, part in enumerate(parts[1:], 1):
        prefix = f"{slug(part.results.study.name)}-"
        found.append(f"{number}-{prefix}" if prefix in found else prefix)
    return found


def table_links(stem: str, table: Table) -> str:
    """HTML of links to a table's files."""
    made = contents(table)
    links = (link(f"{stem}.{ending}", text, NAMES[ending], table.title) for ending, text in made.items())
    return f'<p class="files">{" ".join(links)}</p>'


def data_link(stem: str, records: Sequence[Mapping[str, Any]], title: str) -> str:
    """HTML of a link to the numbers of a drawing."""
    return link(f"{stem}.csv", records_csv(records), "data (CSV)", title)


def link(name: str, content: str, text: str, of: str) -> str:
    """HTML of a link that saves ``content`` as a file called ``name``; ``of`` says for those who hear it what it is of.

    >>> link("a.csv", "x", "CSV", "accuracy")
    '<a download="a.csv" href="data:text/csv;base64,eA==" aria-label="CSV: accuracy">CSV</a>'
    """
    media = MEDIA.get(name.rpartition(".")[2], "application/json")
    held = base64.b64encode(content.encode()).decode()
    label = escape(f"{text}: {of}")
    return f'<a download="{escape(name)}" href="data:{media};base64,{held}" aria-label="{label}">{escape(text)}</a>'


def slug(name: str) -> str:
    """``name`` as a file may be called.

    >>> slug("PGD-10, L∞ (all)/../x"), slug("..")
    ('PGD-10-Linf-all-x', 'table')
    """
    return re.sub(r"[^A-Za-z0-9-]+", "-", name.replace("∞", "inf")).strip("-")[:80].rstrip("-") or "table"
