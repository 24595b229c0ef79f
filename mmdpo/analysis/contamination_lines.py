"""Lines for the table and the page on training data that a benchmark has, too."""

from __future__ import annotations

from typing import Any

from mmdpo.analysis.study import Study
from mmdpo.points.point_files import mapping_or_none
from mmdpo.points.results import CONTAMINATION


def contamination_lines(study: Study) -> list[str]:
    """Return one line per benchmark that shares texts or images with the training data of a trained point."""
    lines: dict[str, None] = {}
    clean: set[str] = set()
    for row in study.trained:
        for task, found in (mapping_or_none(row.folder / CONTAMINATION) or {}).items():
            if isinstance(found, dict):
                if line := overlap_line(str(task), found):
                    lines[line] = None
                else:
                    clean.add(str(task))
    if clean and not lines:
        return [f"contamination: the training data share no 13 words and no image with {', '.join(sorted(clean))}"]
    return [*lines]


def overlap_line(task: str, found: dict[str, Any]) -> str:
    """Describe the overlap of a benchmark with the training data; empty if there is none.

    Args:
        task: The name of the task.
        found: An `Overlap` as it is stored.
    """
    counted = {name: len(value) for name, value in found.items() if isinstance(value, dict)}
    parts = []
    if count := counted.get("texts", 0):
        words = next(iter(found["texts"].values()))
        parts.append(f'{count} of {found.get("items")} items share 13 words with the training data, such as "{words}"')
    images = counted.get("equal_images", 0), counted.get("near_images", 0)
    if any(images):
        parts.append(f"{images[0]} of {found.get('images')} images are in it, and {images[1]} nearly so")
    return f"contamination  {task}: {'; '.join(parts)}" if parts else ""
