"""alpaca_eval's files, with the oddities that real ones have."""

import json

import pytest

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.alpaca_files import (
    REFERENCE_OUTPUTS,
    read_answers,
    read_judgments,
    read_model,
    read_references,
    write_answers,
)
from mmdpo.evaluation.bench_files import edition_of
from mmdpo.evaluation.task import Response
from tests.support.bench_alpaca_eval import annotation, instruction, write_alpaca_eval, write_json


@pytest.fixture
def bench(tmp_path):
    return BenchConfig(tasks=["alpaca_eval"], root=str(write_alpaca_eval(tmp_path)))


@pytest.fixture
def prompts(bench):
    return read_references(bench)


def test_instructions_and_references(prompts):
    assert [(one.id, one.question, one.category) for one in prompts[:2]] == [
        ("0", instruction(0), "a"),
        ("1", instruction(1), "b"),
    ]
    assert prompts[1].facts == {"reference": "Reference 1.", "reference_generator": "made_up"}


@pytest.mark.parametrize(
    ("generator", "length", "edition"),
    [
        ("text_davinci_003", 482, "AlpacaEval 1 (text_davinci_003)"),
        ("text_davinci_003", 308, "results/text_davinci_003, which is not the reference"),
        ("text_davinci_003", 400, "unknown edition"),
        ("gpt4_1106_preview", 2000, "AlpacaEval 2 (gpt4_1106_preview)"),
        ("other", 482, "unknown edition"),
    ],
)
def test_references_are_told_apart_by_content(generator, length, edition, bench, tmp_path):
    rows = [{"instruction": str(n), "output": "x" * length, "generator": generator, "dataset": ""} for n in range(3)]
    path = write_json(tmp_path / "alpaca_eval" / "alpaca_eval.json", rows)
    assert edition_of(path, REFERENCE_OUTPUTS) == edition
    if edition.startswith("results"):
        with pytest.raises(UserError, match=r"bench\.files\.alpaca_eval_reference.*308\.0.*482\.4"):
            read_references(bench)
    else:
        assert len(read_references(bench)) == 3


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"instruction": "a", "output": "b"}] * 2, "'a' is there twice"),
        ([{"instruction": "a"}], "row 1"),
        ([{"output": "a"}], "instruction"),
    ],
)
def test_odd_references_are_refused(rows, named, bench, tmp_path):
    write_json(tmp_path / "alpaca_eval" / "alpaca_eval.json", rows)
    with pytest.raises(UserError, match=rf"bench\.files\.alpaca_eval_reference.*{named}"):
        read_references(bench)


def test_written_outputs_are_read_again(bench, prompts, tmp_path):
    responses = [Response(one.id, one.question, f'Ä "{one.id}"\n', one.category) for one in prompts]
    (path,) = write_answers(tmp_path / "out", list(zip(prompts, responses, strict=True)), "org/m")
    assert path == tmp_path / "out" / "alpaca_eval" / "org_m" / "model_outputs.json"
    assert json.loads(path.read_text())[1] == {
        "dataset": "b",
        "instruction": instruction(1),
        "output": 'Ä "1"\n',
        "generator": "org/m",
    }
    assert read_answers(path, prompts, bench) == responses


def test_outputs_are_joined_by_instruction_also_from_annotations(bench, prompts, tmp_path):
    rows = [annotation(3, 2), annotation(1, 1), {**annotation(0, 1), "instruction": "Another one."}]
    found = read_answers(write_json(tmp_path / "a.json", rows), prompts, bench)
    assert [(one.id, one.answer) for one in found] == [("1", "Mine 1."), ("3", "Mine 3.")]
    with pytest.raises(UserError, match="question, text"):
        read_answers(write_json(tmp_path / "b.json", [{"question": "a", "text": "b"}]), prompts, bench)


def test_the_model_of_a_file(tmp_path):
    outputs = [{"instruction": "a", "output": "b", "generator": name} for name in "mn"]
    assert read_model(write_json(tmp_path / "a.json", outputs[:1])) == "m"
    assert read_model(write_json(tmp_path / "b.json", [annotation(0, 1)])) == "m"
    with pytest.raises(UserError, match="m, n"):
        read_model(write_json(tmp_path / "c.json", outputs))


def test_preferences_of_all_spellings(prompts, tmp_path):
    ranks = "[{'model': 'model_1', 'rank': 1}]"
    rows = [annotation(0, 1), annotation(1, 2.0, raw_completion=ranks), annotation(2, 0), annotation(3, None)]
    rows += [annotation(3, 1.93, raw_completion="M"), annotation(3, 7)]
    found = read_judgments(write_json(tmp_path / "a.json", rows), prompts, "m")
    assert [(one.sample, one.value, one.text) for one in found] == [
        ("0", 1, None),
        ("1", 2, ranks),
        ("2", 1.5, None),
        ("3", None, None),
        ("3", 1.93, None),
        ("3", None, None),
    ]
    assert found[0].contains == (instruction(0), "Reference 0.", "Mine 0.")
    assert {one.judge for one in found} == {"alpaca_eval_gpt4"}


@pytest.mark.parametrize(
    ("rows", "model", "named"),
    [
        ([annotation(0, 1), annotation(0, 1, generator_2="n")], "", "m, n"),
        ([annotation(0, 1), annotation(0, 1, generator_2="n")], "o", "m, n"),
        ([annotation(0, 1), annotation(1, 1, annotator="other")], "m", "alpaca_eval_gpt4, other"),
        ([annotation(0, 1, generator_1="gpt4_1106_preview")], "m", "gpt4_1106_preview.*made_up"),
        ([annotation(0, "2")], "m", "'2'"),
        ([{"instruction": "a", "preference": 1}], "m", "preference"),
    ],
)
def test_other_annotations_are_refused(rows, model, named, prompts, tmp_path):
    with pytest.raises(UserError, match=named):
        read_judgments(write_json(tmp_path / "a.json", rows), prompts, model)


def test_annotations_of_other_models_are_left_out(prompts, tmp_path):
    rows = [annotation(0, 1), annotation(0, 2, generator_2="n", generator_1="another")]
    assert [one.value for one in read_judgments(write_json(tmp_path / "a.json", rows), prompts, "m")] == [1]
