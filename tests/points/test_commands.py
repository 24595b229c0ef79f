"""commands.jsonl of a study."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdpo.points import commands


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(commands, "_begun", {})
    monkeypatch.setattr(commands, "_waiting", [])
    return


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", [*words])
    commands._begun.clear()


def test_each_command_is_a_line_with_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "launch.py", "-m", "beta=0.1,0.2", "data.path=my pairs.jsonl")
    for _ in range(2):  # as a sweeper that asks for points several times
        commands.begin(tmp_path)
    (line,) = commands.read_commands(tmp_path)
    assert shlex.split(line["command"]) == ["python", "launch.py", "-m", "beta=0.1,0.2", "data.path=my pairs.jsonl"]
    assert line["outcome"] == "running"
    assert {"time", "version", "cwd"} <= line.keys()
    commands.end("1 points failed")
    typed(monkeypatch, "/opt/mmdpo/__main__.py", "retry", "s")
    commands.begin(tmp_path)
    commands.end("submitted")
    lines = [json.loads(text) for text in (tmp_path / "commands.jsonl").read_text().splitlines()]
    assert [one["outcome"] for one in lines] == ["1 points failed", "submitted"]
    assert lines[1]["command"] == "python -m mmdpo retry s"
    assert commands.last_launch(tmp_path) == shlex.split(lines[0]["command"])


def test_a_program_of_another_kind_leaves_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "/x/pytest/__main__.py", "-q")
    commands.begin(tmp_path / "s")
    commands.end("done")
    assert not (tmp_path / "s").exists()


def test_damaged_lines_and_reports_are_passed_over(tmp_path: Path) -> None:
    lines = [
        '{"command": "python launch.py beta=0.1"}',
        '{"comm',
        "[1]",
        '{"command": 3}',
        '{"command": "python launch.py stage=report"}',
        '{"command": "python launch.py beta=0.1"}',
    ]
    (tmp_path / "commands.jsonl").write_text("\n".join(lines))
    assert commands.launches(tmp_path) == ["python launch.py beta=0.1"]
    assert commands.last_launch(tmp_path) == ["python", "launch.py", "beta=0.1"]
    assert commands.launches(tmp_path / "nowhere") == []


def test_under_torchrun_its_processes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    typed(monkeypatch, "launch.py", "beta=0.1")
    assert commands.typed_words() == ["torchrun", "--nproc-per-node=2", "launch.py", "beta=0.1"]
