"""Labels of scores below the table; and mixtures, which are flagged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.html import context
from mmdpo.analysis.html_examples import best_point
from mmdpo.analysis.label_lines import is_mixed, label_lines, mixed_lines
from mmdpo.analysis.study import Study, read_study
from tests.analysis.test_table import printed
from tests.support.studies import interval, make_point, write

LABEL = {
    "judge": "flash",
    "served": ["flash-001"],
    "rubric": "upstream",
    "edition": {"questions": "first edition"},
    "references": "gpt-4",
    "engine": "model",
    "split": "all",
    "subset": 1.0,
    "repeats": 3,
    "cut": 2,
}


def study_of(folder: Path, *changes: dict[str, Any], roles: tuple[str, ...] = ()) -> Study:
    """A study of finished points with one task each, whose labels differ from LABEL by the changes."""
    for number, change in enumerate(changes):
        role = roles[number] if roles else "trained"
        point = make_point(folder, {"beta": 0.1 * (number + 1)}, role=role)
        content = {"role": role, "axes": {"beta": 0.1 * (number + 1)}, "judge": "flash"}
        labels = {"labels": {"mt_bench": LABEL | change}} if change is not None else {}
        write(point / "result.json", {**content, **labels, "scores": {"mt_bench": interval(5 + number, 0.5, 80)}})
    return read_study(folder)


def test_the_label_is_below_the_table_and_on_the_page(tmp_path: Path):
    study = study_of(tmp_path / "s", {}, {})
    line, cut = label_lines(study)
    assert cut.endswith("cut: mt_bench 4")
    assert line.startswith("mt_bench: judge flash-001, ")
    for part in ("prompt upstream", "first edition", "references gpt-4", "split all", "engine model", "repeats 3"):
        assert part in line
    assert "flash-001" in printed(study)
    assert line in context(study, [])["score_notes"]
    assert mixed_lines(study) == mixed_lines(study, mild=True) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"served": ["flash-002"]}, "judges"),
        ({"judge": "pro", "served": []}, "judges"),
        ({"rubric": "own"}, "judge prompts"),
        ({"edition": {"questions": "second edition"}}, "editions"),
        ({"references": "gpt-4-0125-preview"}, "references"),
        ({"split": "test"}, "splits"),
        ({"subset": 0.25}, "splits"),
    ],
)
def test_mixed_labels_are_flagged_and_no_best_is_marked(tmp_path: Path, change: dict[str, Any], kind: str):
    study = study_of(tmp_path / "s", {}, {}, change)
    (line,) = mixed_lines(study)
    assert line.startswith(f"mixed {kind} in mt_bench (")
    assert ": 2 points, " in line
    assert is_mixed(study, "mt_bench")
    assert best_point(study) is None
    shown = printed(study, colour=True)
    assert f"\x1b[31mmixed {kind}" in shown
    assert "\x1b[1m7" not in shown
    assert "\x1b[1m7" in printed(study_of(tmp_path / "equal", {}, {}, {}), colour=True)
    assert line in context(study, [])["score_notes"]


def test_mixed_engines_are_flagged_as_milder(tmp_path: Path):
    study = study_of(tmp_path / "s", {}, {"engine": "server"})
    assert mixed_lines(study) == []
    (line,) = mixed_lines(study, mild=True)
    assert line.startswith("mixed engines in mt_bench (model: 1 point, server: 1 point)")
    assert "\x1b[33mmixed engines" in printed(study, colour=True)


def test_a_judge_without_a_served_name_is_compared_by_the_name_that_was_asked(tmp_path: Path):
    assert not is_mixed(study_of(tmp_path / "s", {}, {"served": []}), "mt_bench")


def test_imported_rows_are_flagged_and_do_not_compete(tmp_path: Path):
    study = study_of(tmp_path / "s", {}, {}, {"judge": "gpt-4", "served": []}, roles=("base", "trained", "imported"))
    assert mixed_lines(study)
    assert not is_mixed(study, "mt_bench")


@pytest.mark.parametrize(
    ("command", "split", "told"),
    [
        ("python launch.py -m hydra/sweeper=optuna objective=mt_bench/turn_1 beta=0.1", "all", True),
        ("python launch.py -m hydra/sweeper=optuna objective=mt_bench", "dev", False),
        ("python launch.py -m hydra/sweeper=optuna", "test", True),
        ("python launch.py -m beta=0.1", "all", False),
    ],
)
def test_scores_that_a_search_has_selected_on_are_named(tmp_path: Path, command: str, split: str, told: bool):
    study = study_of(tmp_path / "s", {"split": split}, {"split": split})
    (tmp_path / "s" / "commands.jsonl").write_text(json.dumps({"command": command}) + "\n")
    assert any("also selected on" in line and f"bench.split={split}" in line for line in label_lines(study)) is told
