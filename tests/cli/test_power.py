"""`python -m mmdpo power`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdpo.__main__ import main
from tests.support.studies import make_study


def test_power_says_what_a_study_sees_and_what_a_gain_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_study(tmp_path / "seeds", [{"beta": 0.1, "seed": seed} for seed in (0, 1, 2)])
    assert main(["power", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["text", "visual", "presence", "text_noisy"]
    assert all("3 seeds, 24 items" in line and "3 comparisons" in line for line in lines if "presence" not in line)
    assert main(["power", str(folder), "--gain", "text=9", "--seeds", "5"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "5 seeds" in line
    assert line.endswith("9 is seen")


@pytest.mark.parametrize("words", [["--gain", "text"], ["--gain", "text=-1"], ["--gain", "other=1"], ["--seeds", "0"]])
def test_a_wrong_option_is_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_study(tmp_path / "one", [{"beta": 0.1}])
    try:
        code = main(["power", str(folder), *words])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert words[0] in capsys.readouterr().err


def test_a_study_without_gains_has_no_power(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_study(tmp_path / "none", [])
    assert main(["power", str(folder)]) == 1
    assert "no result has a gain" in capsys.readouterr().out
