"""Fingerprints of the data and models of a submission."""

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.slurm import inputs
from mmdpo.slurm.inputs import NOT_DOWNLOADED, changed_since_submission, input_fingerprints


def fingerprints(*overrides):
    return input_fingerprints([compose_config(overrides)])


def test_data_and_models_are_compared_by_content(tmp_path):
    data, model = tmp_path / "pairs.jsonl", tmp_path / "model"
    data.write_text("{}\n")
    model.mkdir()
    (model / "model.safetensors").write_text("1")
    line = ["data=pairs", f"data.path={data}", f"model.path={model}", "model.before_visual_tuning=null"]
    before = fingerprints(*line)
    assert [*before] == [f"data.path={data}", f"model.path={model}"]
    assert fingerprints(*line) == before
    data.write_text("{} \n")
    (model / "model.safetensors").write_text("2")
    after = fingerprints(*line)
    assert all(before[key] != after[key] for key in before)


def test_large_files_are_compared_by_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "LARGE", 3)
    monkeypatch.setattr(inputs, "file_fingerprint", lambda file: pytest.fail("read"))
    data = tmp_path / "pairs.jsonl"
    data.write_text("{}\n")
    line = ["data=pairs", f"data.path={data}"]
    before = fingerprints(*line)
    data.write_text("{} \n")
    assert fingerprints(*line) != before


def test_the_shipped_model_and_data_need_no_fingerprint():
    assert fingerprints() == {}  # they are part of the code's snapshot


def test_changed_inputs_are_those_that_a_config_names(tmp_path):
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    for data in (one, other):
        data.write_text("{}\n")
    configs = [compose_config(["data=pairs", f"data.path={data}"]) for data in (one, other)]
    recorded = input_fingerprints(configs)
    assert len(recorded) == 2
    assert changed_since_submission(recorded, configs) == []
    other.write_text("{} \n")
    assert changed_since_submission(recorded, configs) == [f"data.path={other}"]
    assert changed_since_submission(recorded, configs[:1]) == []
    assert changed_since_submission({}, configs) == []


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (NOT_DOWNLOADED, "revision", False),
        ("revision", NOT_DOWNLOADED, False),
        ("revision", "revision", False),
        ("another", "revision", True),
    ],
)
def test_a_model_of_the_hub_may_be_downloaded_after_the_submission(before, after, changed, monkeypatch):
    name = "model.path=llava-hf/llava-1.5-7b-hf"
    monkeypatch.setattr(inputs, "input_fingerprints", lambda configs: {name: after})
    assert changed_since_submission({name: before}, [compose_config()]) == ([name] if changed else [])
