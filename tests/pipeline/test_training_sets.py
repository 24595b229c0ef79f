"""The examples that the axes select: none, none flipped, or too few to learn from."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.schema import SourceConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.pipeline.training_sets import check_own_data, check_selection
from mmdpo.records import PreferencePair


def pairs(with_images: int, text_only: int = 0) -> list[PreferencePair]:
    shown = [PreferencePair(f"image-{n}", "what is it", "a", "b", images=("a.png",)) for n in range(with_images)]
    return shown + [PreferencePair(f"text-{n}", "what is it", "a", "b") for n in range(text_only)]


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
        check_selection(compose_config(overrides), pairs(available))
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize(
    ("overrides", "given", "named"),
    [
        (["data.text_share=0.5"], (40, 12), "there are 12 text-only examples and 40 with images; type data_limit=25"),
        (["data.text_share=0.25", "data_limit=80"], (40, 60), "type data_limit=54"),
        (["data.text_share=1"], (40, 0), "type a larger data.text_prompts="),
        (["data.text_share=0.5"], (0, 40), "type data_limit="),
        (["data.text_share=0.01"], (40, 40), "makes none of 40 examples text-only"),
        (["data.text_share=0.99"], (40, 40), "makes all of 40 examples text-only"),
    ],
)
def test_a_share_of_text_that_the_data_cannot_give_is_refused(
    overrides: list[str], given: tuple[int, int], named: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_selection(compose_config(overrides), pairs(*given))
    assert str(caught.value).startswith("data.text_share=")
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({"sources": {"photos": SourceConfig(format="lrv")}}, "+data.sources.text.path=FILE"),
        ({"path": "pairs.jsonl"}, "add rows without an image"),
    ],
)
def test_the_advice_for_more_text_fits_the_data(changed: dict[str, Any], advice: str) -> None:
    config = compose_config(["data.text_share=0.5"])
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, **changed))
    with pytest.raises(UserError, match=re.escape(advice)):
        check_selection(config, pairs(40))


def test_any_other_selection_is_fine() -> None:
    check_selection(compose_config(), pairs(17))
    check_selection(compose_config(["train.warmup_ratio=0", "label_noise=0.25"]), pairs(12))


def test_twelve_pairs_of_ones_own_are_refused_on_the_default_line(tmp_path: Path) -> None:
    rows = [{"prompt": f"what is {n}", "chosen": f"it is {n}", "rejected": f"no {n}"} for n in range(12)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ["data=pairs", f"data.path={path}"]
    with pytest.raises(UserError, match=r"train\.num_train_epochs=10"):
        check_own_data([compose_config(own)])
    check_own_data([compose_config([*own, "train.num_train_epochs=10"])])
