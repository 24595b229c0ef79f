"""Output to the terminal."""

import pytest

from mmdpo.console import print_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("bell\x07 back\x08 \x9b31m \x7f", "bell\\x07 back\\x08 \\x9b31m \\x7f"),
        ("over\rwritten", "over\\x0dwritten"),
        ("lines\n\tand tabs", "lines\n\tand tabs"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("half \ud83d of one", "half \\ud83d of one"),
        ("Grüße 你好 \U0001f600 \u200d", "Grüße 你好 \U0001f600 \u200d"),
    ],
)
def test_control_characters_never_reach_the_terminal(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(text) == shown
    print_line(text)
    assert capsys.readouterr().out.expandtabs() == f"{shown}\n".expandtabs()
