"""Paired differences of metrics that are no mean over items."""

from pathlib import Path

import pytest
from rich.console import Console

from mmdpo.analysis.compare import compare, comparison_table
from mmdpo.analysis.metric_differences import serving_parts
from mmdpo.evaluation.task import load_task
from tests.support.studies import write, write_answers


def point(folder: Path, said_no: list[float]) -> Path:
    """Answers to three questions of AMBER whose right answer is no, and one caption with two of four mentions wrong."""
    folder.mkdir()
    write(folder / "result.json", {"judge": None, "scores": {}})
    nothing = dict.fromkeys(load_task("amber").main.columns, 0.0)
    items = [
        {"id": str(n), "score": said, "parts": {**nothing, "right": said, "all_said_no": said, "all_is_no": 1.0}}
        for n, said in enumerate(said_no)
    ]
    caption = {**nothing, "all_caption": 1.0, "all_mentions": 4.0, "all_wrong_mentions": 2.0, "hallucinated": 1.0}
    items.append({"id": "caption", "score": 0.0, "parts": caption})
    write_answers(folder, "amber", [{"question": "?", "answer": "", "words": 1, **item} for item in items])
    return folder


def test_the_main_metric_is_compared_as_a_whole_and_its_columns_are_not_shown(tmp_path: Path) -> None:
    """F1 is 1/2 and 4/5: AMBER's scores are (50 + 50) / 2 and (50 + 80) / 2."""
    a, b = point(tmp_path / "a", [1.0, 0.0, 0.0]), point(tmp_path / "b", [1.0, 1.0, 0.0])
    comparison = compare(a, b)
    first = comparison.differences[0]
    assert (first.part, first.n, first.wins) == ("amber", 4, None)
    assert first.mean == pytest.approx(15)
    assert first.low <= 15 <= first.high
    assert [one.part for one in comparison.differences] == ["amber", "score", "right", "hallucinated", "words"]
    console = Console(width=100)
    with console.capture() as shown:
        console.print(comparison_table(comparison))
    assert "+15.00" in shown.get()


def test_parts_that_a_metric_shows_alone_are_kept() -> None:
    assert serving_parts(load_task("presence")) == {"is_yes"}
    assert serving_parts(None) == set()
