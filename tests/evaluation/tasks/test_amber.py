import json

import numpy as np
import pytest

from mmdpo.errors import UserError
from mmdpo.evaluation.amber_files import ANNOTATIONS
from mmdpo.evaluation.bench_files import UNKNOWN, edition_of
from mmdpo.evaluation.importing import judge_answered, read_foreign_answers, score_items
from mmdpo.evaluation.task import Judgment, Response, load_task
from mmdpo.records import Prompt
from tests.support.bench_amber import amber_annotations, write_amber
from tests.support.bench_run import bench_config, run_task
from tests.support.engines import ENGINE

TASK = load_task("amber")
REPLIES = {
    "1": "A woman holds two mugs and a knife near a sign. Dogs watch.",  # 2 of 5 mentions are wrong; the sign is safe
    "2": "A tree.",  # 1 of 1; the dog is missed
    "3": "Yes",
    "4": "No",
    "5": "No, it is not.",  # upstream needs No
    "6": "No",
    "7": "yes",
    "8": "Perhaps",
}


def scores_of(root):
    return run_task(bench_config("amber", write_amber(root)), root, lambda prompt: REPLIES[prompt.id])


def test_captions_by_hand(tmp_path):
    scores = scores_of(tmp_path).scores
    found = {name: (scores[f"amber/{name}"].value, scores[f"amber/{name}"].n) for name in ("chair", "hal")}
    assert found == {"chair": (pytest.approx(100 * 3 / 6), 2), "hal": (100, 2)}
    assert scores["amber/cover"].value == pytest.approx(100 * 2 / 3)  # woman and mug, not the dog
    assert scores["amber/cog"].value == pytest.approx(100)  # dog, knife, tree


def test_questions_by_hand(tmp_path):
    """A no is positive: said 4, 5, 6; right are 4, 5, 7, 8."""
    scores = scores_of(tmp_path).scores
    found = {name: scores[f"amber/{name}"].value for name in ("accuracy", "precision", "recall", "f1", "unparsed")}
    by_hand = {"accuracy": 300 / 6, "precision": 200 / 3, "recall": 200 / 4, "f1": 400 / 7, "unparsed": 100 / 6}
    assert found == pytest.approx(by_hand)
    assert scores["amber/f1"].n == 6
    assert scores["amber"].value == pytest.approx((100 - 50 + 400 / 7) / 2)
    assert scores["amber"].n == 8
    assert scores["amber/existence"].value == scores["amber/existence/f1"].value == 100
    assert scores["amber/attribute/accuracy"].value == pytest.approx(100 / 3)
    assert scores["amber/state/recall"].value == 100
    assert "amber/captions" not in scores


def test_upstream_prints_rounded_numbers_of_exact_answers_and_none_of_captions(tmp_path):
    printed = scores_of(tmp_path).upstream
    assert {name: printed[f"amber/{name}"] for name in ("accuracy", "precision", "recall", "f1")} == {
        "accuracy": 33.3,
        "precision": 50.0,
        "recall": 25.0,
        "f1": 33.3,
    }
    assert printed["amber/existence/f1"] == 100.0 == printed["amber/existence/accuracy"]
    assert "amber/state/f1" not in printed  # its script divides by zero
    assert not {"amber", "amber/chair"} & printed.keys()


@pytest.mark.parametrize(("category", "printed"), [("existence", 57.1), ("relation", 57.2)])
def test_the_constant_in_the_denominator_of_f1_differs_by_type(category, printed):
    """P 66.7 and R 50.0: .667 / 1.168 = .57106 and .667 / 1.1671 = .57150."""
    answers = [("no", "No"), ("no", "No"), ("no", "Yes"), ("no", "Yes"), ("yes", "No")]
    items = [
        (Prompt(str(n), "?", category=category, facts={"answer": [label]}), Response(str(n), "?", said))
        for n, (label, said) in enumerate(answers)
    ]
    judgments = [
        Judgment("", verdict.score, dict(verdict.parts), 1, dict(verdict.groups), upstream=dict(verdict.upstream))
        for verdict in TASK.scorer(items, None, bench_config("amber", "none"))
    ]
    assert TASK.upstream.scores(judgments)[f"{category}/f1"] == printed


def test_the_edition_is_told_by_its_numbers_of_captions_and_questions(tmp_path, monkeypatch):
    path = write_amber(tmp_path) / "amber" / "annotations.json"
    assert edition_of(path, ANNOTATIONS) == UNKNOWN
    monkeypatch.setattr("mmdpo.evaluation.amber_files.COUNTS", (2, 6))
    assert "captions" in edition_of(path, ANNOTATIONS)


def test_only_questions_have_expected_answers(tmp_path):
    scores_of(tmp_path)
    assert [request.expected for request in ENGINE.requests][:3] == [(), (), ("Yes", "No")]


@pytest.mark.parametrize("kind", ["captions", "questions"])
def test_items_of_one_kind_have_its_half_of_the_score(tmp_path, kind):
    bench = bench_config("amber", write_amber(tmp_path))
    prompts = [one for one in TASK.samples(bench, tmp_path) if (one.category == "captions") == (kind == "captions")]
    parts = [
        verdict.parts for verdict in TASK.scorer([(p, Response(p.id, "", REPLIES[p.id])) for p in prompts], None, bench)
    ]
    columns = [np.array([part[name] for part in parts]) for name in TASK.main.columns]
    assert TASK.main.statistic(*columns, axis=-1) == pytest.approx(50 if kind == "captions" else 400 / 7)


def change(root, name, edit):
    path = root / "amber" / name
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "edit", "named"),
    [
        ("annotations.json", lambda rows: rows.pop(), "no annotation of query 8"),
        ("annotations.json", lambda rows: rows.append(rows[0]), "id 1 occurs twice"),
        ("annotations.json", lambda rows: rows[0].update(truth="cup"), "id 1: truth"),
        ("annotations.json", lambda rows: rows[4].update(truth=["cup"]), "allowed: yes, no"),
        ("query_all.json", lambda rows: rows.append(rows[0]), "id 1 occurs twice"),
        ("query_all.json", lambda rows: rows[0].pop("image"), "'image'"),
    ],
)
def test_wrong_files(tmp_path, name, edit, named):
    change(write_amber(tmp_path), name, edit)
    with pytest.raises(UserError, match=named) as caught:
        TASK.samples(bench_config("amber", tmp_path), tmp_path)
    assert "bench.files.amber_" in str(caught.value)


def test_damaged_word_lists_are_refused(tmp_path):
    root = write_amber(tmp_path)
    change(root, "relation.json", lambda words: words.update(cup="mug"))
    prompts = TASK.samples(bench_config("amber", root), tmp_path)
    with pytest.raises(UserError, match=r"bench\.files\.amber_relations"):
        TASK.scorer([(prompts[0], Response("1", "", "x"))], None, bench_config("amber", root))


def test_answers_are_written_in_ambers_format_and_read_again(tmp_path):
    bench = bench_config("amber", write_amber(tmp_path))
    items = [(one, Response(one.id, one.question, REPLIES[one.id])) for one in TASK.samples(bench, tmp_path)]
    [path] = TASK.upstream.write_answers(tmp_path, items, "m")
    assert json.loads(path.read_text())[0] == {"id": 1, "response": REPLIES["1"]}
    answers = read_foreign_answers("amber", path, bench)
    judgments = judge_answered(answers.samples, answers.responses, None, bench)
    scores = score_items(answers.samples, judgments, bench, "", {})
    assert scores.scores["amber/chair"].value == pytest.approx(50)
    assert len(judgments) == len(amber_annotations())
