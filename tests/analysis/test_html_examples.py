"""Single items on the page."""

from pathlib import Path

from mmdpo.analysis.html_examples import best_point, examples
from mmdpo.analysis.study import read_study
from tests.support.studies import make_point, make_study, write_answers


def test_examples_are_the_largest_gains_and_losses(tmp_path: Path):
    base = make_point(tmp_path, {"data_scale": 0.0}, role="base")
    point = make_point(tmp_path, {})

    def answer(index: int, score: float | None) -> dict:
        return {"id": str(index), "question": "?", "answer": "!", "score": score}

    write_answers(base, "text", [answer(i, 5.0) for i in range(10)])
    scores = [5.0, 9.0, 1.0, 6.0, 8.0, 7.0, 4.0, 5.0, None, 5.0]
    write_answers(point, "text", [answer(i, score) for i, score in enumerate(scores)])
    study = read_study(tmp_path)
    gains, losses = examples(study, study.trained[0], "text")
    assert [(example.id, example.gain) for example in gains] == [("1", 4.0), ("4", 3.0), ("5", 2.0)]
    assert [(example.id, example.gain) for example in losses] == [("2", -4.0), ("6", -1.0)]


def test_the_best_point_is_a_trained_one(tmp_path: Path):
    study = read_study(make_study(tmp_path, [{"beta": 0.1}, {"beta": 0.3}]))
    best = best_point(study)
    assert best is not None
    assert best.role == "trained"
    assert best.scores["text"].value == max(row.scores["text"].value for row in study.trained)
