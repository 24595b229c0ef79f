"""The Python door to results: studies, or the file of a bundle, as pandas data frames and pictures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis import frames
from mmdpo.analysis.bundle_file import is_archive, read_manifest, unpack
from mmdpo.analysis.figures import Picture, draw_figures
from mmdpo.analysis.find import find_study
from mmdpo.analysis.study import Study, read_study
from mmdpo.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

Source = str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class StudyData:
    """Studies as data frames, which are made when they are first asked for.

    Values that are absent are None or NaN; an item without a score is NaN in `items` and is counted as `unscored`.

    Attributes:
        studies: The studies, as `mmdpo.analysis.study` reads them.
    """

    studies: tuple[Study, ...]
    _temporary: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="mmdpo-"), compare=False
    )

    def __repr__(self) -> str:
        """Name the studies and count their points."""
        return f"StudyData({', '.join(f'{study.name}: {len(study.rows)} points' for study in self.studies)})"

    @cached_property
    def points(self) -> DataFrame:
        """One row per point, finished or not.

        Columns: `study`, `point`, `role`, `state`, the axes (`method`, `beta`, ...), `steps`, `examples`, `epochs`,
        `seconds`, `judge`, `started`, `finished`, `host`, `git`, `error`; then the settings in which points differ by
        their dotted keys, and `versions.PACKAGE`.
        """
        return self._frame(frames.point_records, frames.POINTS)

    @cached_property
    def results(self) -> DataFrame:
        """One row per result and benchmark; points that differ only in their seed are one result.

        Columns: `study`, `part` (what differs between rows that cannot be compared; usually empty), `result`, `role`,
        the axes without the seed, `benchmark`; `value`, `low`, `high`, `n`, `unscored`, `seeds`; `gain` over the base
        with `gain_low`, `gain_high`, `p`, and, corrected for the comparisons of the study, `p_corrected` and `verdict`;
        `judge`, `split`, and the settings in which points differ. References have no verdict.
        """
        return self._frame(frames.result_records, frames.RESULTS)

    @cached_property
    def scores(self) -> DataFrame:
        """One row per score of each point.

        Columns: `study`, `point`, `role`, `benchmark`, `part` (empty for the score of the whole benchmark, else a
        metric as `correctness` or a group as `category/math`), `value`, `low`, `high`, `n`, `unscored`.
        """
        return self._frame(frames.score_records, frames.SCORES)

    @cached_property
    def items(self) -> DataFrame:
        """One row per answer of each point.

        Columns: `study`, `point`, `benchmark`, `id`, `category`, `question`, `answer`, `score`, `words`, `cluster`,
        `reason` (of an unscored item); then `parts.NAME` and `groups.KIND`.
        """
        return self._frame(frames.item_records, frames.ITEMS)

    @cached_property
    def metrics(self) -> DataFrame:
        """One row per value that a training logged: `study`, `point`, `step`, `metric` with TRL's name, `value`."""
        return self._frame(frames.metric_records, frames.METRICS)

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """The pictures of the report by name, such as `data_scaling`; of several studies, by `STUDY/NAME`.

        A notebook shows a picture that is the last value of a cell.
        """
        found = {}
        for number, study in enumerate(self.studies):
            prefix = f"{study.name}/" if len(self.studies) > 1 else ""
            for one in draw_figures(study, Path(self._temporary.name, "figures", str(number))):
                found[f"{prefix}{one.path.stem}"] = one
        return found

    def _frame(self, records: Callable[[Study], Iterable[dict[str, Any]]], columns: tuple[str, ...]) -> DataFrame:
        """Make a data frame of the records of all studies: the known columns first, then the others by name."""
        from pandas import DataFrame

        rows = [record for study in self.studies for record in records(study)]
        others = dict.fromkeys(key for record in rows for key in record if key not in columns)
        frame = DataFrame(rows, columns=[*columns, *others])
        return frame.astype(
            {name: "Int64" for name in frames.COUNTS if name in columns}
        )  # integers, also if one is absent


def load_study(*sources: Source | Iterable[Source]) -> StudyData:
    """Read studies for a notebook or a script.

    Args:
        sources: Names below `outputs`, folders, or files of `python -m mmdpo bundle`; lists of these as well. Without
            any, the study that changed last.

    Returns:
        The data frames `points`, `results`, `scores`, `items` and `metrics`, and the pictures.

    Raises:
        UserError: There is no such study, or two of them have the same name.
    """
    listed = [one for source in sources for one in ([source] if isinstance(source, str | os.PathLike) else source)]
    temporary = tempfile.TemporaryDirectory(prefix="mmdpo-")
    studies = [_read(Path(source), temporary) for source in listed] if sources else [read_study(find_study(None))]
    names = [study.name for study in studies]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two studies are named {twice[0]!r}: copy one of the folders to another name")
    return StudyData(tuple(studies), temporary)


def _read(source: Path, temporary: tempfile.TemporaryDirectory[str]) -> Study:
    if not is_archive(source):
        return read_study(find_study(str(source)))
    folder = Path(temporary.name, "bundles", read_manifest(source).study)
    if not folder.exists():
        unpack(source, folder)
    return read_study(folder)
