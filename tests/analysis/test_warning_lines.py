"""Warnings for points below the base, and for chosen answers below the reference."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.html import write_html
from mmdpo.analysis.study import read_study
from mmdpo.analysis.warning_lines import CHOSEN_BELOW, chosen_below_reference, warning_lines, warnings_of
from mmdpo.files import read_json
from tests.support.studies import make_point, write

MODEL: dict[str, Any] = {"model": {"path": "same"}}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_point(tmp_path, {"data_scale": 0.0}, role="base", n=60, gain=0.0, config=MODEL)


def log(folder: Path, shares: list[float]) -> None:
    lines = [json.dumps({"step": step, CHOSEN_BELOW: share}) for step, share in enumerate(shares, 1)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def test_a_point_below_the_base_is_named_with_its_interval(tmp_path: Path, base: Path) -> None:
    worse = make_point(tmp_path, {"beta": 0.1}, n=60, gain=-0.8, config=MODEL)
    better = make_point(tmp_path, {"beta": 0.2}, n=60, gain=0.8, config=MODEL)
    same = make_point(tmp_path, {"beta": 0.3}, n=60, gain=0.0, config=MODEL)
    (line,) = warning_lines(read_study(tmp_path))
    assert line.startswith("warning  beta 0.1: worse than the base")
    assert re.findall(r"(\w+) by \d\.\d\d \[\d\.\d\d, \d\.\d\d\] \(n = 60\)", line) == ["text", "visual", "text_noisy"]
    assert len(warnings_of(worse, base)) == 1
    assert warnings_of(better, base) == warnings_of(same, base) == []
    write_html(read_study(tmp_path), [], tmp_path / "report.html")
    assert "beta 0.1: worse than the base" in (tmp_path / "report.html").read_text()


def test_a_base_of_another_measurement_is_not_compared(tmp_path: Path, base: Path) -> None:
    make_point(tmp_path, {"beta": 0.1}, n=60, gain=-0.8, config={**MODEL, "bench": {"split": "dev"}})
    other = make_point(tmp_path, {"beta": 0.2}, n=60, gain=-0.8)
    content = read_json(other / "result.json")
    write(other / "result.json", content | {"fingerprints": {"model": "another"}})
    assert warning_lines(read_study(tmp_path)) == []


@pytest.mark.parametrize(
    ("shares", "warned"),
    [
        ([0.0, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.2, 0.1], False),  # as in good points; the first third does not count
        ([0.0, 0.2, 0.4, 0.4, 0.4, 0.5, 0.5, 0.5, 0.5], True),
        ([], False),
    ],
)
def test_chosen_answers_below_the_reference_are_named(
    tmp_path: Path, base: Path, shares: list[float], warned: bool
) -> None:
    point = make_point(tmp_path, {"beta": 0.1}, gain=0.4, state="running", config=MODEL)
    log(point, shares)
    found = warnings_of(point, base)
    assert len(found) == warned
    assert all("a smaller lr=" in line for line in found)
    assert len(warning_lines(read_study(tmp_path))) == warned


def test_steps_on_the_weights_of_the_start_do_not_count(tmp_path: Path) -> None:
    """The second step is the first with a learning rate; its loss is still that of the start."""
    entries = [(1, 0.0, 0.9), (2, 1e-4, 0.5), (3, 1e-4, 0.1), (4, 1e-4, 0.2)]
    lines = [json.dumps({"step": step, "learning_rate": lr, CHOSEN_BELOW: share}) for step, lr, share in entries]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert chosen_below_reference(tmp_path) == pytest.approx(0.15)
    assert chosen_below_reference(tmp_path, last_step=3) == 0.1
    assert chosen_below_reference(tmp_path, last_step=2) is None


def test_a_training_of_a_few_steps_is_named(tmp_path: Path, base: Path) -> None:
    make_point(tmp_path, {"beta": 0.1}, gain=0.4, steps=3, config=MODEL)
    make_point(tmp_path, {"beta": 0.2}, gain=0.4, steps=5, config=MODEL)
    (line,) = warning_lines(read_study(tmp_path))
    assert line.startswith("warning  beta 0.1: trained for only 3 steps; for more, type train.num_train_epochs=")


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "answers/text.jsonl", "judgments/text.jsonl"])
def test_damaged_files_give_no_warning_and_no_error(tmp_path: Path, base: Path, name: str) -> None:
    point = make_point(tmp_path, {"beta": 0.1}, n=8, gain=-0.8, config=MODEL)
    (point / name).write_text('{"step": 1}\n[1]\n{"id"')
    (base / name).parent.mkdir(exist_ok=True)
    (base / name).write_text("\0")
    warnings_of(point, base)
    warning_lines(read_study(tmp_path))
