"""The audit of a study's judgments, with made-up judges whose biases are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis.audit.judgments import audit_study
from mmdpo.analysis.audit.write import audit_frames, refresh_study_audit
from mmdpo.analysis.study import read_study
from mmdpo.files import read_json, write_json
from tests.support.studies import make_study

ITEMS = 80
Change = Callable[[dict[str, Any], Random], dict[str, Any]]


def rewrite(study: Path, benchmark: str, change: Change) -> None:
    """Replace the judgments of a benchmark, and name it in results that do not have it."""
    for number, folder in enumerate(sorted(path.parent for path in study.glob("*/result.json"))):
        random = Random(number)
        rows = [json.loads(line) for line in (folder / "judgments" / "text.jsonl").read_text().splitlines()]
        made = [change(row, random) for row in rows]
        path = folder / "judgments" / f"{benchmark}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in made))
        result = read_json(folder / "result.json")
        result["scores"][benchmark] = result["scores"]["text"]
        write_json(folder / "result.json", result)


def study_of(tmp_path: Path) -> Path:
    return make_study(tmp_path / "nano", [{"beta": 0.1}, {"beta": 0.2}], n=ITEMS)


def test_distributions_count_unscored_items_and_the_ends_of_the_scale(tmp_path: Path) -> None:
    folder = study_of(tmp_path)

    def change(row: dict[str, Any], random: Random) -> dict[str, Any]:
        number = int(row["id"].rpartition("-")[2])
        return row | ({"score": None, "reason": "blocked"} if number < 2 else {"score": 10.0 if number < 41 else 1.0})

    rewrite(folder, "text", change)
    audit = audit_study(read_study(folder))
    row = audit_frames(audit)["benchmarks"].set_index("benchmark").loc["text"]
    assert (row["points"], row["n"], row["unscored"]) == (4, 4 * 78, 8)
    assert (row["highest"], row["lowest"]) == (0.5, 0.5)
    assert "unscored in text: 8 (8 blocked)" in audit.lines
    assert len(audit_frames(audit)["points"]) == 3 * 4
    assert [line for line in audit.lines if "4 points are missing in presence" in line]  # it has scores alone


@pytest.mark.parametrize(("weight", "claimed"), [(0.5, True), (0.0, False)])
def test_a_judge_that_likes_long_answers_is_found(tmp_path: Path, weight: float, claimed: bool) -> None:
    def change(row: dict[str, Any], random: Random) -> dict[str, Any]:
        words = random.randrange(3, 60)
        return row | {"words": words, "score": 5 + weight * words / 15 + random.gauss(0, 1)}

    folder = study_of(tmp_path)
    rewrite(folder, "text", change)
    found = next(one for one in audit_study(read_study(folder)).findings if one.name.startswith("text,"))
    assert (found.p_corrected <= 0.05) is claimed


@pytest.mark.parametrize(("bias", "claimed"), [(0.3, True), (0.0, False)])
def test_a_judge_that_likes_the_first_place_is_found(tmp_path: Path, bias: float, claimed: bool) -> None:
    def change(row: dict[str, Any], random: Random) -> dict[str, Any]:
        merit = random.random()
        places = {"0/first": 1.0 + (merit + bias > 0.5), "0/second": 1.0 + (merit > 0.5)}
        again = {"1/first": places["0/first"]}
        return row | {"score": 100 * (sum(places.values()) / 2 - 1), "words": 5, "upstream": places | again}

    folder = study_of(tmp_path)
    rewrite(folder, "alpaca_eval", change)
    audit = audit_study(read_study(folder))
    found = [one for one in audit.findings if "both orders" in one.name]
    assert [one.p_corrected <= 0.05 for one in found] == ([True] if claimed else [False])
    frames = audit_frames(audit)
    changed = frames["order"].set_index("benchmark").loc["alpaca_eval", "verdict changes with the order"]
    assert changed == pytest.approx(bias, abs=0.08)
    repeated = frames["repeats"].set_index("benchmark")
    assert repeated.loc["alpaca_eval, answer first", ["repeats", "equal", "alpha"]].tolist() == [2, 1.0, 1.0]


def test_failed_replies_are_no_ratings(tmp_path: Path) -> None:
    def change(row: dict[str, Any], random: Random) -> dict[str, Any]:
        first = float(random.randrange(1, 11))
        second = -1.0 if row["id"].endswith("-0") else first
        return row | {"score": first, "upstream": {"row_0": first, "row_1": second}}

    folder = study_of(tmp_path)
    rewrite(folder, "mt_bench", change)
    row = audit_frames(audit_study(read_study(folder)))["repeats"].set_index("benchmark").loc["mt_bench"]
    assert (row["n"], row["equal"]) == (4 * (ITEMS - 1), 1.0)


def test_the_command_draws_and_the_report_refreshes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study_of(tmp_path)
    assert main(["audit", str(folder)]) == 0
    assert "Scores of single items" in capsys.readouterr().out
    written = {path.name: path.read_bytes() for path in (folder / "audit").iterdir()}
    assert {"audit.json", "audit.md", "judgments.png", "judgments.pdf"} < set(written)
    assert "audit.md" in refresh_study_audit(read_study(folder))
    assert {path.name: path.read_bytes() for path in (folder / "audit").iterdir()} == written
    rewrite(folder, "text", lambda row, random: row | {"score": 10.0})
    refresh_study_audit(read_study(folder))
    assert not (folder / "audit" / "judgments.png").exists()  # it showed other judgments
    assert b"judgments.png" not in (folder / "audit" / "audit.md").read_bytes()


def test_a_study_without_scores_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study_of(tmp_path)
    for path in folder.glob("*/result.json"):
        path.unlink()
    assert main(["audit", str(folder)]) == 2
    assert "status" in capsys.readouterr().err
    assert refresh_study_audit(read_study(folder)) == ""
