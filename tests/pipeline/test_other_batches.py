"""The notice about points that an earlier version has trained with other batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmdpo.files import write_json
from mmdpo.pipeline.other_batches import batches_notice
from mmdpo.points.results import RESULT, TRAINING
from mmdpo.training.run import TrainSummary

SUMMARY = TrainSummary(3, 8, 1.0, 2.0, {}, {}, True, {}, "weights", "rows", prompts=2)


@pytest.mark.parametrize(
    ("file", "content", "noticed"),
    [
        (TRAINING, {"data_fingerprint": "rows"}, True),
        (RESULT, {"training": {"data_fingerprint": "rows"}}, True),
        (TRAINING, {"data_fingerprint": "rows", "prompts": 2}, False),
        (TRAINING, {"data_fingerprint": "others"}, False),
        (RESULT, {}, False),
    ],
)
def test_points_of_an_earlier_version_on_the_same_rows_are_noticed(
    tmp_path: Path, file: str, content: dict[str, object], noticed: bool
) -> None:
    point = tmp_path / "dpo-0123456789ab"
    point.mkdir()
    write_json(point / "config.yaml", {})
    write_json(point / file, content)
    found = batches_notice(tmp_path, SUMMARY)
    assert (found is not None) is noticed
    assert not noticed or "1 points" in str(found)
    assert not noticed or "train.prompt_once=false" in str(found)


def test_a_training_with_separate_rows_has_no_notice(tmp_path: Path) -> None:
    assert batches_notice(tmp_path, replace(SUMMARY, prompts=0)) is None
