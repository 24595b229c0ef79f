"""Notice that points of a study were trained on the same rows in other batches, by an earlier version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.records import point_folders
from mmdpo.points.results import RESULT, TRAINING

if TYPE_CHECKING:
    from mmdpo.training.run import TrainSummary


def batches_notice(study: Path, summary: TrainSummary) -> str | None:
    """Return a notice if rows of a prompt shared a batch in a training, and did not in others of its study.

    Versions before `train.prompt_once` trained all rows in separate batches; the identities of their points name no
    such setting.

    Args:
        study: The folder of the study.
        summary: The outcome of the training.

    Returns:
        The notice, or None if there is nothing to say.
    """
    if not summary.prompts:
        return None
    trainings = [
        mapping_or_none(folder / TRAINING) or (mapping_or_none(folder / RESULT) or {}).get("training") or {}
        for folder in point_folders(study)
    ]
    others = [
        one for one in trainings if one.get("data_fingerprint") == summary.data_fingerprint and "prompts" not in one
    ]
    if not others:
        return None
    return (
        f"{len(others)} points of {study} were trained on the same rows by an earlier version, which did not keep rows "
        "of a prompt in one batch; for batches like theirs, type train.prompt_once=false and study=NEW_NAME"
    )
