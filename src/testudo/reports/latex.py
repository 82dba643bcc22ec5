"""Pieces of a LaTeX table in the manner of the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

RULE = r"\midrule"
PAGE = 40  # lines that a page has room for
SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", '"': "''",
    "\N{NO-BREAK SPACE}": "~", "−": r"$-$", "–": "--", "’": "'", "“": "``", "”": "''", "…": r"\dots{}",
    "Δ": r"$\Delta$", "δ": r"$\delta$", "ε": r"$\varepsilon$", "∞": r"$\infty$", "°": r"$^\circ$", "·": r"$\cdot$",
    "×": r"$\times$", "±": r"$\pm$", "≤": r"$\le$", "≥": r"$\ge$", "√": r"$\surd$", "λ": r"$\lambda$", "σ": r"$\sigma$",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, SIGNS)))


def escaped(text: str) -> str:
    r"""``text`` as LaTeX sets it, without a command in it.

    >>> print(escaped("a_b & 5 %: L∞, ε 8/255 \\input{x}"))
    a\_b \& 5 \%: L$\infty$, $\varepsilon$ 8/255 \textbackslash{}input\{x\}
    """
    return _SIGN.sub(lambda found: SIGNS[found[0]], " ".join(text.splitlines()))


def cell(text: str, notes: Sequence[str], align: str = "r") -> str:
    r"""A cell with its notes below it in small, ``align`` being ``l`` or ``r``.

    >>> print(cell("97.2", ["[96, 98]"]))
    \begin{tabular}[t]{@{}r@{}}97.2\\{\scriptsize [96, 98]}\end{tabular}
    """
    if not notes:
        return _held(escaped(text))
    stacked = "".join(rf"\\{{\scriptsize {escaped(note)}}}" for note in notes)
    return rf"\begin{{tabular}}[t]{{@{{}}{align}@{{}}}}{escaped(text)}{stacked}\end{{tabular}}"


def line(cells: Sequence[tuple[str, Sequence[str]]], align: str) -> str:
    """A line of cells, each with its notes; ``align`` has a letter for each."""
    return " & ".join(cell(*each, side) for each, side in zip(cells, align, strict=True)) + r" \\"


def across(text: str, width: int) -> str:
    """A line with one text over all ``width`` columns."""
    return rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escaped(text)}}}}} \\"


def whole(caption: str, align: str, head: str, lines: Sequence[str]) -> str:
    """The table: ``align`` has a letter for each column, ``head`` and ``lines`` are whole lines."""
    told = rf"\caption{{{escaped(caption.strip())}}}"
    body = "\n".join(lines)
    if len(lines) > PAGE:
        return (
            f"% \\usepackage{{booktabs,longtable}}\n\\begin{{longtable}}{{{align}}}\n{told} \\\\\n\\toprule\n{head}\n"
            f"\\midrule\n\\endhead\n{body}\n\\bottomrule\n\\end{{longtable}}\n"
        )
    return (
        f"% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n{told}\n\\begin{{tabular}}{{{align}}}\n\\toprule\n"
        f"{head}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def _held(text: str) -> str:
    r"""A bracket that begins a cell would be read as the argument of the ``\\`` before it."""
    return f"{{}}{text}" if text.startswith(("[", "*")) else text
