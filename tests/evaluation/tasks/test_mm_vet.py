import json

import pytest

from mmdpo.errors import UserError
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.rubrics import mm_vet as rubric
from mmdpo.evaluation.statistics import summarize
from mmdpo.evaluation.task import Judgment, Response, load_task
from mmdpo.evaluation.tasks.mm_vet import combination, upstream_scores
from tests.support.bench_mm_vet import ENTRIES, JUDGE_PROMPT, write_grades, write_mm_vet
from tests.support.bench_run import TextJudge, bench_config, run_task

TASK = load_task("mm_vet")
BY_HAND = {"v1_0": "1.0", "v1_1": "0.5", "v1_2": "0"}
BY_HAND_GRADES = {name: [text] for name, text in BY_HAND.items()}


@pytest.fixture
def root(tmp_path):
    return write_mm_vet(tmp_path)


def samples(root):
    return TASK.samples(bench_config("mm_vet", root), root)


def by_sample(replies):
    return TextJudge(lambda request: replies[request.sample])


def scored(root, tmp_path, judge, **settings):
    bench = bench_config("mm_vet", root, **settings)
    return run_task(bench, tmp_path / "point", lambda prompt: f"to {prompt.question}", judge)


def test_three_grades_by_hand(root, tmp_path):
    found = scored(root, tmp_path, by_sample(BY_HAND))
    expected = {"": 50.0, "ocr": 75.0, "math": 100.0, "rec": 0.0, "ocr_math": 100.0, "ocr_only": 50.0, "rec_only": 0.0}
    printed = {name: found.upstream[f"mm_vet/{name}".rstrip("/")] for name in (*expected, "std")}
    assert printed == {**expected, "std": 0.0}
    assert {name: found.scores[f"mm_vet/{name}".rstrip("/")].value for name in expected} == expected


def test_the_judge_is_asked_by_the_users_prompt_character_for_character(root, tmp_path):
    judge = by_sample(BY_HAND)
    scored(root, tmp_path, judge)
    request = judge.requests[0]
    (message,) = request.messages
    assert (message.role, message.text) == ("user", f"{JUDGE_PROMPT}\nWhat is x? | 3 <AND> 4 | to What is x? | ")
    assert (request.temperature, request.max_output_tokens) == (0, 3)
    assert request.reminder.endswith("(digit): ")


def test_without_the_file_our_own_prompt_is_asked(tmp_path):
    judge = by_sample(BY_HAND)
    root = write_mm_vet(tmp_path, prompt=None)
    scored(root, tmp_path, judge)
    assert judge.requests[0].messages[0].text.startswith(rubric.OWN_PROMPT)
    bench = bench_config("mm_vet", root)
    before = TASK.fingerprint(bench)
    assert TASK.rubric(bench) == "own"
    write_mm_vet(tmp_path)
    assert TASK.rubric(bench).startswith("upstream ")
    assert TASK.fingerprint(bench) != before


def test_an_unreadable_grade_is_unscored_here_and_0_upstream(root, tmp_path):
    found = scored(root, tmp_path, by_sample({**BY_HAND, "v1_1": "Well", "v1_2": None}))
    total = found.scores["mm_vet"]
    assert (total.value, total.n, total.unscored) == (100, 1, 2)
    assert found.upstream["mm_vet"] == 50.0  # of the two items with a reply
    assert found.upstream["mm_vet/ocr"] == 50.0


def test_repeats_are_runs(root, tmp_path):
    grades = {"v1_0": ["1.0", "0.2", "0.6"], "v1_1": ["0.5", "0.5", "Well"], "v1_2": ["0", "0", "0"]}
    found = scored(root, tmp_path, TextJudge(lambda request: grades[request.sample][request.repeat]), repeats=3)
    totals = [50, 70 / 3, 20]
    assert [found.upstream[f"mm_vet/run_{run}"] for run in (1, 2, 3)] == [round(total, 1) for total in totals]
    assert found.upstream["mm_vet"] == round(sum(totals) / 3, 1) == 31.1
    assert found.upstream["mm_vet/std"] == 13.4  # ddof 0
    assert found.scores["mm_vet"].value == pytest.approx((60 + 50 + 0) / 3)  # the mean of the readable ones


def test_sums_are_rounded_as_upstream_adds_them():
    grades = [0.1] * 10
    judgments = [
        Judgment(str(n), 0, {}, 1, {"": ["rec", "rec_only"]}, upstream={"0/grade": g}) for n, g in enumerate(grades)
    ]
    total = 0.0
    for grade in grades:
        total += grade
    assert upstream_scores(judgments)["rec"] == round(total / 10 * 100, 1)
    assert upstream_scores([]) == {}


def test_combinations_have_upstreams_order():
    assert combination(["rec", "know", "gen"]) == "rec_know_gen"
    assert combination(["ocr"]) == "ocr_only"


def test_grades_of_two_runs_are_replayed(root, tmp_path):
    prompts = samples(root)
    path = write_grades(
        tmp_path / "grades.json", {"v1_0": ["1.0", "0.0"], "v1_1": ["0.5", "0.5"], "v1_2": ["0.0", "0.0"]}
    )
    judge = ReplayJudge(TASK.upstream.read_judgments(path, prompts, ""))
    found = scored(root, tmp_path, judge, repeats=2)
    assert (found.upstream["mm_vet/run_1"], found.upstream["mm_vet/run_2"]) == (50.0, 16.7)
    assert {reply.judge for reply in judge.replies} == {"gpt-4"}
    assert judge.comparable == 0


@pytest.mark.parametrize(
    ("replies", "scores", "message"),
    [
        ({"v1_0": ["0.5"]}, {"v1_0": [1.5]}, "v1_0: score 1.5 of run 1; allowed: 0 to 1"),
        ({"v1_0": ["0.5"]}, {"v1_0": [0.5, 0.5]}, "lists model, content and score of equal length"),
        ({"v2_0": ["0.5"]}, {}, "no grade belongs to a question"),
    ],
)
def test_grades_that_are_none_are_refused(root, tmp_path, replies, scores, message):
    path = write_grades(tmp_path / "grades.json", replies, scores)
    with pytest.raises(UserError, match=message):
        TASK.upstream.read_judgments(path, samples(root), "")


def test_a_score_that_is_not_that_of_its_reply_counts_and_is_said(root, tmp_path, capsys):
    path = write_grades(tmp_path / "grades.json", BY_HAND_GRADES, {"v1_2": [1.0]})
    judge = ReplayJudge(TASK.upstream.read_judgments(path, samples(root), ""))
    assert "1 of 3 scores" in capsys.readouterr().out
    found = scored(root, tmp_path, judge)
    assert (found.upstream["mm_vet/rec"], found.scores["mm_vet/rec"].value) == (100.0, 100.0)


@pytest.mark.parametrize("file", ["upstream.json", "llava.jsonl", "vlmevalkit.csv"])
def test_answers_of_others_are_read(root, tmp_path, file):
    prompts = samples(root)
    responses = [Response(one.id, one.question, f"Answer {one.id}", one.category) for one in prompts]
    path = tmp_path / file
    if file == "upstream.json":
        (path,) = TASK.upstream.write_answers(tmp_path, list(zip(prompts, responses, strict=True)), "m")
        assert json.loads(path.read_text()) == {one.id: one.answer for one in responses}
    elif file == "llava.jsonl":
        rows = [
            {"question_id": n, "prompt": p.question, "text": r.answer}
            for n, (p, r) in enumerate(zip(prompts, responses, strict=True))
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [f"{n},{p.question},right,{r.answer}" for n, (p, r) in enumerate(zip(prompts, responses, strict=True))]
        path.write_text("\n".join(["index,question,answer,prediction", *lines]))
    assert TASK.upstream.read_answers(path, prompts, bench_config("mm_vet", root)) == responses


def test_answers_to_another_question_set_are_refused(root, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"v2_0": "A", "v2_1": "B"}))
    with pytest.raises(UserError, match="none of its answers has the id of a question, such as v1_0"):
        TASK.upstream.read_answers(path, samples(root), bench_config("mm_vet", root))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capability": ["smell"]}, r"v1_1: capability \['smell'\]; allowed: rec, ocr"),
        ({"question": ["<IMG>", "Why?"]}, "v1_1: field 'question'"),
        ({"answer": None}, "v1_1: field 'answer'"),
        ({"capability": []}, "v1_1: field 'capability'"),
    ],
)
def test_questions_of_another_edition_are_refused(root, change, message):
    entries = {**ENTRIES, "v1_1": {**ENTRIES["v1_1"], **change}}
    (root / "mm_vet/mm-vet.json").write_text(json.dumps(entries))
    with pytest.raises(UserError, match=message):
        samples(root)


def test_torn_files_are_named(root):
    (root / "mm_vet/mm-vet.json").write_text('{"v1_0":')
    with pytest.raises(UserError, match=r"bench.files.mm_vet_questions=.*torn"):
        samples(root)
    (root / "mm_vet/judge_prompt.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"bench.files.mm_vet_judge_prompt=.*not readable"):
        TASK.scorer([], None, bench_config("mm_vet", root))


def test_a_capability_and_its_own_combination_are_two_groups():
    rows = [(100.0, ["rec", "rec_only"]), (0.0, ["rec", "ocr", "rec_ocr"])]
    judgments = [Judgment(str(n), score, {}, 1, {"": names}, str(n)) for n, (score, names) in enumerate(rows)]
    scores = summarize(TASK, judgments, bench_config("mm_vet", "none"))
    assert (scores["rec"].value, scores["rec_only"].value, scores["rec_ocr"].value) == (50, 100, 0)
