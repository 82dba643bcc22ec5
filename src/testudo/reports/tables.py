"""One table, shown four ways: on the terminal, as HTML, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from rich import box
from rich.table import Table as RichTable
from rich.text import Text


@dataclass(frozen=True)
class Cell:
    """A number or a word, with what belongs below it in small (its interval, its p)."""

    text: str
    notes: tuple[str, ...] = ()

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
            look: dict[str, Any] = {"justify": "right", "overflow": "fold"} if i else {"no_wrap": True}
            shown.add_column(_stacked(column), vertical="top", **look)
        for section in self.sections:
            if section.title:
                shown.add_row(Text(section.title, "bold"))
            for row in section.rows:
                style = "italic" if row.kind == "difference" else ""
                shown.add_row(*(_stacked(cell, style) for cell in (row.head, *row.cells)))
            if section.rows:
                shown.add_section()
        return shown

    def html(self) -> str:
        """A scrolling ``figure`` with a ``table``; its look is the page's."""
        head = "".join(f'<th scope="col">{_html(cell)}</th>' for cell in self.columns)
        body = "".join(_html_section(section, len(self.columns)) for section in self.sections)
        caption = f'<p class="how">{escape(self.caption)}</p>' if self.caption else ""
        return (
            f'<figure class="table"><figcaption><strong>{escape(self.title)}</strong>{caption}</figcaption>'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.title)}">'
            f"<table><thead><tr>{head}</tr></thead>{body}</table></div></figure>"
        )

    def markdown(self) -> str:
        """GitHub's table, without title and caption."""
        marks = [":--", *["--:"] * (len(self.columns) - 1)]
        lines = [_pipes([_br(cell) for cell in self.columns]), _pipes(marks)]
        for section in self.sections:
            if section.title:
                lines.append(_pipes([f"**{_plain(section.line)}**", *[""] * (len(self.columns) - 1)]))
            lines += [_pipes([_br(cell) for cell in (row.head, *row.cells)]) for row in section.rows]
        return "\n".join(lines)

    def csv(self) -> str:
        """Comma-separated values, the section as the first column, each cell on one line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["section", *(cell.line for cell in self.columns)])
        for section in self.sections:
            for row in section.rows:
                writer.writerow([section.line, row.head.line, *(cell.line for cell in row.cells)])
        return out.getvalue()


def _stacked(cell: Cell, style: str = "") -> Text:
    """A cell for the terminal: the text, the notes dimmed on lines of their own."""
    text = Text(cell.text, style)
    for note in cell.notes:
        text.append(f"\n{note}", "dim")
    return text


def _html(cell: Cell) -> str:
    notes = "".join(f"<small>{escape(note)}</small>" for note in cell.notes)
    return f"<span>{escape(cell.text)}</span>{notes}"


def _html_section(section: Section, width: int) -> str:
    note = f"<small>{escape(section.note)}</small>" if section.note else ""
    head = f"<span>{escape(section.title)}{note}</span>"
    title = f'<tr class="section"><th colspan="{width}" scope="rowgroup">{head}</th></tr>'
    rows = "".join(
        f'<tr class="{row.kind}"><th scope="row">{_html(row.head)}</th>'
        + "".join(f"<td>{_html(cell)}</td>" for cell in row.cells)
        + "</tr>"
        for row in section.rows
    )
    return f"<tbody>{title if section.title else ''}{rows}</tbody>"


def _pipes(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _br(cell: Cell) -> str:
    return "<br>".join(_plain(part) for part in (cell.text, *cell.notes))


def _plain(text: str) -> str:
    """``text`` without what Markdown would read as markup in a table."""
    return text.replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
