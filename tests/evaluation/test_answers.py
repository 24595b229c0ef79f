"""Writing of answers: once, and again only if they would differ."""

import dataclasses
import json

import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation import answers
from mmdpo.evaluation.answers import differences, made_with, read_answers, write_answers
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.evaluation.task import Response, load_task
from mmdpo.files import read_json
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Prompt
from tests.support.engines import ENGINE

MADE_OF = {"model": "m", "adapter": "a"}
BENCH = BenchConfig(tasks=["text", "presence"], items=4)


def no_model():
    pytest.fail("nothing is missing: the model must not be loaded")


def written(folder, bench=BENCH, made_of=MADE_OF, load=ENGINE):
    sets = sample_sets(bench, {}, "")
    write_answers(sets, load, made_of, bench, folder)
    return sets


def test_every_task_has_a_file_and_a_sidecar(generation, tmp_path):
    sets = written(tmp_path)
    assert sorted(path.name for path in (tmp_path / "answers").iterdir()) == [
        "presence.json",
        "presence.jsonl",
        "text.json",
        "text.jsonl",
    ]
    for one in sets:
        responses = read_answers(one, MADE_OF, BENCH, tmp_path)
        assert [(each.id, each.question) for each in responses] == [(each.id, each.question) for each in one.prompts]
        assert {each.answer for each in responses} == {"Yes."}
        assert made_with(one, tmp_path)["model"] == "m"


def test_valid_answers_are_used_again(generation, tmp_path):
    written(tmp_path)
    generation.questions.clear()
    written(tmp_path, load=no_model)
    written(tmp_path, dataclasses.replace(BENCH, batch_size=1, resamples=3), load=no_model)
    assert not generation.questions


@pytest.mark.parametrize(
    ("bench", "made_of", "named"),
    [
        (dataclasses.replace(BENCH, items=3), MADE_OF, "samples"),
        (dataclasses.replace(BENCH, seed=1), MADE_OF, "samples"),
        (dataclasses.replace(BENCH, max_new_tokens=7), MADE_OF, "decoding"),
        (BENCH, {**MADE_OF, "adapter": "b"}, "adapter"),
        (BENCH, {**MADE_OF, "model": "n"}, "model"),
    ],
)
def test_answers_of_other_items_settings_or_weights_are_not_used(bench, made_of, named, generation, tmp_path):
    written(tmp_path)
    one = sample_sets(bench, {}, "")[0]
    assert differences(one, made_of, bench, tmp_path) == [named]
    with pytest.raises(UserError, match=f"text.jsonl was made with another {named}.*stage=evaluate"):
        read_answers(one, made_of, bench, tmp_path)
    generation.questions.clear()
    written(tmp_path, bench, made_of)
    assert len(generation.questions) == 2 * bench.items
    assert differences(one, made_of, bench, tmp_path) == []


def test_only_the_set_that_is_missing_is_answered(generation, tmp_path):
    written(tmp_path)
    (tmp_path / "answers" / "presence.jsonl").unlink()
    generation.questions.clear()
    sets = written(tmp_path)
    assert generation.questions == [prompt.question for prompt in sets[1].prompts]


def test_a_kill_between_answers_and_sidecar_leaves_nothing_that_is_misread(generation, tmp_path, monkeypatch):
    written(tmp_path)
    before = (tmp_path / "answers" / "text.jsonl").read_bytes()
    generation.reply = lambda prompt: "No."

    def killed(path, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(answers, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path, made_of={**MADE_OF, "adapter": "b"})
    assert (tmp_path / "answers" / "text.jsonl").read_bytes() != before
    one = sample_sets(BENCH, {}, "")[0]
    assert differences(one, MADE_OF, BENCH, tmp_path) == ["content"]  # the old sidecar beside new answers
    written(tmp_path)
    assert differences(one, MADE_OF, BENCH, tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"task": "text"}'])
def test_a_torn_sidecar_is_no_sidecar(content, generation, tmp_path):
    (one, _) = written(tmp_path)
    (tmp_path / "answers" / "text.json").write_text(content)
    assert "content" in differences(one, MADE_OF, BENCH, tmp_path)


def test_answers_of_the_previous_version_are_not_taken_for_ours(tmp_path):
    (tmp_path / "answers").mkdir()
    row = {"id": "text-test-00000", "question": "?", "answer": "!", "score": 1.0, "parts": {}, "words": 1}
    (tmp_path / "answers" / "text.jsonl").write_text(json.dumps(row) + "\n")
    one = sample_sets(BENCH, {}, "")[0]
    assert differences(one, MADE_OF, BENCH, tmp_path)


def test_an_image_with_other_content_is_another_sample(tmp_path):
    task = load_task("visual")
    fingerprints = []
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_bytes(content)
        prompts = [Prompt("1", "What?", images=("image.png",))]
        fingerprints.append(SampleSet("visual", task, prompts, prompts, tmp_path / name).asked_fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_solver_with_several_turns_needs_no_other_form(generation, tmp_path):
    """A solver may prompt the model again with its answers, and read numbers in addition to the text."""
    from mmdpo.records import Turn

    def two_turns(inference, prompts):
        first = inference.generate([GenerationRequest(prompt) for prompt in prompts])
        again = [
            dataclasses.replace(prompt, question="Why?", history=(Turn(prompt.question, answer.text),))
            for prompt, answer in zip(prompts, first, strict=True)
        ]
        second = inference.generate([GenerationRequest(prompt) for prompt in again])
        return [
            Response(prompt.id, prompt.question, answer.text, history=prompt.history, values={"yes": 0.5})
            for prompt, answer in zip(again, second, strict=True)
        ]

    task = dataclasses.replace(load_task("text"), solver=two_turns)
    prompts = [Prompt("1", "Is it?")]
    one = SampleSet("text", task, prompts, prompts, tmp_path)
    write_answers([one], ENGINE, {}, BENCH, tmp_path)
    assert generation.questions == ["Is it?", "Why?"]
    (response,) = read_answers(one, {}, BENCH, tmp_path)
    assert response == Response("1", "Is it?", "Yes.", history=(Turn("Is it?", "Yes."),), values={"yes": 0.5})
    assert "two_turns" in read_json(tmp_path / "answers" / "text.json")["solver"]
