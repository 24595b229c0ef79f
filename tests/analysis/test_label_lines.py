"""Labels of scores below the table; and mixtures, which are flagged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.comparable import comparable_parts
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
    assert mixed_lines(study) == []
    assert [part.heading for part in comparable_parts(study)] == [""]


@pytest.mark.parametrize(
    ("change", "heading"),
    [
        ({"served": ["flash-002"]}, "judge flash-002"),
        ({"judge": "pro", "served": []}, "judge pro"),
        ({"rubric": "own"}, "rubric own"),
        ({"edition": {"questions": "second edition"}}, "edition second edition"),
        ({"references": "gpt-4-0125-preview"}, "references gpt-4-0125-preview"),
        ({"split": "test"}, "split test"),
        ({"subset": 0.25}, "split all share 0.25"),
        ({"repeats": 1}, "repeats 1"),
    ],
)
def test_scores_of_other_labels_have_a_table_of_their_own(tmp_path: Path, change: dict[str, Any], heading: str):
    study = study_of(tmp_path / "s", {}, {}, change)
    headings = [part.heading for part in comparable_parts(study)]
    assert len(headings) == 2
    assert headings[1] == f"mt_bench: {heading}"
    assert is_mixed(study, "mt_bench")
    assert best_point(study) is None
    shown = printed(study, colour=True)
    assert f"mt_bench: {heading}" in shown
    assert "\x1b[1m6" in shown  # the best of the two that can be compared
    assert "\x1b[1m7" not in shown
    assert "\x1b[1m7" in printed(study_of(tmp_path / "equal", {}, {}, {}), colour=True)


@pytest.mark.parametrize(("key", "value"), [("max_new_tokens", 64), ("seed", 1), ("judge", {"temperature": 1.0})])
def test_settings_that_change_what_is_measured_count_as_labels(tmp_path: Path, key: str, value: Any):
    for number, bench in enumerate([{}, {key: value}]):
        config = {"bench": {"judge": {"temperature": 0.0}, **bench}}
        point = make_point(tmp_path / "s", {"beta": 0.1 * (number + 1)}, config=config)
        write(point / "result.json", {"labels": {"mt_bench": LABEL}, "scores": {"mt_bench": interval(5, 0.5, 80)}})
    assert len(comparable_parts(read_study(tmp_path / "s"))) == 2


def test_mixed_engines_are_flagged_as_milder(tmp_path: Path):
    study = study_of(tmp_path / "s", {}, {"engine": "server"})
    (line,) = mixed_lines(study)
    assert line.startswith("mixed engines in mt_bench (model: 1 point, server: 1 point)")
    assert "\x1b[33mmixed engines" in printed(study, colour=True)
    assert len(comparable_parts(study)) == 1


def test_a_judge_without_a_served_name_is_compared_by_the_name_that_was_asked(tmp_path: Path):
    assert not is_mixed(study_of(tmp_path / "s", {}, {"served": []}), "mt_bench")


def test_imported_rows_stand_apart_and_do_not_compete(tmp_path: Path):
    study = study_of(tmp_path / "s", {}, {}, {"judge": "gpt-4", "served": []}, roles=("base", "trained", "imported"))
    assert len(comparable_parts(study)) == 2
    assert not is_mixed(study, "mt_bench")


OPTUNA = "hydra_plugins.mmdpo.optuna_sweeper.OptunaSweeper"
EARLIER = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"  # until version 0.2


@pytest.mark.parametrize(
    ("command", "sweeper", "split", "told"),
    [
        ("python launch.py -m hydra/sweeper=optuna objective=mt_bench/turn_1 beta=0.1", "", "all", True),
        ("python launch.py -m hydra/sweeper=optuna objective=mt_bench", "", "dev", True),
        ("python launch.py -m hydra/sweeper=optuna", "", "test", True),
        ("python launch.py -m hydra/sweeper=optuna objective=visual,mt_bench", "", "dev", True),
        ("python launch.py -m sweep=own", OPTUNA, "test", True),  # a file of sweeps chose the sweeper
        ("python launch.py -m sweep=own", EARLIER, "test", True),
        ("python launch.py -m beta=0.1", "hydra_plugins.mmdpo.sweeper.MmdpoSweeper", "all", False),
        ("python launch.py -m beta=0.1", "", "all", False),
    ],
)
def test_scores_that_a_search_has_selected_on_are_named(
    tmp_path: Path, command: str, sweeper: str, split: str, told: bool
):
    study = study_of(tmp_path / "s", {"split": split}, {"split": split})
    (tmp_path / "s" / "commands.jsonl").write_text(json.dumps({"command": command}) + "\n")
    if sweeper:
        write(tmp_path / "s" / "multirun.yaml", {"hydra": {"sweeper": {"_target_": sweeper}}})
    assert any("also selected on" in line and f"bench.split={split}" in line for line in label_lines(study)) is told
