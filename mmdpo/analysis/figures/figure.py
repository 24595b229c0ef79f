"""One kind of picture as an object: the studies that it suits, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmdpo.analysis.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class StudyFigure:
    """A kind of picture. A file in `analysis/figures/` that defines `FIGURE` as one of these adds it to all reports.

    Attributes:
        suits: Return whether the picture makes sense for a study.
        draw: Draw the pictures of a study that it suits, by file name without a suffix.
        caption: Describe one of these pictures, for its alternative text.
        order: The place among the kinds; lower comes first, and the first one is the main picture.
        by_part: Whether points whose scores cannot be compared, as they have different judges, get a picture each.
    """

    suits: Callable[[Study], bool]
    draw: Callable[[Study], Mapping[str, Figure]]
    caption: Callable[[str], str]
    order: int = 100
    by_part: bool = True
