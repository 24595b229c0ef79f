"""The examples that the axes select: none, none flipped, or too few to learn from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.pipeline.training_sets import check_own_data, check_selection


@pytest.mark.parametrize(
    ("overrides", "available", "named"),
    [
        (["data_scale=0.01"], 12, "data_scale=0.01: selects none of 12 examples"),
        (["data_limit=10", "data_scale=0.01"], 1000, "data_scale=0.01: selects none of 10 examples"),
        (["label_noise=0.01"], 40, "label_noise=0.01: flips none of 40 pairs"),
        ([], 12, "train.warmup_ratio=0.03: nothing would be learned"),
        (["data_limit=12"], 1000, "train.warmup_ratio=0.03: nothing would be learned"),
    ],
)
def test_a_selection_without_effect_is_refused(overrides: list[str], available: int, named: str) -> None:
    with pytest.raises(UserError) as caught:
        check_selection(compose_config(overrides), available)
    assert str(caught.value).startswith(named)


def test_any_other_selection_is_fine() -> None:
    check_selection(compose_config(), 17)
    check_selection(compose_config(["train.warmup_ratio=0", "label_noise=0.25"]), 12)


def test_twelve_pairs_of_ones_own_are_refused_on_the_default_line(tmp_path: Path) -> None:
    rows = [{"prompt": f"what is {n}", "chosen": f"it is {n}", "rejected": f"no {n}"} for n in range(12)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ["data=pairs", f"data.path={path}"]
    with pytest.raises(UserError, match=r"train\.num_train_epochs=10"):
        check_own_data([compose_config(own)])
    check_own_data([compose_config([*own, "train.num_train_epochs=10"])])
