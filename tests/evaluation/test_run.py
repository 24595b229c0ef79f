import dataclasses

import pytest

from mmdpo.config.choices import BENCHMARKS as NAMES
from mmdpo.entry.compose import compose_config
from mmdpo.evaluation import run
from mmdpo.records import read_records

ITEMS = 8
REQUEST = " helpfulness 4 correctness 4 coherence 4 complexity 4 verbosity 1."


@pytest.fixture
def asked(monkeypatch):
    """The questions put to a stand-in for a model, which answers only where it is asked for ratings."""
    questions = []

    def generate(model, processor, prompts, root, decoding, advance):
        questions.extend(prompt.question for prompt in prompts)
        return [prompt.facts["full"] if prompt.question.endswith(REQUEST) else "" for prompt in prompts]

    monkeypatch.setattr(run, "generate", generate)
    return questions


def point(*overrides):
    return compose_config([f"bench.items={ITEMS}", "bench.resamples=20", *overrides])


STEERED = point("method=steerlm", "method.attributes.verbosity=1")


def test_every_benchmark_that_the_config_takes_is_there():
    assert set(run.BENCHMARKS) == set(NAMES)


def test_a_steered_model_is_measured_with_the_request_and_without(asked, tmp_path):
    scores = run.evaluate(STEERED, None, None, tmp_path)
    for name in NAMES:
        both = scores[name].value, scores[f"{name}/without_request"].value
        assert both == ((1, 0) if name == "presence" else (10, 1))
    assert sum(question.endswith(REQUEST) for question in asked) == len(asked) / 2 == len(NAMES) * ITEMS


def test_the_answers_are_kept_beside_the_question_without_its_request(asked, tmp_path):
    run.evaluate(STEERED, None, None, tmp_path)
    files = {path.name for path in (tmp_path / "answers").iterdir()}
    assert files == {f"{name}{part}.jsonl" for name in NAMES for part in ("", ".without_request")}
    for name in NAMES:
        steered, plain = (
            list(read_records(tmp_path / "answers" / f"{name}{part}.jsonl", run.Judged))
            for part in ("", ".without_request")
        )
        assert [item.question for item in steered] == [item.question for item in plain]  # as the base's
        assert not any(REQUEST in item.question for item in steered)
        assert all(item.answer for item in steered) and not any(item.answer for item in plain)


@pytest.mark.parametrize("config", [dataclasses.replace(STEERED, data_scale=0.0), point(), point("method=sft")])
def test_the_base_and_other_methods_are_not_asked_for_ratings(asked, tmp_path, config):
    scores = run.evaluate(config, None, None, tmp_path)
    assert not any("helpfulness" in question for question in asked)
    assert len(asked) == len(NAMES) * ITEMS
    assert not any(key.endswith("/without_request") for key in scores)
