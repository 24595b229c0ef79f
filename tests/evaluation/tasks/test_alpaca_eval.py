"""AlpacaEval on small files of our own, from instructions to scores."""

import pytest

from mmdpo.config.choices import Split
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.answers import write_answers
from mmdpo.evaluation.judgments import write_judgments
from mmdpo.evaluation.replay import ReplayJudge
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.task import load_task
from tests.support.bench_alpaca_eval import annotation, write_alpaca_eval, write_json


def test_imported_preferences_give_honest_and_upstream_scores(generation, tmp_path):
    root = write_alpaca_eval(tmp_path, count=6)
    bench = BenchConfig(tasks=["alpaca_eval"], root=str(root), split=Split.all, resamples=20)
    sets = sample_sets(bench, {}, "")
    answers = {prompt.id: f"Mine {prompt.id}." for prompt in sets[0].prompts} | {"4": "Reference 4."}
    generation.reply = lambda prompt: answers[prompt.id]
    write_answers(sets, generation, {}, bench, tmp_path)
    rows = [annotation(0, 2), annotation(1, 1.0), annotation(2, 0), annotation(3, None)]
    rows += [annotation(4, 0, output_2="Reference 4."), annotation(5, 2, output_2="Another.")]
    task = load_task("alpaca_eval")
    judge = ReplayJudge(task.upstream.read_judgments(write_json(tmp_path / "a.json", rows), sets[0].prompts, "m"))
    point = write_judgments(sets, judge, {}, bench, tmp_path)
    found = {name.removeprefix("alpaca_eval"): (one.value, one.n, one.unscored) for name, one in point.scores.items()}
    assert found[""] == (60, 5, 1)
    assert (found["/wins"][0], found["/losses"][0], found["/draws"][0]) == (2, 1, 2)
    assert found["/standard_error"][0] == pytest.approx(18.708, abs=1e-3)
    assert found["/category/a"] == (pytest.approx(200 / 3), 3, 0)
    assert {"/length_adjusted", "/words", "/characters"} <= found.keys()
    assert (point.upstream["alpaca_eval"], point.upstream["alpaca_eval/n_total"]) == (60, 5)
    assert (judge.verified, judge.comparable, judge.mismatched) == (4, 5, ["5"])  # an answer that is not the model's
