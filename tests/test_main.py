"""`python -m mmdpo`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmdpo.__main__ import find_point, find_study, main
from mmdpo.errors import UserError
from tests.studies import make_point, make_study

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """outputs/ with an older and a newer study, as the working directory's."""
    monkeypatch.chdir(tmp_path)
    for number, (name, axis) in enumerate((("old", "seed"), ("new", "beta"))):
        study = make_study(tmp_path / "outputs" / name, [{axis: 1}, {axis: 2}], n=4)
        for path in study.glob("*/*"):
            os.utime(path, (1000 * (number + 1), 1000 * (number + 1)))
    return Path("outputs")


def test_status_of_the_newest_study(outputs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert out.strip().startswith("new") and "beta" in out


def test_status_of_a_study_by_name_and_by_folder(outputs: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("old", "outputs/old"):
        assert main(["status", name]) == 0
        assert "seed" in capsys.readouterr().out


def test_status_is_1_when_a_point_failed(outputs: Path, capsys: pytest.CaptureFixture[str]):
    make_point(outputs / "new", {"beta": 3}, state="failed", error="no memory")
    assert main(["status", "new"]) == 1
    assert "no memory" in capsys.readouterr().out


def test_report(outputs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", "new"]) == 0
    assert (outputs / "new" / "report.html").exists()
    assert "outputs/new/report.html" in capsys.readouterr().out.splitlines()[-1]


def test_compare_by_pieces_of_names(outputs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["compare", "new/beta1-", "new/beta2-"]) == 0
    assert "paired bootstrap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "nope"], "no study 'nope': it is no folder, and outputs/ holds new, old"),
        (["compare", "nope", "beta1-"], "no point 'nope' in outputs/"),
        (["compare", "new/base", "new/dpo"], "'dpo' is in the name of 2 points; type more of one"),
        (["compare", "gone/base", "new/base"], "no study 'gone'"),
    ],
)
def test_errors_are_one_message_and_code_2(
    outputs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("error: ") and "Traceback" not in captured.err


def test_a_whole_name_wins_over_a_piece_of_others(outputs: Path):
    (outputs / "new" / "base").mkdir()
    (outputs / "new" / "base" / "status.json").write_text("{}")
    assert find_point("new/base") == outputs / "new" / "base"
    folder = next((outputs / "new").glob("dpo-beta1-*"))
    assert find_point(str(folder)) == folder


def test_no_study_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no study under outputs/"):
        find_study(None)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as leaving:
        main(["--help"])
    assert leaving.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("status", "report", "compare", "STUDY", "examples"))


def test_status_imports_nothing_heavy(outputs: Path):
    code = (
        "import sys; from mmdpo.__main__ import main; main(['status']);"
        "heavy = ('torch', 'transformers', 'matplotlib', 'scipy', 'pandas', 'numpy');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
