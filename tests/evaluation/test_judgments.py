"""Judgments and scores of answers, without a model."""

import dataclasses
import json

import pytest

from mmdpo.config.schema import BenchConfig, JudgeConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Stopped, UserError
from mmdpo.evaluation.answers import write_answers
from mmdpo.evaluation.judgments import bench_judge, judge_items, write_judgments
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.task import Cluster, Judgment, Response
from mmdpo.records import Unscored, read_records
from tests.support.engines import ENGINE

NAMES = ("text", "visual", "presence", "text_noisy")
ITEMS = 8
REQUEST = " helpfulness 4 correctness 4 coherence 4 complexity 4 verbosity 1."


def config(*overrides):
    return compose_config([f"bench.items={ITEMS}", "bench.resamples=20", *overrides])


STEERED = config("method=steerlm", "method.attributes.verbosity=1")


@pytest.fixture
def asked(generation):
    """The questions put to a stand-in for a model, which answers only if it is asked for ratings."""
    generation.reply = lambda prompt: prompt.facts["full"] if prompt.question.endswith(REQUEST) else ""
    return generation.questions


def scores_of(config, folder, judge=None):
    attributes = {} if config.is_base else config.method.attributes
    sets = sample_sets(config.bench, attributes, config.model.attribute_template)
    write_answers(sets, ENGINE, {}, config.bench, folder)
    return write_judgments(sets, judge or bench_judge(BenchConfig().judge), {}, config.bench, folder).scores


def test_a_steered_model_is_measured_with_the_request_and_without(asked, tmp_path):
    scores = scores_of(STEERED, tmp_path)
    for name in NAMES:
        both = scores[name].value, scores[f"{name}/without_request"].value
        assert both == ((1, 0) if name == "presence" else (10, 1))
    assert sum(question.endswith(REQUEST) for question in asked) == len(asked) / 2 == len(NAMES) * ITEMS
    assert not any(key.startswith("text/without_request/") for key in scores)


def test_the_answers_are_kept_beside_the_question_without_its_request(asked, tmp_path):
    scores_of(STEERED, tmp_path)
    for folder in ("answers", "judgments"):
        files = {path.name for path in (tmp_path / folder).glob("*.jsonl")}
        assert files == {f"{name}{part}.jsonl" for name in NAMES for part in ("", ".without_request")}
    for name in NAMES:
        steered, plain = (
            list(read_records(tmp_path / "answers" / f"{name}{part}.jsonl", Response))
            for part in ("", ".without_request")
        )
        assert [item.question for item in steered] == [item.question for item in plain]  # as the base's
        assert not any(REQUEST in item.question for item in steered)
        assert all(item.answer for item in steered)
        assert not any(item.answer for item in plain)


@pytest.mark.parametrize("config", [dataclasses.replace(STEERED, data_scale=0.0), config(), config("method=sft")])
def test_the_base_and_other_methods_are_not_asked_for_ratings(config, asked, tmp_path):
    scores = scores_of(config, tmp_path)
    assert not any("helpfulness" in question for question in asked)
    assert len(asked) == len(NAMES) * ITEMS
    assert not any(key.endswith("/without_request") for key in scores)


def test_an_answer_that_a_server_declined_is_unscored_and_not_wrong():
    settings = config("bench.tasks=[presence]", "objective=presence")
    (one,) = sample_sets(settings.bench, {}, "")
    responses = [
        Response(prompt.id, prompt.question, "", finish_reason="stop" if index else "declined")
        for index, prompt in enumerate(one.prompts)
    ]
    judged = judge_items(one, responses, bench_judge(settings.bench.judge), settings.bench)
    assert [item.score is None for item in judged] == [True, *[False] * (ITEMS - 1)]
    assert "declined" in judged[0].reason


def test_a_score_has_the_keys_and_judgments_that_tables_read(asked, tmp_path):
    scores = scores_of(config(), tmp_path)
    parts = ["correctness", "helpfulness", "coherence", "words"]
    assert list(scores)[:5] == ["text", *(f"text/{part}" for part in parts)]
    assert {"text/category/math", "text/distance/near", "text/distance/far"} <= scores.keys()
    assert [key for key in scores if key.startswith("presence")] == [
        "presence",
        *(f"presence/{part}" for part in ("f1", "yes_ratio", "unparsed", "words")),
    ]
    first = next(iter(read_records(tmp_path / "judgments" / "text.jsonl", Judgment)))
    assert (first.score, first.words, first.cluster) == (1.0, 0, first.id)
    assert set(first.parts) == {"correctness", "helpfulness", "coherence"}
    assert first.groups["distance"] in ("near", "far")
    assert first.groups["category"]


def test_unscored_items_are_counted_and_have_no_made_up_score(asked, tmp_path):
    class Half:
        """Judge that rates every second answer as the oracle does, and declines the others."""

        def rate(self, items):
            ratings = bench_judge(BenchConfig().judge).rate(items)
            return [Unscored(items[n][0].id, "recitation") if n % 2 else rating for n, rating in enumerate(ratings)]

    scores = scores_of(config("bench.tasks=[text]"), tmp_path, Half())
    assert (scores["text"].n, scores["text"].unscored) == (ITEMS / 2, ITEMS / 2)
    assert scores["text/coherence"].n == ITEMS / 2
    judgments = list(read_records(tmp_path / "judgments" / "text.jsonl", Judgment))
    assert [each.score for each in judgments[1::2]] == [None] * 4
    assert {each.reason for each in judgments[1::2]} == {"recitation"}
    assert sum(scores[key].unscored for key in scores if key.startswith("text/category")) == ITEMS / 2


def test_a_judge_whose_quota_ends_keeps_what_was_judged(asked, tmp_path):
    class Quota:
        """Judge whose quota ends at the second task, once."""

        calls = 0

        def rate(self, items):
            self.calls += 1
            if self.calls == 2:
                raise Stopped("judge.limits.requests_per_day=8 is used up")
            return bench_judge(BenchConfig().judge).rate(items)

    judge = Quota()
    point = config("bench.tasks=[text,visual]")
    with pytest.raises(Stopped, match="requests_per_day"):
        scores_of(point, tmp_path, judge)
    assert [path.name for path in (tmp_path / "judgments").iterdir()] == ["text.jsonl"]
    asked.clear()
    scores = scores_of(point, tmp_path, judge)
    assert {"text", "visual"} <= scores.keys()
    assert not asked


def test_without_answers_the_stage_to_run_is_named(tmp_path):
    sets = sample_sets(config().bench, {}, "")
    with pytest.raises(UserError, match=r"text\.jsonl is missing.*stage=evaluate"):
        write_judgments(sets, bench_judge(BenchConfig().judge), {}, config().bench, tmp_path)
    assert not (tmp_path / "judgments").exists()


def test_items_that_share_a_cluster_are_resampled_together(asked, tmp_path):
    point = config("bench.tasks=[visual]", "objective=visual")
    (one,) = sample_sets(point.bench, {}, "")
    shared = [dataclasses.replace(prompt, question=f"{n // 2}") for n, prompt in enumerate(one.prompts)]
    task = dataclasses.replace(one.task, cluster=Cluster.question)
    one = dataclasses.replace(one, prompts=shared, asked=shared, task=task)
    write_answers([one], ENGINE, {}, point.bench, tmp_path)
    write_judgments([one], bench_judge(BenchConfig().judge), {}, point.bench, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "judgments" / "visual.jsonl").read_text().splitlines()]
    assert [row["cluster"] for row in rows] == ["0", "0", "1", "1", "2", "2", "3", "3"]


def test_an_unknown_judge_is_refused():
    with pytest.raises(UserError, match="oracle"):
        bench_judge(JudgeConfig(name="people", client="people"))


def test_a_task_is_compared_with_the_same_items_of_another(generation, tmp_path):
    point = config("bench.tasks=[text]")
    (one,) = sample_sets(point.bench, {}, "")
    noisy = dataclasses.replace(one, name="noisy", task=dataclasses.replace(one.task, minus="text"))
    generation.reply = lambda prompt: prompt.facts["full"]
    write_answers([one], ENGINE, {}, point.bench, tmp_path)
    generation.reply = lambda prompt: ""
    write_answers([noisy], ENGINE, {}, point.bench, tmp_path)
    scores = write_judgments([one, noisy], bench_judge(point.bench.judge), {}, point.bench, tmp_path).scores
    difference = scores["noisy/minus_text"]
    assert (difference.value, difference.low, difference.high, difference.n) == (-9, -9, -9, ITEMS)
    assert "text/minus_text" not in scores
