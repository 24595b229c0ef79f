"""The plan of a study: the comparison that it names, and how the study departed from it as far as its files tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mmdpo.analysis.groups import Group, base_of, groups
from mmdpo.analysis.label_lines import is_searched, label_of_row
from mmdpo.analysis.study import FAILED, Row, Study
from mmdpo.errors import UserError
from mmdpo.points.identity import Role
from mmdpo.points.status import State
from mmdpo.points.study_plan import PlanOfCommand, StudyPlan, differing_keys, read_plan

NAMED = 3
"""Points in a line."""


@dataclass(frozen=True)
class PrimaryComparison:
    """The comparison that a plan names.

    Attributes:
        benchmark: The benchmark whose score decides.
        against: What the results are compared with, in words.
        pairs: Each compared result behind the one that it is compared with.
    """

    benchmark: str
    against: str
    pairs: tuple[tuple[Group, Group], ...]


def primary_comparison(study: Study) -> PrimaryComparison | None:
    """Return the planned comparison; None without a plan, or if the plan came after results that it compares."""
    plan = _intact(study)
    if plan is None or _finished_before(study, plan.first):
        return None
    return _comparison(study, plan)


def _comparison(study: Study, plan: StudyPlan) -> PrimaryComparison:
    settings = plan.first.plan
    benchmark, against = str(settings["primary"]), settings["against"]
    found = groups(study)
    usable = [group for group in found if _on_split(group.rows, benchmark, settings.get("split"))]
    compared = [group for group in usable if _matches(group, settings["compared"])]
    pairs = []
    if not against:
        pairs = [(base, group) for group in compared if (base := base_of(study, group)) is not None]
    else:
        references = [group for group in usable if _matches(group, against)]
        if len(references) == 1:
            pairs = [(references[0], group) for group in compared if group.rows != references[0].rows]
    return PrimaryComparison(benchmark, conditions_text(against) or "base", tuple(pairs))


def departures(study: Study) -> list[str]:
    """Return a line for each way in which a study departed from its plan; none without a plan."""
    try:
        plan = read_plan(study.folder)
    except UserError as error:
        return [f"the plan cannot be read, so that all comparisons are exploratory: {error}"]
    return [] if plan is None else list(dict.fromkeys(_departures(study, plan)))


def _departures(study: Study, plan: StudyPlan) -> Iterator[str]:
    settings = plan.first.plan
    if early := _finished_before(study, plan.first):
        yield f"the plan was recorded after {_named(early)} had finished, so that all comparisons are exploratory"
    yield from _of_points(study, plan)
    yield from _of_seeds(study, plan)
    yield from _of_benchmark(study, settings)
    for one in plan.others:
        keys = ", ".join(differing_keys(settings, one.plan))
        yield f"a later command had another plan ({keys} differ), which does not count: {one.command or 'unknown'}"
    comparison = _comparison(study, plan)
    if any(row.scores for row in study.trained) and not comparison.pairs and not is_searched(study):
        compared = conditions_text(settings["compared"]) or "all trained results"
        yield f"the planned comparison, {compared} against {comparison.against}, cannot be made with these points"


def _of_points(study: Study, plan: StudyPlan) -> Iterator[str]:
    """Compare the trained points with those of the first command, or of commands that began before any result."""
    rows = {row.point: row for row in study.trained}
    known = _finish_times(study)
    planned = set(plan.first.points)
    for one in plan.again:
        if any(time <= _time(one.time) for time in known):
            yield f"{_named(one.points)} came in after results were there, by: {one.command or 'unknown'}"
        planned |= set(one.points)
    if planned and (extra := sorted(set(rows) - planned)):  # a search knows its points only afterwards
        yield f"not planned: {_named(extra)}"
    wanted = plan.first.plan.get("points")
    done = [row for row in rows.values() if row.state == State.done]
    missing = sorted(name for name in planned if name not in rows or rows[name].state != State.done)
    failed = [name for name in missing if name in rows and rows[name].state in FAILED]
    if missing:
        reason = f", of which {len(failed)} failed" if failed else ""
        yield f"{len(missing)} of {len(planned)} planned points have no result{reason}: {_named(missing)}"
    if isinstance(wanted, int) and not missing and len(done) != wanted:
        yield f"the study ended with {len(done)} trained points; planned: {wanted}"


def _of_seeds(study: Study, plan: StudyPlan) -> Iterator[str]:
    seeds = sorted(plan.first.plan["seeds"])
    if not seeds:
        return
    for group in groups(study):
        found = sorted(seed for row in group.rows if isinstance(seed := row.axes.get("seed"), int))
        if found != seeds and _matches(group, plan.first.plan["compared"]):
            yield f"{group.label}: seeds {_listed(found)}; planned: {_listed(seeds)}"


def _of_benchmark(study: Study, settings: dict[str, Any]) -> Iterator[str]:
    primary, split = str(settings["primary"]), settings.get("split")
    scored = [row for row in study.trained if row.scores]
    lacking = [row.point for row in scored if primary not in row.scores]
    if lacking:
        yield f"no score on the primary benchmark {primary}: {_named(lacking)}"
    other = [row for row in scored if primary in row.scores and not _on_split([row], primary, split)]
    if other and (len(other) == len(scored) or not is_searched(study)):  # a search selects on another split
        splits = sorted({str(label_of_row(row, primary).get("split")) for row in other})
        yield f"{primary} of {_named([row.point for row in other])} was measured on {_listed(splits)}; planned: {split}"


def _intact(study: Study) -> StudyPlan | None:
    try:
        return read_plan(study.folder)
    except UserError:
        return None


def _finished_before(study: Study, plan: PlanOfCommand) -> list[str]:
    """Return the trained points that were finished when a plan was recorded, also in another study."""
    begun = _time(plan.time)
    return [row.point for row in study.trained if (time := _finished(row)) is not None and time < begun]


def _finish_times(study: Study) -> list[datetime]:
    return [time for row in study.trained if (time := _finished(row)) is not None]


def _finished(row: Row) -> datetime | None:
    value = row.status.get("finished")
    try:
        return _time(value) if row.state == State.done and isinstance(value, str) else None
    except ValueError:
        return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _matches(group: Group, conditions: Mapping[str, Any]) -> bool:
    """Return whether a group has the given values of axes."""
    axes = group.rows[0].axes
    return group.role == Role.trained and all(axes.get(axis) == value for axis, value in conditions.items())


def conditions_text(conditions: Mapping[str, Any]) -> str:
    """Write values of axes: `method=dpo, beta=0.1`."""
    return ", ".join(f"{axis}={value}" for axis, value in conditions.items())


def _on_split(rows: Sequence[Row], benchmark: str, split: Any) -> bool:
    """Return whether the scores of points are those of a split, as far as their labels tell."""
    found = {label_of_row(row, benchmark).get("split") for row in rows} - {None}
    return not found or split is None or found == {split}


def _named(points: Sequence[str]) -> str:
    names = ", ".join(points[:NAMED])
    more = f" and {len(points) - NAMED} more" if len(points) > NAMED else ""
    return f"{len(points)} point{'s'[: len(points) > 1]} ({names}{more})"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values)) or "none"
