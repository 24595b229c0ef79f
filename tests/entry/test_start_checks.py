"""Commands that start from an adapter or have rounds: what is refused, with the override to type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.entry.trial_pruning import pruning_rungs
from mmdpo.errors import UserError
from tests.support.adapters import write_adapter


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        (["model.adapter=nowhere"], "model.adapter=outputs/STUDY/POINT/adapter"),
        (["model.adapter=ADAPTER", "model.adapter_use=sample"], "generator.adapter="),
        (["model.adapter=ADAPTER", "train.zero_stage=3"], "train.zero_stage=2"),
        (["rounds=2", "train.zero_stage=3"], "train.zero_stage=2"),
        (["rounds=3", "data.round_parts=2"], "type data.round_parts=3"),
        (["rounds=2", "method=sft"], "method="),
        (["rounds=2", "generator=openai", "generator.model=m", "generator.base_url=http://h/v1"], "generator=model"),
        (["rounds=2", "data=pairs", "data.path=PAIRS"], "data=prompts"),
        (["rounds=2", "judge.share=0.5"], "judge.share=1"),
        (["rounds=0"], "rounds=0"),
        (["rounds=2", "model.adapter_use=merge", "model.lora.use_dora=true"], "model.adapter_use=train"),
        (["rounds=2", "search=halving"], "search=none"),
        (["search=halving", "model.adapter=ADAPTER", "model.adapter_use=merge"], "model.adapter_use=train"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path: Path, line: list[str], typed: str) -> None:
    write_adapter(tmp_path / "adapter")
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "No."}\n')
    places = {"ADAPTER": str(tmp_path / "adapter"), "PAIRS": str(tmp_path / "pairs.jsonl")}
    words = [re.sub("ADAPTER|PAIRS", lambda found: places[found[0]], word) for word in line]
    with pytest.raises(UserError, match=re.escape(typed)):
        compose_config(words)


def test_zero_3_takes_rounds_that_train_on_the_base(tmp_path: Path) -> None:
    config = compose_config(["rounds=2", "train.zero_stage=3", "model.adapter_use=sample"])
    assert config.rounds == 2


def test_trials_of_a_search_with_rounds_are_not_pruned() -> None:
    with pytest.raises(UserError, match=r"hydra/sweeper/pruner=median: .*type rounds=1"):
        pruning_rungs([0.5], "median", compose_config(["rounds=2"]), ["text"])
