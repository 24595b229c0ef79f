"""Imported answers and judgments at the function boundary."""

import pytest

from mmdpo.config.choices import Split
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.importing import NOT_ANSWERED, judge_answered, read_foreign_answers, replay, score_items
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.task import load_task
from tests.support.bench_foreign import (
    ScriptedJudge,
    add_foreign_tasks,
    answer_rows,
    judgment_rows,
    write_foreign_bench,
    write_lines,
)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    add_foreign_tasks(tmp_path / "tasks", monkeypatch)
    root = write_foreign_bench(tmp_path / "bench")
    return BenchConfig(name="b", tasks=["quiz"], root=str(root), split=Split.all, resamples=20)


def read(tmp_path, bench, rows, task="quiz"):
    return read_foreign_answers(task, write_lines(tmp_path / "answers.jsonl", rows), bench)


def test_replayed_judgments_are_verified_and_scored(tmp_path, bench):
    answers = read(tmp_path, bench, answer_rows())
    replayed = replay(answers, [write_lines(tmp_path / "judgments.jsonl", judgment_rows())], bench)
    assert (replayed.judge, replayed.is_verified, replayed.verification) == ("old-judge", True, "12 of 12")
    scores = score_items(answers.samples, replayed.judgments, bench, "old-judge", {})
    assert scores.scores["quiz"].value == scores.upstream["quiz"] == 7
    assert scores.scores["quiz/turn_2"].n == 6


def test_judgments_of_other_answers_are_unverified(tmp_path, bench):
    rows = [*judgment_rows()[:2], *judgment_rows(answer="Other {}.")[2:]]
    replayed = replay(read(tmp_path, bench, answer_rows()), [write_lines(tmp_path / "j.jsonl", rows)], bench)
    assert (replayed.is_verified, replayed.verification) == (False, "unverified: 2 of 12 match")


def test_judgments_without_requests_cannot_be_verified(tmp_path, bench):
    rows = [{**row, "user_prompt": None} for row in judgment_rows()]
    replayed = replay(read(tmp_path, bench, answer_rows()), [write_lines(tmp_path / "j.jsonl", rows)], bench)
    assert replayed.is_verified is None
    assert "not verifiable" in replayed.verification


def test_the_model_of_the_answers_chooses_its_judgments(tmp_path, bench):
    rows = [*judgment_rows("[[2]]", "another"), *judgment_rows()]
    replayed = replay(read(tmp_path, bench, answer_rows()), [write_lines(tmp_path / "j.jsonl", rows)], bench)
    assert {one.score for one in replayed.judgments} == {7.0}


def test_several_files_are_repeated_judgments(tmp_path, bench):
    files = [write_lines(tmp_path / f"{n}.jsonl", judgment_rows(f"[[{n}]]")) for n in (4, 5, 9)]
    replayed = replay(read(tmp_path, bench, answer_rows()), files, bench)
    assert (replayed.repeats, replayed.verification) == (3, "36 of 36")
    assert {one.score for one in replayed.judgments} == {6.0}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (judgment_rows(model="another"), "0 of 0"),
        ([{**row, "question_id": row["question_id"] + 5} for row in judgment_rows()], "1 of 6"),
        (judgment_rows("none"), "none of 12"),
    ],
)
def test_judgments_of_nothing_that_was_answered_are_refused(tmp_path, bench, rows, said):
    answers = read(tmp_path, bench, answer_rows())
    with pytest.raises(UserError, match=said):
        replay(answers, [write_lines(tmp_path / "j.jsonl", rows)], bench)


def test_rows_are_counted(tmp_path, bench):
    rows = [
        *answer_rows(5),
        {"question_id": 1, "text": "It is 1, again."},
        {"question_id": 2, "text": "$ERROR$"},  # an answer stands above
        {"question_id": 6, "text": "Failed to obtain answer via API."},
        {"question_id": 98, "text": "What?"},
        {"question_id": 99, "text": "What?", "question": "Question 99?"},
    ]
    answers = read(tmp_path, bench, rows)
    counts = vars(answers.counts)
    assert counts == {"questions": 6, "answered": 5, "repeated": 2, "failed": 1, "unknown": 1, "changed": 1}
    assert answers.responses[0].answer == "It is 1, again."
    assert "5 of 6" in answers.counts.text()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{**row, "question_id": row["question_id"] + 4} for row in answer_rows()], "2 of 6"),
        ([{**row, "question_id": row["question_id"] + 9} for row in answer_rows()], "0 of 6"),
        ([{**row, "prompt": "<image>\nSomething else?"} for row in answer_rows()], "6 rows ask another"),
        ([*answer_rows(3), *answer_rows(6, "other-model")[3:]], "old-model, other-model"),
    ],
)
def test_answers_to_other_questions_or_of_several_models_are_refused(tmp_path, bench, rows, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, bench, rows)


def test_questions_with_a_mark_and_further_lines_are_the_same(tmp_path, bench):
    rows = [
        {**row, "prompt": f"<image>\nQuestion {n}: say  {n}.\nIn a word."} for n, row in enumerate(answer_rows(), 1)
    ]
    assert read(tmp_path, bench, rows).counts.changed == 0


def test_missing_answers_are_unscored_in_every_part(tmp_path, bench):
    answers = read(tmp_path, bench, answer_rows(4))
    judge = ScriptedJudge()
    judgments = judge_answered(answers.samples, answers.responses, judge, bench)
    assert {request.sample for request in judge.asked} == {"1", "2", "3", "4"}
    assert len(judgments) == 12
    assert {one.id for one in judgments if one.reason == NOT_ANSWERED} == {
        "5/turn_1",
        "5/turn_2",
        "6/turn_1",
        "6/turn_2",
    }
    scores = score_items(answers.samples, judgments, bench, "", {})
    assert (scores.scores["quiz"].n, scores.scores["quiz"].unscored, scores.upstream["quiz"]) == (8, 4, 5)


def test_a_question_with_a_missing_copy_is_unscored(tmp_path, bench):
    rows = [{"question_id": n, "text": str(n)} for n in (1, 2, 3)]  # all of the first question, half of the second
    answers = read(tmp_path, bench, rows, "copies")
    judgments = judge_answered(answers.samples, answers.responses, ReplayJudge([]), bench)
    assert sorted((one.cluster, one.score) for one in judgments if one.score is not None) == [("Copied 1", 1.0)]
    assert len(judgments) == 3
    scores = score_items(answers.samples, judgments, bench, "", {})
    assert (scores.scores["copies"].unscored, scores.upstream["copies"]) == (2, 1)


def test_what_a_task_writes_is_read_again(tmp_path, bench):
    answers = read(tmp_path, bench, answer_rows())
    upstream = load_task("quiz").upstream
    items = list(zip(answers.samples.prompts, answers.responses, strict=True))
    (path,) = upstream.write_answers(tmp_path, items, "again")
    again = read_foreign_answers("quiz", path, bench)
    assert (again.responses, again.model) == (answers.responses, "again")


def test_tasks_that_no_other_program_has_are_refused(tmp_path, bench):
    with pytest.raises(UserError, match="text: no other program"):
        read(tmp_path, bench, answer_rows(), "text")
