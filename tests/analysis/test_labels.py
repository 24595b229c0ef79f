"""How values are written."""

import pytest

from mmdpo.analysis.labels import assignment, column, decimals, duration, short_number, value_text
from mmdpo.analysis.points import Score


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
    assert short_number(0.05, 2) == ".05" and short_number(1.2, 1) == "1.2"
    assert [duration(s) for s in (None, 7.1, 150, 9000)] == ["–", "7 s", "2 min", "2.5 h"]
    assert decimals([Score(8.6, 8.5, 8.7, 9)]) == 2
    assert decimals([Score(0.861, 0.858, 0.864, 9)]) == 3
    assert decimals([Score(86.1, 84, 88, 9)]) == 1
    assert decimals([]) == 2
