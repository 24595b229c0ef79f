import json

import pytest

from mmdpo.errors import UserError
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.task import Judgment, Response, load_task
from mmdpo.evaluation.tasks.llava_bench import upstream_scores
from tests.support.bench_llava_bench import CONTEXT, QUESTIONS, REFERENCES, RULES, review, write_llava_bench
from tests.support.bench_pope import write_lines
from tests.support.bench_run import TextJudge, bench_config, run_task

TASK = load_task("llava_bench")


@pytest.fixture
def root(tmp_path):
    return write_llava_bench(tmp_path)


def samples(root):
    return TASK.samples(bench_config("llava_bench", root), root)


def scored(root, tmp_path, judge, **settings):
    bench = bench_config("llava_bench", root, **settings)
    return run_task(bench, tmp_path / "point", lambda prompt: f"to {prompt.question}", judge)


def judgments_of(*scores, category="conv"):
    return [
        Judgment(str(n), None, {}, 1, {"": category}, upstream={"0/reference": first, "0/answer": second})
        for n, (first, second) in enumerate(scores)
    ]


def test_two_reviews_by_hand(root, tmp_path):
    assert upstream_scores(judgments_of((8.0, 10.0), (9.0, 6.5)))[""] == 97.1
    replies = {"0": "8 10\nGood.", "3": "9 6.5"}
    found = scored(root, tmp_path, TextJudge(lambda request: replies.get(request.sample, "10 5")))
    conv = found.scores["llava_bench/conv"]
    assert (conv.value, conv.n) == (pytest.approx(100 * 16.5 / 17), 2)
    assert found.upstream["llava_bench/conv"] == 97.1
    assert (found.upstream["llava_bench/conv/reference"], found.upstream["llava_bench/conv/answer"]) == (85.0, 82.5)
    assert found.scores["llava_bench"].value == pytest.approx(100 * 26.5 / 37)
    assert found.upstream["llava_bench"] == 71.6
    assert found.scores["llava_bench/detail/reference"].value == 10


def test_means_are_rounded_before_they_are_divided():
    scores = [(8.0, 5.0), (8.0, 5.0), (8.5, 4.0)]  # means 8.1667 and 4.6667
    assert upstream_scores(judgments_of(*scores))[""] == round(4.667 / 8.167 * 100, 1)


def test_unreadable_reviews_are_unscored_here_and_minus_one_upstream(root, tmp_path):
    replies = {"0": "8, 9", "1": "Both are fine.", "2": None, "3": "80 9"}
    found = scored(root, tmp_path, TextJudge(lambda request: replies[request.sample]))
    total = found.scores["llava_bench"]
    assert (total.value, total.n, total.unscored) == (112.5, 1, 3)
    assert found.upstream["llava_bench"] == round((9 - 1 - 1) / (80 - 1 - 1) * 100, 1)
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "point/judgments/llava_bench.jsonl").open()]
    assert reasons == ["", "no_two_scores", "refused", "out_of_range"]


def test_runs_are_averaged_as_published(root, tmp_path):
    replies = ["8 8", "8 6"]
    found = scored(root, tmp_path, TextJudge(lambda request: replies[request.repeat]), repeats=2)
    assert [found.upstream[f"llava_bench{name}"] for name in ("", "/run_1", "/run_2")] == [87.5, 100.0, 75.0]
    assert found.scores["llava_bench"].value == 87.5


def test_rows_are_joined_by_id_and_requests_have_the_decoding_of_upstream(root, tmp_path):
    judge = TextJudge(lambda request: "8 8")
    scored(root, tmp_path, judge)
    request = judge.requests[2]
    system, user = request.messages
    assert (system.role, request.temperature, request.max_output_tokens) == ("system", 0.2, 1024)
    assert user.text == (
        "[Context]\nA blue box.\nIt is open.\n\n[Question]\nQuestion 2?\n\n"
        "[Helper 1]\nReference 2.\n\n[End of Helper 1]\n\n[Helper 2]\nto Question 2?\n\n[End of Helper 2]\n\n"
        "[System]\nScore both from 1 to 10.\n\n"
    )


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        ("questions.jsonl", [*QUESTIONS, QUESTIONS[0]], "question_id 0 occurs twice"),
        (
            "questions.jsonl",
            [{**QUESTIONS[0], "category": "maths"}],
            "category 'maths'; allowed: conv, detail, complex",
        ),
        ("context.jsonl", CONTEXT[:1], "question 2: bench.files.llava_bench_context has no entry"),
        ("answers_gpt4.jsonl", REFERENCES[1:], "question 0: bench.files.llava_bench_answers_gpt4 has no entry"),
        (
            "answers_gpt4.jsonl",
            [{**one, "prompt": "Other?"} for one in REFERENCES],
            r"reference answer is to 'Other\?'",
        ),
    ],
)
def test_files_that_do_not_belong_together_are_refused(root, file, rows, message):
    write_lines(root / "llava_bench" / file, rows)
    with pytest.raises(UserError, match=message):
        samples(root)


def test_a_rule_file_without_the_task_is_refused(root):
    rules = {name: rule for name, rule in RULES.items() if name != "llava_bench_detail"}
    (root / "llava_bench/rule.json").write_text(json.dumps(rules))
    with pytest.raises(UserError, match=r"llava_bench_detail lacks .*\+bench.files.llava_bench_rule=PATH"):
        samples(root)


def test_reviews_are_replayed_and_belong_to_answers_by_id(root, tmp_path):
    prompts = samples(root)
    rows = [review(n, f"8 {score}\nText", (8, score)) for n, score in enumerate((8, 8, 8, 4))]
    path = write_lines(tmp_path / "reviews.jsonl", rows)
    replies = TASK.upstream.read_judgments(path, prompts, "")
    found = scored(root, tmp_path, ReplayJudge(replies))
    assert (found.upstream["llava_bench"], found.upstream["llava_bench/conv"]) == (87.5, 75.0)
    answers = [{"question_id": n, "text": "x", "answer_id": f"own{n}"} for n in range(4)]
    ids = TASK.upstream.answer_ids(write_lines(tmp_path / "answers.jsonl", answers))
    assert {reply.sample: reply.answer_id for reply in replies} == ids
    write_lines(path, [*rows, *rows])  # two runs in one file
    assert [reply.repeat for reply in TASK.upstream.read_judgments(path, prompts, "")] == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([review(0, "8 9", (80, 5))], r"question 0 has scores \[80, 5\]; allowed: two from 1 to 10"),
        ([review(0, "", None)], "question 0 has scores None"),
        ([review(0, "8 9", (8, 9), category="llava_bench_detail")], "files are of other questions"),
        ([review(0, "8 9", (8, 9))] * 2 + [review(1, "8 9", (8, 9))], "question 0 has 2 reviews and 1 has 1"),
        ([review(77, "8 9", (8, 9))], "no review belongs to a question"),
    ],
)
def test_reviews_of_something_else_are_refused(root, tmp_path, rows, message):
    path = write_lines(tmp_path / "reviews.jsonl", rows)
    with pytest.raises(UserError, match=message):
        TASK.upstream.read_judgments(path, samples(root), "")


def test_scores_that_are_not_those_of_the_review_count_and_are_said(root, tmp_path, capsys):
    rows = [review(0, "8, 9", (8, 9)), review(1, "", (-1, -1)), review(2, "8 8", (8, 8)), review(3, "8 8", (8, 7))]
    path = write_lines(tmp_path / "reviews.jsonl", rows)
    judge = ReplayJudge(TASK.upstream.read_judgments(path, samples(root), ""))
    assert "2 of 4 scores" in " ".join(capsys.readouterr().out.split())
    found = scored(root, tmp_path, judge)
    assert found.upstream["llava_bench"] == round((9 - 1 + 8 + 7) / (8 - 1 + 8 + 8) * 100, 1)
    assert (found.scores["llava_bench"].value, found.scores["llava_bench"].unscored) == (100.0, 1)


def test_answers_are_written_and_read_in_llavas_format(root, tmp_path):
    prompts = samples(root)
    items = [(one, Response(one.id, one.question, f"A {one.id}", one.category)) for one in prompts]
    (path,) = TASK.upstream.write_answers(tmp_path, items, "m")
    assert [json.loads(line)["question_id"] for line in path.read_text().splitlines()] == [0, 1, 2, 3]
    assert TASK.upstream.read_answers(path, prompts, bench_config("llava_bench", root)) == [one for _, one in items]
    assert TASK.upstream.answer_ids(path).keys() == {"0", "1", "2", "3"}
