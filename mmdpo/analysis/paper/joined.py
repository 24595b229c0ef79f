"""Several studies as one, so that their results stand in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmdpo.analysis.study import Row, Study, study_of


def joined_study(studies: Sequence[Study], folder: Path) -> Study:
    """Return the points of several studies as one study; a point that several of them have stands in it once.

    A point that has the name of another one and other scores is called STUDY/POINT.

    Args:
        studies: The studies; a single one is returned as it is.
        folder: The folder for what is computed from all of them.
    """
    if len(studies) == 1:
        return studies[0]
    found: dict[str, Row] = {}
    for study in studies:
        for row in study.rows:
            known = found.get(row.point)
            if known is None:
                found[row.point] = replace(row)
            elif known.scores != row.scores:
                found[f"{study.name}/{row.point}"] = replace(row, point=f"{study.name}/{row.point}")
    joined = study_of(folder, [*found.values()])
    return replace(joined, name=", ".join(study.name for study in studies))
