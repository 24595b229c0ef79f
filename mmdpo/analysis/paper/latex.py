"""Tables as LaTeX: booktabs, and nothing else beyond the kernel."""

from __future__ import annotations

import re

from mmdpo.analysis.gains import GainVerdict
from mmdpo.analysis.paper.table import Cell, PaperTable, TableRow

MARKS = {
    GainVerdict.better: r"$\uparrow$",
    GainVerdict.worse: r"$\downarrow$",
    GainVerdict.unclear: r"$\approx$",
}
LEGEND = r"$\uparrow$ better, $\downarrow$ worse, $\approx$ not distinguishable"
SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # at the beginning of a line it would be the height of the line before
    "]": "{]}",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "\n": " ",
}
MINUS = re.compile(r"(?<![\w.)\]])-(?=[\d.])")
"""The minus sign of a number, other than the hyphen of a name."""
LATIN = 0x17F
"""The last character that pdfLaTeX knows without further packages."""
WIDE = 5
"""The number of columns from which a table is as wide as the page."""


def escape(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return "".join(SPECIAL.get(sign, sign) for sign in MINUS.sub("−", text) if sign.isprintable() or sign == "\n")


def latex(table: PaperTable, plain: bool = False) -> str:
    """Write a table.

    Args:
        table: The table.
        plain: Whether to write the tabular alone, without caption, label and notes.
    """
    columns = len(table.headings)
    head = " & ".join(escape(heading) for heading in table.headings)
    lines = [rf"\begin{{tabular}}{{l{'c' * (columns - 1)}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    for number, section in enumerate(table.sections):
        if number:
            lines.append(r"\midrule")
        for index, row in enumerate(section):
            lines += [*([r"\addlinespace"] if index and _is_tall(section[index - 1]) else []), *_row(row)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if not plain:
        size = r"\footnotesize" if columns > WIDE else r"\small"
        kind = "table*" if columns > WIDE else "table"
        legend = f" Verdicts: {LEGEND}." if table.verdicts else ""
        notes = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {escape(note)}}}" for note in table.notes]
        lines = [
            rf"\begin{{{kind}}}[t]",
            r"\centering",
            rf"\caption{{{escape(table.title)}{legend}}}",
            rf"\label{{tab:{table.name.replace('_', '-')}}}",
            size,
            *lines,
            *notes,
            rf"\end{{{kind}}}",
        ]
    return "\n".join([*_preamble("\n".join(lines)), *lines, ""])


def _preamble(text: str) -> list[str]:
    """Return comments: the packages that the text needs."""
    needs = [r"% \usepackage{booktabs}"]
    if "textquotedbl" in text:
        needs.append(r"% \usepackage[T1]{fontenc}")
    if any(ord(sign) > LATIN for sign in text):
        needs.append("% names have characters that pdfLaTeX does not know: compile with LuaLaTeX or XeLaTeX")
    return needs


def _row(row: TableRow) -> list[str]:
    """Write a row: one line of the table for each line of its cells."""
    columns = [_cell_lines(cell) for cell in row.cells]
    height = max(map(len, columns), default=1)
    lines = []
    for number in range(height):
        name = escape(row.name) if number == 0 else ""
        parts = [name, *(column[number] if number < len(column) else "" for column in columns)]
        lines.append(" & ".join(parts) + r" \\")
    return lines


def _cell_lines(cell: Cell) -> list[str]:
    details = [escape(text) for text in cell.details]
    if cell.verdict:
        details = [*details[:-1], " ".join([*details[-1:], MARKS[cell.verdict]])]
    small = [rf"{{\scriptsize {text}}}" for text in details]
    paper = [rf"{{\scriptsize\itshape paper {escape(cell.paper)}}}"] if cell.paper else []
    return [escape(cell.text), *small, *paper]


def _is_tall(row: TableRow) -> bool:
    return any(len(_cell_lines(cell)) > 1 for cell in row.cells)
