import json

import pytest

from mmdpo.errors import UserError
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.rubrics import mmhal as rubric
from mmdpo.evaluation.task import Response, load_task
from tests.support.bench_mmhal import question_rows, write_mmhal
from tests.support.bench_run import TextJudge, bench_config, run_task

TASK = load_task("mmhal")
REPLIES = {"0": "Fine.\nRating: 6", "1": "Rating: 2", "2": "Rating: 3"}


@pytest.fixture
def root(tmp_path):
    return write_mmhal(tmp_path)


def samples(root):
    return TASK.samples(bench_config("mmhal", root), root)


def scored(root, tmp_path, judge, **settings):
    bench = bench_config("mmhal", root, **settings)
    return run_task(bench, tmp_path / "point", lambda prompt: f"to {prompt.id}", judge)


def evaluation(path, texts):
    rows = [{"model": "gpt-4-0314", "choices": [{"message": {"content": text}}]} for text in texts]
    path.write_text(json.dumps(rows))
    return path


def test_scores_and_hallucinations_by_hand(root, tmp_path):
    found = scored(root, tmp_path, TextJudge(lambda request: REPLIES[request.sample]))
    assert found.scores["mmhal"].value == pytest.approx(11 / 3)
    assert found.scores["mmhal/hallucination_rate"].value == pytest.approx(1 / 3)
    assert found.scores["mmhal/question_type/attribute"].value == 4.5
    assert found.scores["mmhal/question_type/counting/hallucination_rate"].value == 1
    assert found.upstream == {
        "mmhal": 3.67,
        "mmhal/hallucination_rate": 0.33,
        "mmhal/question_type/attribute": 4.5,
        "mmhal/question_type/counting": 2.0,
    }


def test_unreadable_ratings_are_unscored_here_and_0_upstream(root, tmp_path):
    replies = {**REPLIES, "1": "Rating: 10", "2": "Rating: 3 or rating: 4"}
    found = scored(root, tmp_path, TextJudge(lambda request: replies[request.sample]))
    total = found.scores["mmhal"]
    assert (total.value, total.n, total.unscored) == (6, 1, 2)
    assert (found.upstream["mmhal"], found.upstream["mmhal/hallucination_rate"]) == (2.33, 0.67)


def test_repeats_are_averaged(root, tmp_path):
    replies = ["Rating: 2", "Rating: 5"]
    found = scored(root, tmp_path, TextJudge(lambda request: replies[request.repeat]), repeats=2)
    assert (found.scores["mmhal"].value, found.scores["mmhal/hallucination_rate"].value) == (3.5, 0.5)
    assert [found.upstream[f"mmhal{part}"] for part in ("", "/run_1", "/run_2")] == [3.5, 2.0, 5.0]


def test_the_judge_is_asked_by_the_users_prompt_or_by_our_own(root, tmp_path):
    judge = TextJudge(lambda request: "Rating: 3")
    scored(root, tmp_path, judge)
    text = "Rate it.\nContents: Cup, Table\nQuestion: How many cups in photo 0?\nStandard: Two.\nAnswer: to 0\n"
    assert judge.requests[0].messages[-1].text == text
    write_mmhal(tmp_path / "own", prompt=None)
    scored(tmp_path / "own", tmp_path / "own", judge)
    assert judge.requests[-1].messages[-1].text.startswith(rubric.OWN_PROMPT[:60])
    write_mmhal(tmp_path, prompt="Only {} and {}")
    with pytest.raises(UserError, match=r"bench.files.mmhal_judge_prompt=.*2 fields"):
        TASK.scorer([], judge, bench_config("mmhal", root))


def test_images_have_the_names_of_their_addresses(root):
    assert [one.images for one in samples(root)] == [("0_o.jpg",), ("1_o.jpg",), ("2_o.jpg",)]


def test_the_response_file_is_written_and_read(root, tmp_path):
    prompts = samples(root)
    items = [(one, Response(one.id, one.question, f"A {one.id}", one.category)) for one in prompts]
    (path,) = TASK.upstream.write_answers(tmp_path, items, "m")
    rows = json.loads(path.read_text())
    assert rows == [{**row, "model_answer": f"A {n}"} for n, row in enumerate(question_rows())]
    bench = bench_config("mmhal", root)
    path.write_text(json.dumps(rows[::-1]))  # joined by image and question
    assert TASK.upstream.read_answers(path, prompts, bench) == [one for _, one in items]
    path.write_text(json.dumps([{**row, "question": "Other?"} for row in rows]))
    with pytest.raises(UserError, match="none of its answers"):
        TASK.upstream.read_answers(path, prompts, bench)


def test_evaluations_are_replayed_in_the_order_of_the_questions(root, tmp_path):
    path = evaluation(tmp_path / "evaluation.json", REPLIES.values())
    judge = ReplayJudge(TASK.upstream.read_judgments(path, samples(root), ""))
    assert scored(root, tmp_path, judge).upstream["mmhal"] == 3.67
    evaluation(path, ["Rating: 1"])
    with pytest.raises(UserError, match="1 replies to 3 questions"):
        TASK.upstream.read_judgments(path, samples(root), "")
    path.write_text(json.dumps([{"error": "x"}] * 3))
    with pytest.raises(UserError, match=r"reply 1 has no choices\[0\]"):
        TASK.upstream.read_judgments(path, samples(root), "")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*question_rows(), question_rows()[1]], "rows 2 and 4 are the same question"),
        ([{**question_rows()[0], "image_content": "Cup"}], "row 1: field 'image_content'"),
        ([{"question": "Why?"}], "row 1.*'question_type'"),
    ],
)
def test_wrong_question_files_are_refused(root, rows, message):
    (root / "mmhal/response_template.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match=message):
        samples(root)
