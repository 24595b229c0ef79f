"""Patterns of an adapter that cannot be matched."""

from __future__ import annotations

from typing import Any

import pytest

from mmdpo.errors import UserError
from mmdpo.models import bounded
from mmdpo.models.adapter_patterns import require_quick_patterns

NAMES = ["model.language_model.layers.0.self_attn.q_proj", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"]


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", "v_proj"], "modules_to_save": None},
        {"target_modules": r"model\.language_model\.layers\.\d+\.self_attn\.q_proj", "rank_pattern": {"q_.*": 4}},
        {},
    ],
)
def test_patterns_that_pass(config: dict[str, Any]) -> None:
    require_quick_patterns("FOLDER", config, NAMES)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"target_modules": "(a+)+b"}, "target_modules.*more than 0.2 seconds"),
        ({"target_modules": ["q_proj"], "exclude_modules": "(a|a)*b"}, "exclude_modules.*more than 0.2 seconds"),
        ({"rank_pattern": {"(a*)*b": 4}}, "rank_pattern.*more than 0.2 seconds"),
        ({"target_modules": "("}, "target_modules is not a regular expression"),
    ],
)
def test_patterns_that_are_refused(monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], reason: str) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.2)
    with pytest.raises(UserError, match=rf"FOLDER/adapter_config\.json: .*{reason}.*generator\.adapter="):
        require_quick_patterns("FOLDER", config, NAMES)
