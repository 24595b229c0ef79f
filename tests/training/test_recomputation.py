"""Recomputation of activations by either of its names."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import TrainingArguments

from mmdpo.training.recomputation import NAMES, recomputation, recomputation_argument


class Model:
    """A model, and its base, that record which methods are called."""

    def __init__(self, name: str) -> None:
        self.calls: list[str] = []
        for method in (
            f"{name}_enable",
            f"{name}_disable",
            "enable_input_require_grads",
            "disable_input_require_grads",
        ):
            setattr(self, method, lambda method=method: self.calls.append(method))

    def get_base_model(self) -> Any:
        return self


@pytest.mark.parametrize("name", NAMES)
def test_a_model_recomputes_within_the_block(name: str) -> None:
    model: Any = Model(name)
    with recomputation(model, False):
        assert model.calls == []
    with recomputation(model, True):
        assert model.calls == ["enable_input_require_grads", f"{name}_enable"]
    assert model.calls[2:] == [f"{name}_disable", "disable_input_require_grads"]


def test_the_argument_is_one_of_the_installed_library() -> None:
    (name,) = recomputation_argument(True)
    assert name in TrainingArguments.__dataclass_fields__
