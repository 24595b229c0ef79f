"""Tables as LaTeX and Markdown, checked by hand."""

from __future__ import annotations

import pytest

from mmdpo.analysis.gains import GainVerdict
from mmdpo.analysis.paper import latex, markdown
from mmdpo.analysis.paper.table import EMPTY, Cell, PaperTable, TableRow
from tests.support.latex import check_latex

NASTY = '[a_b] 50% & $x$ #1 {y} ~^\\ <z> | "q" `r` *s*'


def table(name: str = "llava & 50%") -> PaperTable:
    cell = Cell("7.67 ±0.33", ("+0.32 [-0.16, +0.51]",), GainVerdict.better, "6.73")
    rows = [TableRow(name, [cell, EMPTY]), TableRow("base", [Cell("7.35"), Cell("0.859", paper="0.870")])]
    return PaperTable(
        "table_2", f"Scores of {name}.", ["", "MM-Vet", "a_b"], [rows[:1], rows[1:]], [f"Note on {name}."]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50 %", r"a\_b \& 50 \%"),
        ("[-0.16, +0.51]", r"{[}$-$0.16, +0.51{]}"),
        ("MM-Vet 2-3, x-1", "MM-Vet 2-3, x-1"),
        ("±.33 – ·", r"$\pm$.33 -- $\cdot$"),
        ("\\^~", r"\textbackslash{}\textasciicircum{}\textasciitilde{}"),
        ("a\nb\x07", "a b"),
    ],
)
def test_text_is_escaped(text: str, expected: str) -> None:
    assert latex.escape(text) == expected


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("name", ["base", NASTY, "ÄÖ é"])
def test_any_name_makes_a_table_that_compiles(name: str, plain: bool) -> None:
    check_latex(latex.latex(table(name), plain))


def test_a_table_by_hand() -> None:
    lines = latex.latex(table(), plain=True).splitlines()
    assert lines == [
        r"% \usepackage{booktabs}",
        r"\begin{tabular}{lcc}",
        r"\toprule",
        r" & MM-Vet & a\_b \\",
        r"\midrule",
        r"llava \& 50\% & 7.67 $\pm$0.33 & -- \\",
        r" & {\scriptsize +0.32 {[}$-$0.16, +0.51{]} $\uparrow$} &  \\",
        r" & {\scriptsize\itshape paper 6.73} &  \\",
        r"\midrule",
        r"base & 7.35 & 0.859 \\",
        r" &  & {\scriptsize\itshape paper 0.870} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_caption_notes_and_legend_stand_around_the_table_unless_it_is_plain() -> None:
    text = latex.latex(table())
    assert r"\caption{Scores of llava \& 50\%. Verdicts: " + latex.LEGEND + ".}" in text
    assert r"Note on llava \& 50\%." in text
    assert r"\label{tab:table-2}" in text
    assert "caption" not in latex.latex(table(), plain=True)


def test_names_beyond_latin_ask_for_another_compiler() -> None:
    assert "XeLaTeX" in latex.latex(table("模型"))
    assert "XeLaTeX" not in latex.latex(table("Modèle"))


def test_markdown_has_the_verdict_in_words_and_escapes_pipes() -> None:
    lines = markdown.markdown(table("a|b_c*"), plain=True).splitlines()
    assert lines[2] == "| a\\|b\\_c\\* | 7.67 ±0.33<br>+0.32 \\[-0.16, +0.51\\] better<br>*paper 6.73* | – |"
    assert all(line.replace("\\|", "").count("|") == 4 for line in lines)
