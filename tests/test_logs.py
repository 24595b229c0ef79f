"""The log of a point beside the terminal."""

import sys
import warnings
from pathlib import Path

import pytest

from mmdpo.logs import copy_output, without_bars, write_log, write_log_once
from mmdpo.models.library_output import suppress_library_output


def test_output_goes_to_the_terminal_and_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with copy_output(tmp_path / "logs" / "a.log"):
        print("shown")
        kept = sys.stderr  # as a handler of a library keeps it
        print("an error", file=kept)
        write_log("hidden\n")
    with copy_output(tmp_path / "logs" / "b.log"):
        print("later", file=kept)
    write_log("to no log\n")
    assert (tmp_path / "logs" / "a.log").read_text() == "shown\nan error\nhidden\n"
    assert (tmp_path / "logs" / "b.log").read_text() == "later\n"
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("shown\n", "an error\nlater\n")


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        ("\x1b[1mbold\x1b[0m\n", "bold\n"),
        ("\r\x1b[2K  training ━━━━ 3/10\n", ""),
        ("\r 50%|##### | 5/10", ""),
        ("50 % of it\n", "50 % of it\n"),
    ],
)
def test_progress_bars_and_colours_are_not_logged(written: str, logged: str) -> None:
    assert without_bars(written) == logged


def test_warnings_of_libraries_are_logged_once_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    with copy_output(tmp_path / "a.log"), suppress_library_output():
        for _ in range(2):
            warnings.warn("old name", FutureWarning, stacklevel=1)
            logging.getLogger("transformers.made_up").warning("slow tokenizer")
        write_log_once("once")
        write_log_once("once")
    text = (tmp_path / "a.log").read_text()
    assert [text.count(one) for one in ("FutureWarning: old name", "slow tokenizer", "once\n")] == [1, 1, 1]
    assert capsys.readouterr() == ("", "")
