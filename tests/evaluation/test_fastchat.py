"""FastChat's files, with the oddities that real ones have."""

import json

import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.fastchat import ERROR, answer_writer, read_answers, read_judgments, read_questions
from mmdpo.evaluation.task import TURNS, Response
from mmdpo.records import Turn
from tests.support.bench_mt_bench import answer_row, judgment_row, write_lines, write_mt_bench


@pytest.fixture
def bench(tmp_path):
    return BenchConfig(tasks=["mt_bench"], root=str(write_mt_bench(tmp_path)))


@pytest.fixture
def prompts(bench):
    return read_questions(bench)


def test_questions_have_references_where_the_category_needs_one(prompts):
    assert [(one.id, one.question, one.category) for one in prompts] == [
        ("81", "What is 0?", "writing"),
        ("82", "What is 1?", "math"),
        ("83", "What is 2?", "stem"),
    ]
    assert prompts[0].facts == {TURNS: ["What is 0?", "Why {0}?"]}
    assert prompts[1].facts["references"] == ["It is.", "Thus."]


def test_other_references_are_another_file(bench, tmp_path):
    bench.references = "mine"
    with pytest.raises(UserError, match=r"mine\.jsonl.*bench\.files\.mt_bench_references"):
        read_questions(bench)
    folder = tmp_path / "mt_bench" / "reference_answer"
    write_lines(folder / "mine.jsonl", [answer_row(82, "me", "Right.", "Also.")])
    assert read_questions(bench)[1].facts["references"] == ["Right.", "Also."]
    write_lines(folder / "mine.jsonl", [answer_row(81, "me", "Right.", "Also.")])
    with pytest.raises(UserError, match=r"bench\.references=mine.*question 82"):
        read_questions(bench)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"question_id": 81, "category": "writing", "turns": ["a", "b"]}, "question 81 is there twice"),
        ({"question_id": 84, "category": "writing", "turns": ["a"]}, "question 84: 1 turns"),
        ({"question_id": 84, "category": "writing", "turns": ["a", None]}, "question 84: 2 turns"),
        ({"question_id": 84, "category": "writing"}, "turns"),
    ],
)
def test_odd_questions_are_refused(row, named, bench, tmp_path):
    with (tmp_path / "mt_bench" / "question.jsonl").open("a") as file:
        file.write(json.dumps(row))
    with pytest.raises(UserError, match=rf"bench\.files\.mt_bench_questions.*{named}"):
        read_questions(bench)


def test_written_answers_are_read_again_and_do_not_change(bench, prompts, tmp_path):
    responses = [
        Response(prompt.id, prompt.question, f"Two\n{prompt.id}", prompt.category, (Turn(prompt.question, "Ünö"),))
        for prompt in prompts
    ]
    items = list(zip(prompts, responses, strict=True))
    write = answer_writer("mt_bench")
    (path,) = write(tmp_path / "out", items, "org/model")
    assert path == tmp_path / "out" / "mt_bench" / "org_model.jsonl"
    text = path.read_bytes()
    assert write(tmp_path / "out", items, "org/model") == [path]
    assert path.read_bytes() == text
    row = json.loads(text.splitlines()[0])
    assert (row["question_id"], row["model_id"], len(row["answer_id"])) == (81, "org/model", 22)
    assert row["choices"] == [{"index": 0, "turns": ["Ünö", "Two\n81"]}]
    assert read_answers(path, prompts, bench) == responses


def test_the_last_of_several_answers_counts_and_error_texts_are_answers(bench, prompts, tmp_path):
    rows = [
        answer_row(82, "m", "ERROR", ERROR),
        answer_row(81, "m", "old", "old"),
        answer_row(81, "m", "new", "newer"),
        answer_row(999, "m", "other", "question"),
    ]
    found = read_answers(write_lines(tmp_path / "a.jsonl", rows), prompts, bench)
    assert [(one.id, one.answers) for one in found] == [("81", ("new", "newer")), ("82", ("ERROR", ERROR))]


@pytest.mark.parametrize("turns", [(), ("one",)])
def test_answers_without_two_turns_are_refused(turns, bench, prompts, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [answer_row(81, "m", *turns)])
    with pytest.raises(UserError, match=f"question 81: {len(turns)} turns"):
        read_answers(path, prompts, bench)


def test_judgments_of_other_models_are_left_out(prompts, tmp_path):
    rows = [judgment_row(81, 1, 7), judgment_row(81, 1, 3, model="n"), judgment_row(999, 1, 3)]
    path = write_lines(tmp_path / "j.jsonl", rows)
    (reply,) = read_judgments(path, prompts, "m")
    assert (reply.sample, reply.part, reply.text, reply.value) == ("81", "turn_1", "Rating: [[7]]", 7)
    assert (reply.request, reply.judge) == ("Rate it.", "gpt-4")
    for model in ("", "o"):
        with pytest.raises(UserError, match="models m, n"):
            read_judgments(path, prompts, model)
    only = write_lines(tmp_path / "k.jsonl", rows[:1])
    assert len(read_judgments(only, prompts, "renamed")) == 1


def test_failures_have_no_text_and_repeated_rows_stay(prompts, tmp_path):
    rows = [judgment_row(81, 1, -1, ERROR), judgment_row(81, 1, 6), judgment_row(82, 2, -1, "No number.")]
    found = read_judgments(write_lines(tmp_path / "j.jsonl", rows), prompts, "m")
    assert [(one.text, one.value) for one in found] == [(None, None), ("Rating: [[6]]", 6), ("No number.", -1)]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"question_id": 81, "model_1": "m", "g1_judgment": "A"}], "g1_judgment"),
        ([judgment_row(81, 1, "high")], "'high'"),
        ([judgment_row(81, 3, 5)], "turn 3"),
        ([judgment_row(81, 1, 5), judgment_row(81, 2, 5, judge=["other", "single-v1"])], "gpt-4, other"),
    ],
)
def test_other_judgments_are_refused(rows, named, prompts, tmp_path):
    with pytest.raises(UserError, match=named):
        read_judgments(write_lines(tmp_path / "j.jsonl", rows), prompts, "m")
