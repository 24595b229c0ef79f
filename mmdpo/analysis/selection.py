"""Results of one or several studies by names, parts of names and patterns; points that differ only in seed are one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmdpo.analysis.find import OUTPUTS, find_study, list_studies
from mmdpo.analysis.groups import Group, varying_but_seed, with_own_seeds
from mmdpo.analysis.labels import row_label
from mmdpo.analysis.study import POINT_FILES, Row, Study, read_study, study_of
from mmdpo.errors import UserError
from mmdpo.points.identity import Role
from mmdpo.points.results import RESULT

GLOB = "*?["
LISTED = 8  # points in a message


@dataclass(frozen=True)
class Selection:
    """The results that the words of a command name.

    Attributes:
        reference: The result that the others are compared with.
        others: The other results, in the order of the words.
        left_out: The names of points without scores that a pattern or a study's name also matches.
    """

    reference: Group
    others: tuple[Group, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    text: str
    rows: list[Row]
    is_study: bool


def select(words: Sequence[str], outputs: Path = OUTPUTS) -> Selection:
    """Find the results that words name: folders, names or parts of names of points, patterns, names of studies.

    Args:
        words: The words. The first names the reference; of a study it is the base.
        outputs: The folder of the studies.

    Raises:
        UserError: A word names nothing, a point without scores, or several results as the reference.
    """
    studies: dict[Path, Study] = {}
    found = [_find(word, outputs, studies) for word in words]
    left_out = dict.fromkeys(row.point for word in found for row in word.rows if not row.scores)
    for word in found:
        _check_scores(word)
    rows = {id(row): replace(row) for word in found for row in word.rows if row.scores}
    everything = study_of(Path(outputs), [*rows.values()])
    results = [_results(everything, [rows[id(row)] for row in word.rows if row.scores]) for word in found]
    reference = _reference(found[0], results[0])
    others: dict[tuple[str, ...], Group] = {}
    for group in (one for result in results for one in result):
        if _names(group) != _names(reference):
            others.setdefault(_names(group), group)
    if not others:
        raise UserError(
            f"{' '.join(words)}: names one result, {_names(reference)[0]}; name another one to compare it with"
        )
    return Selection(reference, tuple(others.values()), tuple(left_out))


def _find(word: str, outputs: Path, studies: dict[Path, Study]) -> _Word:
    """Find the points that a word names; a point that several studies have counts once."""

    def rows_of(folder: Path) -> list[Row]:
        if folder not in studies:
            studies[folder] = read_study(folder, may_be_empty=True)
        return studies[folder].rows

    folders = [folder.absolute() for folder in (outputs / word, Path(word))]
    if folder := next((one for one in folders if any(os.path.exists(one / name) for name in POINT_FILES)), None):
        return _Word(word, [row for row in rows_of(folder.parent) if row.point == folder.name], False)
    place, slash, piece = word.rstrip("/").rpartition("/")
    if any(os.path.isdir(folder) for folder in (outputs / word, Path(word))):
        return _Word(word, rows_of(find_study(word, outputs)), True)
    if any(letter in place for letter in GLOB):
        places = [one for one in list_studies(outputs) if fnmatchcase(one.name, place)]
    else:
        places = [find_study(place, outputs)] if slash else list_studies(outputs)
    rows = [row for one in places for row in rows_of(one)]
    matching = [row for row in rows if row.point == piece] or [
        row for row in rows if fnmatchcase(row.point, f"*{piece}*")
    ]
    if not matching:
        searched = f"{place}/" if slash else f"{outputs}/"
        raise UserError(f"no point {piece!r} in {searched}. `python -m mmdpo status` shows the studies' points.")
    return _Word(word, [*{row.point: row for row in reversed(matching)}.values()][::-1], False)


def _check_scores(word: _Word) -> None:
    """Raise UserError if no point of a word has scores."""
    if any(row.scores for row in word.rows):
        return
    if not word.rows:
        raise UserError(f"{word.text} holds no point. `python -m mmdpo status` shows the studies' points.")
    row = word.rows[0]
    if not os.path.exists(row.folder / RESULT):
        raise UserError(f"{row.folder} has no {RESULT}: finish the point with stage=judge, or name another")
    reason = row.error or f"{RESULT} holds no score"
    fix = "" if "rerun" in reason else "; rerun the same command to make the point again"
    raise UserError(f"{row.folder}: {reason}{fix}")


def _results(everything: Study, rows: Sequence[Row]) -> list[Group]:
    """Group the points of a word over seeds; models that were not trained come first."""
    keys = varying_but_seed(everything)
    names = {id(row) for row in rows}
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in everything.rows:
        if id(row) in names:
            alone = (row.point,) if row.role != Role.trained else ()
            found.setdefault((*alone, *(str(row.value(key)) for key in keys)), []).append(row)
    return [group for members in found.values() for group in with_own_seeds(row_label(members[0], keys), members)]


def _reference(word: _Word, results: list[Group]) -> Group:
    """Return the result that the first word names; of a study, its base. Raises UserError for several."""
    fitting = [group for group in results if group.role == Role.base] if word.is_study else results
    if len(fitting) == 1:
        return fitting[0]
    if word.is_study:
        raise UserError(
            f"{word.text}: holds {len(fitting)} bases with scores, so that no result is the reference; name it first"
        )
    names = [f"{row.folder.parent.name}/{row.point}" for group in fitting for row in group.rows]
    listed = "".join(f"\n  {name}" for name in names[:LISTED])
    listed += f"\n  and {len(names) - LISTED} more" if len(names) > LISTED else ""
    raise UserError(
        f"{word.text!r} names {len(fitting)} results, and the first word names the reference; type more of one:{listed}"
    )


def _names(group: Group) -> tuple[str, ...]:
    return tuple(row.point for row in group.rows)
