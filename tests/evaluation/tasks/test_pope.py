import json

import numpy as np
import pytest

from mmdpo.errors import UserError
from mmdpo.evaluation.scorers import read_yes_no
from mmdpo.evaluation.statistics import summarize
from mmdpo.evaluation.sums import f1, precision, recall
from mmdpo.evaluation.task import Judgment, Response, load_task
from mmdpo.evaluation.tasks import pope
from mmdpo.records import Prompt
from tests.support.bench_pope import label_rows, write_lines, write_pope, write_repope
from tests.support.bench_run import bench_config, run_task
from tests.support.engines import ENGINE

TASK = load_task("pope")


def samples(root, task="pope"):
    return load_task(task).samples(bench_config(task, root), root)


def judged(texts, labels, split="random"):
    items = [
        (Prompt(str(n), "?", category=split, facts={"answer": [label]}), Response(str(n), "?", text))
        for n, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    verdicts = TASK.scorer(items, None, bench_config("pope", "none"))
    return [
        Judgment(one.id, v.score, dict(v.parts), 1, dict(v.groups), one.id, upstream=dict(v.upstream))
        for (one, _), v in zip(items, verdicts, strict=True)
    ]


def test_four_answers_by_hand():
    judgments = judged(["Yes", "No", "No", "It is not there."], ["yes", "yes", "no", "no"])
    printed = TASK.upstream.scores(judgments)
    assert [printed[f"random/{name}"] for name in ("tp", "fn", "tn", "fp")] == [1, 1, 2, 0]
    assert printed["random"] == printed[""] == pytest.approx(2 / 3)
    scores = summarize(TASK, judgments, bench_config("pope", "none"))
    assert scores[""].value == scores["random/f1"].value == pytest.approx(2 / 3)
    found = {name: scores[f"random/{name}"].value for name in ("accuracy", "precision", "recall", "yes_ratio")}
    assert found == {"accuracy": 0.75, "precision": 1, "recall": 0.5, "yes_ratio": 0.25}


@pytest.mark.parametrize(
    ("text", "upstream", "ours"),
    [
        ("No", False, False),
        ("No, there is a cat. Yes", False, False),
        ("There is not", False, False),
        ("NO", True, False),
        ("no\n", True, False),
        ("No!", True, False),
        ("", True, None),
        ("maybe", True, None),
        ("yes", True, True),
    ],
)
def test_upstreams_reading_differs_from_ours(text, upstream, ours):
    assert pope.reads_as_yes(text) is upstream
    assert read_yes_no(text) is ours


def test_unparsed_answers_are_wrong_and_counted_here_and_yes_upstream():
    judgments = judged(["maybe", "Yes"], ["yes", "yes"])
    scores = summarize(TASK, judgments, bench_config("pope", "none"))
    assert (scores["accuracy"].value, scores["unparsed"].value, scores["recall"].value) == (0.5, 0.5, 0.5)
    assert TASK.upstream.scores(judgments)["random/recall"] == 1


def test_where_upstream_divides_by_zero_only_its_counts_are_left():
    always_no = judged(["No", "No"], ["yes", "no"])
    assert TASK.upstream.scores(always_no) == {"random/tp": 0, "random/fp": 0, "random/tn": 1, "random/fn": 1}
    assert summarize(TASK, always_no, bench_config("pope", "none"))[""].value == 0


def test_the_headline_is_the_mean_of_the_splits_that_are_there():
    judgments = [*judged(["Yes", "No"], ["yes", "no"]), *judged(["Yes"] * 3, ["yes", "no", "no"], "popular")]
    scores = summarize(TASK, judgments, bench_config("pope", "none"))
    assert scores["random"].value == 1
    assert scores["popular"].value == 0.5
    assert scores[""].value == TASK.upstream.scores(judgments)[""] == 0.75
    assert "adversarial" not in scores


def test_statistics_over_several_rows_at_once():
    predicted, label = np.array([[1, 1, 0, 0], [0, 0, 0, 0]]), np.array([1, 0, 1, 0])
    assert precision(predicted, label).tolist() == [0.5, 0]
    assert recall(predicted, label).tolist() == [0.5, 0]
    both = pope.over_splits(f1)(predicted, label, np.array([0, 0, 1, 1]))
    assert both.tolist() == pytest.approx([(2 / 3 + 0) / 2, 0])


def test_questions_and_labels_are_joined_by_image_and_text_and_not_by_position(tmp_path):
    prompts = samples(write_pope(tmp_path))
    assert [prompt.facts["question_id"] for prompt in prompts] == [*range(1, 13)]
    assert prompts[0].id == "adversarial/4"  # the question file is in reverse order
    assert all(
        prompt.facts["answer"] == ["yes" if "cup" in prompt.question or "dog" in prompt.question else "no"]
        for prompt in prompts
    )
    assert len({prompt.id for prompt in prompts}) == 12
    edition = pope.recognize(tmp_path / "pope/coco/coco_pope_adversarial.json")
    assert edition == pope.OF_LLAVA  # for the typo
    assert pope.recognize(tmp_path / "pope/coco/coco_pope_popular.json") == pope.OF_UPSTREAM


def test_without_the_question_file_the_questions_are_those_of_the_labels(tmp_path):
    asked = {(p.id, p.question, p.images) for p in samples(write_pope(tmp_path / "with"))}
    made = samples(write_pope(tmp_path / "without", questions=False))
    assert {(p.id, p.question, p.images) for p in made} == asked
    assert [prompt.category for prompt in made] == [split for split in pope.SPLITS for _ in range(4)]
    assert [prompt.facts["question_id"] for prompt in made] == [*range(1, 13)]


def test_mended_labels_fit_questions_with_the_typo(tmp_path):
    root = write_pope(tmp_path)
    rows = [{**row, "text": row["text"].replace("imange", "image")} for row in label_rows("adversarial")]
    write_lines(root / "pope/coco/coco_pope_adversarial.json", rows)
    assert len(samples(root)) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"no label in random.*\+bench.files.pope_random=PATH"),
        (lambda rows: [{**rows[0], "label": "perhaps"}, *rows[1:]], "label 'perhaps'; allowed: yes, no"),
        (lambda rows: [*rows, {**rows[0], "question_id": 9}], "occurs twice"),
        (lambda rows: [*rows, {**rows[0], "text": "Is it new?"}], "question_id 1 occurs twice"),
        (lambda rows: [{key: row[key] for key in ("image", "text")} for row in rows], "row 1.*'question_id'"),
        (lambda rows: [], "torn"),
    ],
)
def test_wrong_label_files_are_refused(tmp_path, change, message):
    root = write_pope(tmp_path)
    write_lines(root / "pope/coco/coco_pope_random.json", change(label_rows("random")))
    with pytest.raises(UserError, match=message):
        samples(root)


def test_a_missing_file_is_named_with_its_override(tmp_path):
    root = write_pope(tmp_path)
    (root / "pope/coco/coco_pope_popular.json").unlink()
    with pytest.raises(UserError, match=r"coco_pope_popular.json.*bench.files.pope_popular=PATH"):
        samples(root)


def test_labels_without_a_question_are_counted(tmp_path, capsys):
    root = write_pope(tmp_path)
    extra = {"question_id": 5, "image": "COCO_val2014_1.jpg", "text": "Is there a bus in the image?", "label": "no"}
    write_lines(root / "pope/coco/coco_pope_random.json", [*label_rows("random"), extra])
    assert len(samples(root)) == 12
    assert "1 labels belong to no question" in " ".join(capsys.readouterr().out.split())


def test_answers_are_written_and_read_in_llavas_format(tmp_path):
    prompts = samples(write_pope(tmp_path))
    items = [(one, Response(one.id, one.question, "Yes", one.category)) for one in prompts]
    (path,) = TASK.upstream.write_answers(tmp_path, items[::-1], "m")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["question_id"] for row in rows] == [*range(1, 13)]
    assert rows[0].keys() == {"question_id", "prompt", "text", "answer_id", "model_id", "metadata"}
    bench = bench_config("pope", tmp_path)
    assert TASK.upstream.read_answers(path, prompts, bench) == [response for _, response in items]
    write_lines(path, rows[:7])
    assert len(TASK.upstream.read_answers(path, prompts, bench)) == 7
    write_lines(path, [{**row, "question_id": row["question_id"] + 1} for row in rows])
    with pytest.raises(UserError, match="answers are to other questions"):
        TASK.upstream.read_answers(path, prompts, bench)


def test_repope_asks_the_same_and_scores_by_corrected_labels(tmp_path):
    root = write_repope(write_pope(tmp_path))
    plain = {one.id: one for one in samples(root)}
    corrected = samples(root, "repope")
    assert len(corrected) == 9  # the dogs are left out
    for one in corrected:
        before = plain[one.id]
        assert (one.question, one.images, one.category) == (before.question, before.images, before.category)
        assert one.facts["answer"] == ["no"]
    bench = bench_config("pope", root)
    bench.tasks = ["pope", "repope"]
    found = run_task(bench, tmp_path / "point", lambda prompt: "Yes" if "dog" in prompt.question else "No")
    assert found.scores["pope"].value == found.upstream["pope"] == pytest.approx(2 / 3)  # the cups are missed
    assert found.scores["repope/accuracy"].value == 1
    assert found.upstream["repope/random/tn"] == 3
    assert ENGINE.requests[0].expected == ("Yes", "No")
    assert ENGINE.requests[0].max_new_tokens == 128
