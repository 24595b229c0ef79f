"""Labels of values, axes and scores."""

import pytest

from mmdpo.analysis.labels import (
    assignment,
    benchmark_label,
    column,
    decimals,
    duration,
    metric_label,
    metric_of,
    score_label,
    short_number,
    sign,
    value_text,
)
from mmdpo.evaluation.statistics import Score


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("beta", 0.1, "0.1"),
        ("lr", 5e-4, "5e-4"),
        ("lr", 2.5e-5, "2.5e-5"),
        ("lr", 0.02, "0.02"),
        ("data_scale", 0.25, "25 %"),
        ("data_scale", 0, "0 %"),
        ("logprob_avg", False, "sum"),
        ("logprob_avg", True, "mean"),
        ("logprob_avg", None, "–"),
        ("method", "rejection_sampling", "rejection sampling"),
        ("method", "my_own", "my_own"),
        ("train.activation_checkpointing", True, "yes"),
        ("seed", 3, "3"),
    ],
)
def test_values(key: str, value: object, text: str):
    assert value_text(key, value) == text


def test_names():
    assert (column("train.num_train_epochs"), column("model.name"), column("data_scale")) == (
        "epochs",
        "model",
        "data",
    )
    assert assignment("data_scale", 0.25) == "25 % of the data"
    assert assignment("beta", 0.1) == "beta 0.1"
    assert assignment("method", "dpo") == "DPO"


def test_numbers():
    assert short_number(0.05, 2) == ".05"
    assert short_number(1.2, 1) == "1.2"
    assert [duration(s) for s in (None, 7.1, 150, 9000)] == ["–", "7 s", "2 min", "2.5 h"]
    assert decimals([Score(8.6, 9, 8.5, 8.7)]) == 2
    assert decimals([Score(0.861, 9, 0.858, 0.864)]) == 3
    assert decimals([Score(86.1, 9, 84, 88)]) == 1
    assert decimals([]) == 2


def test_benchmarks_are_labelled_by_their_tasks():
    assert benchmark_label("text_noisy") == "text, unrelated image"
    assert score_label("text") == "text score (1–10)"
    assert score_label("presence") == "presence accuracy (0–1)"
    assert metric_label("text/words") == "answer length (words)"
    assert metric_label("presence/yes_ratio") == "yes ratio"
    assert metric_of("text").scale == metric_of("text/category/math").scale == (1, 10)
    assert metric_of("text/without_request").scale == (1, 10)
    assert metric_of("text/coherence").scale == (0, 4)
    assert metric_label("text/without_request") == "without request"


def test_an_unknown_benchmark_or_part_is_labelled_by_its_key():
    assert (benchmark_label("my_own"), score_label("my_own"), metric_of("my_own")) == ("my own", "my own", None)
    assert (metric_of("text/odd"), metric_label("text/odd_part")) == (None, "odd part")
    assert sign("my_own") == sign("text") == sign("text/words") == 1
    assert sign("presence/unparsed") == -1
