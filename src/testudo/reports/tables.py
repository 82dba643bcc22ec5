"""One table, shown five ways: on the terminal, as HTML, as Markdown, as LaTeX and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from testudo.reports import latex


@dataclass(frozen=True)
class Cell:
    """A number or a word, with what belongs below it in small (its interval, its p).

    Args:
        text: what is shown.
        notes: below it.
        record: all that is known of it, by name and unrounded: a line of the CSV.
    """

    text: str
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def line(self) -> str:
        """Everything on one line."""
        return " ".join((self.text, *self.notes)).strip()


@dataclass(frozen=True)
class Row:
    """A line of the table: its name and one cell per further column."""

    head: Cell
    cells: tuple[Cell, ...]
    kind: Literal["value", "difference"] = "value"


@dataclass(frozen=True)
class Section:
    """Rows under a common title, which may be empty, and what is to be known about them."""

    title: str
    rows: tuple[Row, ...]
    note: str = ""

    @property
    def line(self) -> str:
        """Title and note."""
        return f"{self.title}: {self.note}" if self.note else self.title


@dataclass(frozen=True)
class Table:
    """A table without a look.

    Args:
        title: what it shows, in a few words.
        caption: how to read it.
        columns: the heads, that of the row names first.
        sections: its rows.
        words: the columns that hold words, by their place; the others hold numbers.

    >>> row = Row(Cell("a"), (Cell("1", ("[0, 2]",)),))
    >>> print(Table("Scores", "", (Cell("who"), Cell("score")), (Section("", (row,)),)).markdown())
    | who | score |
    | :-- | --: |
    | a | 1<br>[0, 2] |
    """

    title: str
    caption: str
    columns: tuple[Cell, ...]
    sections: tuple[Section, ...]
    words: frozenset[int] = frozenset({0})

    @property
    def rows(self) -> list[Row]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section.rows]

    def rich(self) -> RichTable:
        """For the terminal; the sections' notes stand below, where there is room."""
        below = "\n".join([self.caption, *(section.line for section in self.sections if section.note)])
        shown = RichTable(title=self.title, caption=below, box=box.SIMPLE_HEAD, title_justify="left")
        shown.title_style, shown.caption_style, shown.caption_justify = "bold", "dim", "left"
        for i, column in enumerate(self.columns):
            # a narrow terminal may break an interval in two, but not a name
            look: dict[str, Any] = {"justify": "left" if i in self.words else "right", "overflow": "fold"}
            shown.add_column(_stacked(column), vertical="top", **(look if i else {"no_wrap": True}))
        for section in self.sections:
            if section.title:
                shown.add_row(Text(section.title, "bold"))
            for row in section.rows:
                style = "italic" if row.kind == "difference" else ""
                shown.add_row(*(_stacked(cell, style) for cell in (row.head, *row.cells)))
            if section.rows:
                shown.add_section()
        return shown

    def html(self, below: str = "") -> str:
        """A scrolling ``figure`` with a ``table``; its look is the page's. ``below`` is HTML to stand under it."""
        head = "".join(f'<th scope="col"{self._kind(i)}>{_html(cell)}</th>' for i, cell in enumerate(self.columns))
        body = "".join(self._html_section(section) for section in self.sections)
        caption = f'<p class="how">{escape(self.caption)}</p>' if self.caption else ""
        return (
            f'<figure class="table"><figcaption><strong>{escape(self.title)}</strong>{caption}</figcaption>'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.title)}">'
            f"<table><thead><tr>{head}</tr></thead>{body}</table></div>{below}</figure>"
        )

    def markdown(self) -> str:
        """GitHub's table, without title and caption."""
        marks = [":--" if i in self.words else "--:" for i in range(len(self.columns))]
        lines = [_pipes([_br(cell) for cell in self.columns]), _pipes(marks)]
        for section in self.sections:
            if section.title:
                lines.append(_pipes([f"**{_plain(section.line)}**", *[""] * (len(self.columns) - 1)]))
            lines += [_pipes([_br(cell) for cell in (row.head, *row.cells)]) for row in section.rows]
        return "\n".join(lines)

    def latex(self) -> str:
        """A ``table`` of the package booktabs, of more than a page a ``longtable``; title and caption are its own."""
        align = "".join("l" if i in self.words else "r" for i in range(len(self.columns)))

        def line(cells: Iterable[Cell]) -> str:
            return latex.line([(cell.text, cell.notes) for cell in cells], align)

        lines: list[str] = []
        for section in self.sections:
            lines += [latex.RULE] if lines else []
            lines += [latex.across(section.line, len(self.columns))] if section.title else []
            lines += [line((row.head, *row.cells)) for row in section.rows]
        head = line(self.columns)
        return latex.whole(f"{self.title}. {self.caption}", align, head, lines)

    def csv(self) -> str:
        """Comma-separated values.

        Where cells have records one line for each of those, unrounded; else a line for each row as it is shown, the
        section as the first column.
        """
        records = [cell.record for row in self.rows for cell in (row.head, *row.cells) if cell.record is not None]
        if records:
            return records_csv(records)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["section", *(cell.line for cell in self.columns)])
        for section in self.sections:
            for row in section.rows:
                writer.writerow([section.line, row.head.line, *(cell.line for cell in row.cells)])
        return out.getvalue()

    def _kind(self, place: int) -> str:
        return ' class="words"' if place in self.words else ""

    def _html_section(self, section: Section) -> str:
        note = f"<small>{escape(section.note)}</small>" if section.note else ""
        head = f"<span>{escape(section.title)}{note}</span>"
        title = f'<tr class="section"><th colspan="{len(self.columns)}" scope="rowgroup">{head}</th></tr>'
        rows = "".join(
            f'<tr class="{row.kind}"><th scope="row">{_html(row.head)}</th>'
            + "".join(f"<td{self._kind(i)}>{_html(cell)}</td>" for i, cell in enumerate(row.cells, 1))
            + "</tr>"
            for row in section.rows
        )
        return f"<tbody>{title if section.title else ''}{rows}</tbody>"


def records_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as comma-separated values: every name that any has, in the order they come; lists joined by ``;``.

    >>> print(records_csv([{"n": 9, "value": 0.1}, {"n": 8, "p": [0.5, 0.25]}]), end="")
    n,value,p
    9,0.1,
    8,,0.5;0.25
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_unrounded(record.get(name)) for name in names] for record in records)
    return out.getvalue()


def _unrounded(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ";".join(map(_unrounded, value))
    return "" if value is None else str(value)


def _stacked(cell: Cell, style: str = "") -> Text:
    """A cell for the terminal: the text, the notes dimmed on lines of their own."""
    text = Text(cell.text, style)
    for note in cell.notes:
        text.append(f"\n{note}", "dim")
    return text


def _html(cell: Cell) -> str:
    notes = "".join(f"<small>{escape(note)}</small>" for note in cell.notes)
    return f"<span>{escape(cell.text)}</span>{notes}"


def _pipes(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _br(cell: Cell) -> str:
    return "<br>".join(_plain(part) for part in (cell.text, *cell.notes))


def _plain(text: str) -> str:
    """``text`` without what Markdown would read as markup in a table."""
    plain = text.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(plain.splitlines()))
