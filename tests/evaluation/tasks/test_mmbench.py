import csv
import json
from dataclasses import replace

import pytest
from openpyxl import load_workbook

from mmdpo.config.choices import Split
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import UNKNOWN, edition_of
from mmdpo.evaluation.importing import judge_answered, read_foreign_answers, score_items
from mmdpo.evaluation.mmbench_file import DEV, TABLE, questions_of_answers
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.selection import select
from mmdpo.evaluation.task import Response, load_task
from tests.support.bench_mmbench import STRIDE, mmbench_row, mmbench_rows, write_mmbench
from tests.support.bench_run import bench_config, run_task
from tests.support.engines import ENGINE

TASK = load_task("mmbench")


def samples(root, folder):
    return TASK.samples(bench_config("mmbench", root), folder)


def test_scores_by_hand(tmp_path):
    """Copies of question 7 are right and right, of question 8 right, wrong and unreadable."""
    write_mmbench(tmp_path)
    replies = {"7": "A", f"{STRIDE + 7}": "The answer is B.", "8": "A", f"{STRIDE + 8}": "C", f"{2 * STRIDE + 8}": "?"}
    scores = run_task(bench_config("mmbench", tmp_path), tmp_path, lambda prompt: replies[prompt.id])
    names = ("mmbench", "mmbench/vanilla", "mmbench/rows", "mmbench/unparsed", "mmbench/category/ocr")
    assert [scores.scores[name].value for name in names] == [0.5, 1, 0.6, 0.2, 0]
    assert scores.scores["mmbench"].n == 2
    assert scores.scores["mmbench/l2_category/AR"].value == 1
    assert {name: scores.upstream[name] for name in ("mmbench", "mmbench/vanilla", "mmbench/l2_category/FP-S")} == {
        "mmbench": 0.5,
        "mmbench/vanilla": 1,
        "mmbench/l2_category/FP-S": 0,
    }


def test_one_prompt_per_row_whose_copies_share_an_image(tmp_path):
    prompts = {prompt.id: prompt for prompt in samples(write_mmbench(tmp_path), tmp_path / "made")}
    assert len(prompts) == 5
    assert prompts["7"].images == prompts[f"{STRIDE + 7}"].images != prompts["8"].images
    assert (tmp_path / "made" / prompts["8"].images[0]).is_file()
    last = prompts[f"{2 * STRIDE + 8}"].question
    assert last == (
        "Look,\nclosely.\nWhat is it?\nA. dog\nB. cat\nC. cup\n"
        "Answer with the option's letter from the given choices directly."
    )


@pytest.mark.parametrize("empty", ["nan", "None", ""])
def test_options_stop_at_the_first_empty_one(tmp_path, empty):
    rows = [mmbench_row(1, "A", hint=empty, B=empty, C="cat")]
    [prompt] = samples(write_mmbench(tmp_path, rows), tmp_path)
    assert prompt.question.split("\n")[:-1] == ["What is it?", "A. cup"]


def test_the_solver_hints_at_letters(tmp_path):
    run_task(bench_config("mmbench", write_mmbench(tmp_path)), tmp_path, lambda prompt: "A")
    assert {request.expected for request in ENGINE.requests} == {("A", "B", "C", "D")}


def test_halves_keep_the_copies_of_a_question_together_and_its_text_apart(tmp_path):
    rows = [mmbench_row(copy * STRIDE + index, "A") for index in range(20) for copy in range(2)]
    prompts = samples(write_mmbench(tmp_path, rows), tmp_path)
    halves = [
        {prompt.id for prompt in select(TASK, prompts, replace(bench_config("mmbench", tmp_path), split=split))}
        for split in (Split.dev, Split.test)
    ]
    assert [len(half) for half in halves] == [20, 20]
    questions = [{int(name) % STRIDE for name in half} for half in halves]
    assert not questions[0] & questions[1]


def _without(index):
    return [row for row in mmbench_rows() if row["index"] != index]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([mmbench_row(1, "A"), mmbench_row(1, "B")], "index 1 or one of its copies occurs twice"),
        (_without(STRIDE + 8), f"index {STRIDE + 8} is missing"),
        (_without(7)[1:], "index 7 is missing"),
        ([mmbench_row(1, "")], "answer ''"),
        ([{**mmbench_row(1, "A"), "index": "x"}], "index 'x'"),
        ([mmbench_row(1, "A", question="")], "row 1: no question"),
        ([mmbench_row(1, "A", image="")], "row 1: no image"),
        ([mmbench_row(1, "A", image="2")], "image '2' is in no row"),
        ([mmbench_row(1, "A", image="?" * 80)], "not base64"),
        ([mmbench_row(1, "A", image="AAAA" * 20)], "not an image"),
        ([], "no rows"),
    ],
)
def test_wrong_tables(tmp_path, rows, named):
    with pytest.raises(UserError, match=named) as caught:
        samples(write_mmbench(tmp_path, rows), tmp_path / "made")
    assert "bench.files.mmbench_table" in str(caught.value)


def test_a_missing_table_names_its_key_and_origin(tmp_path):
    with pytest.raises(UserError, match=r"OpenMMLab.*\+bench.files.mmbench_table=PATH"):
        samples(tmp_path, tmp_path)


def test_editions_are_told_by_content(tmp_path, monkeypatch):
    path = write_mmbench(tmp_path) / "mmbench" / "mmbench_dev_20230712.tsv"
    assert edition_of(path, TABLE) == UNKNOWN
    monkeypatch.setattr("mmdpo.evaluation.mmbench_file.DEV_ROWS", 5)
    monkeypatch.setattr("mmdpo.evaluation.mmbench_file.DEV_QUESTIONS", 2)
    assert edition_of(path, TABLE) == DEV


def llava_row(prompt, text):
    return {"question_id": int(prompt.id), "round_id": 0, "prompt": prompt.question, "text": text}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_llavas_answers_are_read(tmp_path):
    prompts = samples(write_mmbench(tmp_path), tmp_path)
    path = write_lines(tmp_path / "a.jsonl", [llava_row(prompt, prompt.facts["answer"]) for prompt in prompts])
    found = TASK.upstream.read_answers(path, prompts, bench_config("mmbench", tmp_path))
    assert [(one.id, one.answer) for one in found] == [(one.id, one.facts["answer"]) for one in prompts]
    write_lines(path, [{**llava_row(prompts[0], "A"), "round_id": 1}])
    with pytest.raises(UserError, match="round_id"):
        TASK.upstream.read_answers(path, prompts, bench_config("mmbench", tmp_path))
    write_lines(path, [{**llava_row(prompt, "A"), "prompt": "Where?"} for prompt in prompts])
    with pytest.raises(UserError, match="other questions"):
        TASK.upstream.read_answers(path, prompts, bench_config("mmbench", tmp_path))


def test_an_upload_has_upstreams_columns_and_is_read_again(tmp_path):
    prompts = samples(write_mmbench(tmp_path), tmp_path)
    items = [(prompt, Response(prompt.id, prompt.question, f"={number}\x07")) for number, prompt in enumerate(prompts)]
    [path] = TASK.upstream.write_answers(tmp_path, items, "org/model")
    rows = [*load_workbook(path, read_only=True).worksheets[0].iter_rows(values_only=True)]
    assert rows[0] == ("index", "question", "A", "B", "C", "D", "prediction", "answer", "split")
    assert rows[1] == (7, "What is it?", "cup", "dog", None, None, "=0", "A", "dev")
    found = TASK.upstream.read_answers(path, prompts, bench_config("mmbench", tmp_path))
    assert [one.answer for one in found] == [f"={number}" for number in range(5)]


def answer_table(path, rows, suffix="csv"):
    names = ("index", "question", "A", "B", "C", "D", "answer", "prediction", "category", "l2-category")
    path = path / f"answers.{suffix}"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_answers_with_options_need_no_table(tmp_path):
    rows = [{**row, "prediction": row["answer"]} for row in mmbench_rows()]
    bench = bench_config("mmbench", tmp_path / "nothing")
    answers = read_foreign_answers("mmbench", answer_table(tmp_path, rows), bench)
    judgments = judge_answered(answers.samples, answers.responses, None, bench)
    scores = score_items(answers.samples, judgments, bench, "", {})
    assert (scores.scores["mmbench"].value, scores.scores["mmbench"].n) == (1, 2)
    assert scores.upstream["mmbench/category/ocr"] == 1


@pytest.mark.parametrize(("missing", "unscored"), [({2 * STRIDE + 8}, 1), ({8, STRIDE + 8, 2 * STRIDE + 8}, 1)])
def test_questions_with_missing_copies_are_unscored(tmp_path, missing, unscored):
    rows = [{**row, "prediction": row["answer"]} for row in mmbench_rows()]
    bench = bench_config("mmbench", write_mmbench(tmp_path))
    path = answer_table(tmp_path, [row for row in rows if row["index"] not in missing])
    answers = read_foreign_answers("mmbench", path, bench)
    judgments = judge_answered(answers.samples, answers.responses, None, bench)
    score = score_items(answers.samples, judgments, bench, "", {}).scores["mmbench"]
    assert (score.value, score.n, score.unscored) == (1, 1, unscored)


def test_first_copies_alone_are_no_circular_score(tmp_path):
    rows = [{**row, "prediction": row["answer"]} for row in mmbench_rows() if row["index"] < STRIDE]
    bench = bench_config("mmbench", write_mmbench(tmp_path))
    answers = read_foreign_answers("mmbench", answer_table(tmp_path, rows), bench)
    judgments = judge_answered(answers.samples, answers.responses, None, bench)
    assert [one.score for one in judgments] == [None, None]


def test_a_file_of_answers_without_options_names_the_table(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"question_id": 7, "text": "A"}])
    with pytest.raises(UserError, match=r"\+bench.files.mmbench_table=PATH"):
        questions_of_answers(path)


def test_samples_are_cached_with_their_images(tmp_path):
    bench = bench_config("mmbench", write_mmbench(tmp_path))
    [one] = sample_sets(bench, {}, "")
    assert all((one.image_root / prompt.images[0]).is_file() for prompt in one.prompts)
