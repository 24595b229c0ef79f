"""Files and messages at the end of a sweep."""

import json
from pathlib import Path

import pytest

from mmdpo.analysis.report import suggestion, write_report
from mmdpo.analysis.selection import select
from mmdpo.analysis.study import read_study
from tests.support.studies import make_point, make_study


def test_the_report_is_complete_and_ends_with_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_study(tmp_path / "nano", [{"beta": 0.1}, {"beta": 0.2}], n=4)
    study = write_report(folder)
    assert study.name == "nano"
    assert {"summary.csv", "results.csv", "report.html", "figures"} <= {path.name for path in folder.iterdir()}
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last == f"{folder}/report.html  ·  next: python launch.py -m sweep=data_scaling"


def test_the_report_of_a_study_in_which_everything_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    make_point(tmp_path / "nano", {}, state="failed", error="no such [model]")
    write_report(tmp_path / "nano")
    assert "no such [model]" in capsys.readouterr().out


def test_the_suggestion_is_what_no_study_beside_has_varied(tmp_path: Path):
    first = make_study(tmp_path / "first", [{"beta": 0.1}, {"beta": 0.2}], n=2)
    make_study(tmp_path / "second", [{"data_scale": 0.5}, {"data_scale": 1.0}], n=2)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "notes.txt").write_text("no study")
    assert suggestion(read_study(first)) == "python launch.py -m sweep=methods"


def test_failures_and_unfinished_points_come_first(tmp_path: Path):
    folder = make_study(tmp_path / "nano", [{"beta": 0.1}], n=2)
    make_point(folder, {"beta": 0.2}, state="planned")
    assert suggestion(read_study(folder)) == f"python -m mmdpo status {folder}  (1 not finished)"
    make_point(folder, {"beta": 0.3}, state="failed", error="x")
    assert "to retry" in suggestion(read_study(folder))


def test_a_hint_carries_the_users_settings(tmp_path: Path):
    folder = make_study(tmp_path / "s", [{"beta": 0.1}, {"beta": 0.2}], n=2)
    typed = "python launch.py --config-dir my -m beta=0.1,0.2 data=pairs 'data.path=a b.jsonl' study=s plan.points=2"
    (folder / "commands.jsonl").write_text(json.dumps({"command": typed}))
    own = "--config-dir my data=pairs 'data.path=a b.jsonl' study=s"
    assert suggestion(read_study(folder)) == f"python launch.py -m sweep=data_scaling {own}"
    make_point(folder, {"beta": 0.3}, state="failed", error="x")
    assert suggestion(read_study(folder)) == f"{typed}  (to retry; python -m mmdpo logs {folder} shows why)"


def test_without_a_typed_command_a_hint_carries_presets_and_data(tmp_path: Path):
    make_point(tmp_path / "s", {}, config={"data": {"name": "pairs", "path": "my pairs.jsonl"}})
    expected = "python launch.py -m sweep=data_scaling data=pairs 'data.path=my pairs.jsonl'"
    assert suggestion(read_study(tmp_path / "s")) == expected


def test_only_axes_of_the_method_are_suggested(tmp_path: Path):
    config = {"method": {"axes": ["lr", "seed"]}, "data": {"path": "answers.jsonl"}}
    make_point(tmp_path / "s", {"method": "sft"}, config=config)
    assert suggestion(read_study(tmp_path / "s")).startswith("python launch.py -m seed=0,1,2 ")


def test_two_points_of_the_study_are_named_for_a_comparison(tmp_path: Path):
    axes = {"data_scale": 0.5, "beta": 0.2, "method": "ipo", "label_noise": 0.5, "seed": 1}
    folder = make_study(tmp_path / "s", [{}, axes], n=2)
    base, best = suggestion(read_study(folder)).removeprefix("python -m mmdpo compare ").split()
    assert base == f"{folder}/base-00abcd"
    assert select([base, best]).others[0].rows[0].axes["method"] == "dpo"
