"""The items of a point, in today's form and in that of earlier versions."""

import json
from pathlib import Path

from mmdpo.analysis.compare import compare
from mmdpo.analysis.html_examples import examples
from mmdpo.analysis.items import read_items
from mmdpo.analysis.selection import select
from mmdpo.analysis.study import read_study
from tests.support.studies import make_point, write

OLD = [  # as the previous version wrote them
    {
        "answer": "Hugo sees the small bird.",
        "category": "writing",
        "distance": "far",
        "id": "text-test-00001",
        "parts": {"coherence": 4.0, "correctness": 4.0, "helpfulness": 4.0},
        "question": "Write a sentence about Hugo.",
        "score": 10.0,
        "words": 5,
    },
    {
        "answer": "7",
        "category": "math",
        "distance": "near",
        "id": "text-test-00002",
        "parts": {"coherence": 2.0, "correctness": 0.0, "helpfulness": 0.0},
        "question": "What is 3 plus 5?",
        "score": 2.5,
        "words": 1,
    },
]


def old_point(folder: Path, name: str, axes: dict, rows: list[dict], role: str = "trained") -> Path:
    """A finished point of the previous version, with judgments in its answers."""
    point = make_point(folder, axes, role=role)
    for path in (*point.glob("answers/*"), *point.glob("judgments/*")):
        path.unlink()
    (point / "judgments").rmdir()
    (point / "answers" / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return point


def test_answers_and_judgments_by_benchmark_and_item(tmp_path: Path):
    items = read_items(make_point(tmp_path, {}, n=3))
    assert set(items) == {"text", "visual", "text_noisy"}
    assert set(items["text"]) == {"text-0", "text-1", "text-2"}
    item = items["text"]["text-0"]
    assert item["question"].startswith("Made-up question 0")
    assert item["answer"].startswith("made-up")
    assert 1 <= item["score"] <= 10
    assert set(item["parts"]) == {"correctness", "helpfulness", "coherence"}


def test_answers_that_were_not_judged_have_no_score(tmp_path: Path):
    point = make_point(tmp_path, {}, n=3)
    (point / "judgments" / "text.jsonl").unlink()
    items = read_items(point)
    assert all("score" not in item and item["answer"] for item in items["text"].values())
    assert all("score" in item for item in items["visual"].values())


def test_a_torn_line_loses_its_item_alone(tmp_path: Path):
    point = make_point(tmp_path, {}, n=3)
    path = point / "judgments" / "text.jsonl"
    path.write_text(path.read_text()[:-20])
    assert ["score" in item for item in read_items(point)["text"].values()] == [True, True, False]
    assert read_items(tmp_path / "absent") == {}


def test_parts_of_an_answer_are_items_with_its_text(tmp_path: Path):
    point = make_point(tmp_path, {}, n=2)
    path = point / "judgments" / "text.jsonl"
    rows = [{"id": f"text-0/turn_{turn}", "score": turn, "parts": {}} for turn in (1, 2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "unknown/turn_1", "score": 3}]))
    items = read_items(point)["text"]
    assert {key: item.get("score") for key, item in items.items()} == {
        "text-0/turn_1": 1,
        "text-0/turn_2": 2,
        "text-1": None,
    }
    assert items["text-0/turn_2"]["answer"].startswith("made-up")


def test_the_previous_versions_form_is_read(tmp_path: Path):
    items = read_items(old_point(tmp_path, "a", {}, OLD))
    assert items["text"] == {row["id"]: row for row in OLD}


def test_points_of_the_previous_version_are_compared_with_todays(tmp_path: Path):
    old = old_point(tmp_path, "old", {"beta": 0.1}, OLD)
    new = make_point(tmp_path, {"beta": 0.3})
    for path in new.glob("*/*.jsonl"):
        path.unlink()
    answers = [{key: row[key] for key in ("id", "question", "answer", "category")} for row in OLD]
    judgments = [
        {"id": row["id"], "score": 4.0, "parts": row["parts"], "words": row["words"], "cluster": row["id"]}
        for row in OLD
    ]
    for name, rows in (("answers", answers), ("judgments", judgments)):
        (new / name / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    score = compare(select([str(old), str(new)])).results[0].differences[0]
    assert (score.benchmark, score.part, score.estimate.n) == ("text", "", 2)
    assert score.estimate.value == ((4 - 10) + (4 - 2.5)) / 2
    assert (score.wins, score.losses) == (1, 1)


def test_the_report_shows_examples_of_the_previous_version(tmp_path: Path):
    old_point(tmp_path, "base", {"data_scale": 0.0}, [row | {"score": 1.0} for row in OLD], role="base")
    old_point(tmp_path, "old", {}, OLD)
    study = read_study(tmp_path)
    gains, _ = examples(study, study.trained[0], "text")
    assert [(one.id, one.gain, one.category) for one in gains] == [
        ("text-test-00001", 9.0, "writing"),
        ("text-test-00002", 1.5, "math"),
    ]


def test_a_file_of_another_form_hides_nothing(tmp_path: Path):
    point = make_point(tmp_path, {}, n=2)
    write(point / "answers" / "text.json", {"task": "text"})  # a sidecar
    (point / "answers" / "odd.jsonl").write_text("[1, 2]\n3\n")
    assert read_items(point)["odd"] == {}
    assert len(read_items(point)["text"]) == 2
