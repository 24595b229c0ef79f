"""A strict check of the LaTeX that the program writes, where no LaTeX is installed."""

from __future__ import annotations

import re

COMMANDS = {
    *("begin", "end", "toprule", "midrule", "bottomrule", "addlinespace", "centering", "caption", "label", "par"),
    *("smallskip", "parbox", "linewidth", "small", "footnotesize", "scriptsize", "itshape"),
    *("uparrow", "downarrow", "approx", "pm", "cdot", "times"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textasciigrave", "textless", "textgreater", "textbar"),
    "textquotedbl",
}
"""The commands that the kernel and booktabs know, as far as the program uses them."""


def check_latex(text: str) -> None:
    """Raise AssertionError unless braces, environments, dollars and columns match and all commands are known."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    body = "\n".join(lines)
    bare = re.sub(r"\\[&%$#_{}\\]", "", body)  # escaped characters and ends of lines
    assert not re.search(r"(?<!\\)[%#~^_<>|\"`]", bare), re.search(r"(?<!\\)[%#~^_<>|\"`]", bare)
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    unknown = set(re.findall(r"\\([A-Za-z]+)", bare)) - COMMANDS
    assert not unknown, unknown
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", bare):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    columns = len(re.findall(r"[lcr]", re.search(r"\\begin\{tabular\}\{([lcr]+)\}", body)[1]))  # type: ignore[index]
    inside = body.split(r"\begin{tabular}")[1].split(r"\end{tabular}")[0].splitlines()[1:]
    rows = [line for line in inside if line and not re.fullmatch(r"\\[a-z]+", line)]
    assert rows
    for row in rows:
        assert row.endswith(r" \\"), row
        assert len(re.findall(r"(?<!\\)&", row)) == columns - 1, row
        assert not row.lstrip().startswith("["), row
