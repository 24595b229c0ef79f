"""The files that show that a point's work is done. One that cannot be read shows nothing: the work is done again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdpo.files import Unreadable, is_whole_safetensors, open_regular
from mmdpo.models.fingerprints import ADAPTER_FILES, file_digest
from mmdpo.points.point_files import mapping_or_none, read_mapping

ADAPTER = "adapter"
CONTAMINATION = "contamination.json"
"""The overlap of a trained point's data with its benchmarks."""
RESULT = "result.json"
TRAINING = "training.json"
"""The summary of a point's training; the file appears when the adapter is complete."""
UNFINISHED = ".unfinished"
"""The folder below a point's answers that stores them until they are complete."""


def read_result(folder: Path) -> dict[str, Any]:
    """Read the result of a point.

    Raises:
        FileNotFoundError: The point has none.
        Unreadable: It is damaged.
    """
    result = read_mapping(folder / RESULT)
    scores = result.get("scores")
    if not isinstance(scores, dict):
        raise Unreadable(f"{RESULT} cannot be read: it holds no scores")
    return result


def has_result(folder: Path) -> bool:
    """Return whether a point has a result that can be read, and no damaged file."""
    try:
        read_result(folder)
    except (FileNotFoundError, Unreadable):
        return False
    return damaged_file(folder) is None


def has_unscored(folder: Path) -> bool:
    """Return whether a point's result counts items without a score."""
    scores = (mapping_or_none(folder / RESULT) or {}).get("scores")
    entries = scores.values() if isinstance(scores, dict) else ()
    return any(isinstance(entry, dict) and entry.get("unscored") for entry in entries)


def damaged_file(folder: Path) -> str | None:
    """Return the name of a damaged adapter, of damaged answers or judgments; None if all that is there is whole.

    What is missing was removed to save space, or an earlier version did not write it.
    """
    if os.path.lexists(folder / ADAPTER) and not is_whole_adapter(folder / ADAPTER):
        return ADAPTER
    for origin in sorted((folder / "answers").glob("*.json")):
        if not _is_as_written(origin.with_suffix(".jsonl")):
            return f"answers/{origin.stem}.jsonl"
    for judgments in sorted((folder / "judgments").glob("*.jsonl")):
        if not _ends_with_a_line(judgments):
            return f"judgments/{judgments.name}"
    return None


def read_training(folder: Path) -> dict[str, Any] | None:
    """Return the summary of a point's training; None if it or the adapter is missing or damaged.

    The result of a finished point holds the summary as well.
    """
    summary = mapping_or_none(folder / TRAINING)
    if summary is None:
        summary = (mapping_or_none(folder / RESULT) or {}).get("training")
    if not isinstance(summary, dict) or not isinstance(summary.get("seconds") or 0.0, int | float):
        return None
    return summary if is_whole_adapter(folder / ADAPTER) else None


def is_whole_adapter(adapter: Path) -> bool:
    """Return whether an adapter's files are there and are not torn; its numbers are not read."""
    config, weights = (adapter / name for name in ADAPTER_FILES)
    return mapping_or_none(config) is not None and is_whole_safetensors(weights)


def has_answers(folder: Path, tasks: Iterable[str]) -> bool:
    """Return whether the answers to all these tasks, at least one, are there with the content that was written."""
    files = [folder / "answers" / f"{task}.jsonl" for task in tasks]
    return bool(files) and all(map(_is_as_written, files))


def is_exported(folder: Path) -> bool:
    """Return whether the point's merged model is there, and none of its files is torn."""
    merged = folder / "merged"
    weights = [*merged.glob("*.safetensors")]
    return mapping_or_none(merged / "config.json") is not None and all(map(is_whole_safetensors, weights))


def _is_as_written(answers: Path) -> bool:
    """Return whether a file of answers has the content that the file beside it names."""
    origin = mapping_or_none(answers.with_suffix(".json")) or {}
    try:
        return bool(origin.get("content") == file_digest(answers)[:16])  # remembered: tables are drawn again and again
    except (OSError, Unreadable):
        return False


def _ends_with_a_line(records: Path) -> bool:
    """Return whether a file of records has any, and ends after one."""
    try:
        with open_regular(records) as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"
    except (OSError, Unreadable):  # an empty file has no last byte
        return False
