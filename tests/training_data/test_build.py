"""A training set without examples is refused where it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import TrainOn
from mmdpo.config.schema import PairsConfig
from mmdpo.errors import UserError
from mmdpo.records import Annotation, Completion, Prompt
from mmdpo.training_data.build import write_training_set
from tests.support.ratings import rating

PROMPT = Prompt("p", "What?")
COMPLETIONS = [Completion("p", 0, "a"), Completion("p", 1, "b")]
TIED = Annotation("p", (rating(3, 3, 3, 3, 3),) * 2, "j", (0, 1), "schema")


@pytest.mark.parametrize(
    ("train_on", "more", "override"),
    [
        (TrainOn.teacher, {}, "stage=teacher judge.retry_unscored=true"),
        (TrainOn.best_completion, {"completions": COMPLETIONS}, "stage=annotate judge.retry_unscored=true"),
        (TrainOn.pairs, {"completions": COMPLETIONS}, "stage=annotate judge.retry_unscored=true"),
        (TrainOn.pairs, {"completions": COMPLETIONS, "annotations": [TIED]}, "pairs.margin="),
    ],
)
def test_an_empty_set_is_refused(tmp_path: Path, train_on: TrainOn, more: dict[str, Any], override: str) -> None:
    with pytest.raises(UserError, match="the training set is empty") as raised:
        write_training_set(tmp_path, train_on, PairsConfig(), ["helpfulness"], 0, [PROMPT], **more)
    assert override in str(raised.value)
