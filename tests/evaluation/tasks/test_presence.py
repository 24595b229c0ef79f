import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.statistics import summarize
from mmdpo.evaluation.task import Judgment, Response, load_task
from mmdpo.records import Prompt


def test_the_summary_of_four_answers_by_hand():
    labels, texts = ["yes", "yes", "no", "no"], ["yes", "no", "no", "what"]
    task = load_task("presence")
    items = [
        (Prompt(str(n), "?", facts={"answer": [label]}), Response(str(n), "?", text))
        for n, (label, text) in enumerate(zip(labels, texts, strict=True))
    ]
    judgments = [
        Judgment(prompt.id, verdict.score, dict(verdict.parts), len(response.answer.split()), {}, prompt.id)
        for (prompt, response), verdict in zip(items, task.scorer(items, None, BenchConfig()), strict=True)
    ]
    scores = summarize(task, judgments, BenchConfig(resamples=20))
    assert scores[""].value == 0.5
    assert scores["f1"].value == pytest.approx(2 / 3)  # one hit, one missed, none wrong
    assert scores["yes_ratio"].value == 0.25
    assert scores["unparsed"].value == 0.25
    assert scores["words"].value == 1
