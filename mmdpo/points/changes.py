"""Detection of changed contents behind the paths of a study, which is then not continued silently.

A changed file makes a new point, since the identity of a point contains its contents. The user chooses between a new
study and `resume=force`, which makes the new points beside the old ones.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmdpo.config.choices import Resume
from mmdpo.config.schema import Config
from mmdpo.errors import UserError
from mmdpo.models.fingerprints import UNKNOWN, fingerprints_before_download
from mmdpo.points.contents import contents, contents_remembered, remembered
from mmdpo.points.identity import Identity
from mmdpo.points.point import Point, before_visual_tuning, unique_up_to_axes
from mmdpo.points.records import read_record
from mmdpo.points.results import has_result
from mmdpo.points.study_records import study_records

SHOWN = 5  # changes that a message names
NAME = re.compile(r"-([0-9a-f]{6}|[0-9a-f]{12})$")


def changed_inputs(p: Point) -> list[str]:
    """Name the contents that have changed since a point of the same study was made.

    Args:
        p: A point of the study, whether or not it exists.

    Returns:
        One entry per content, as in `model.path=FOLDER (weights)`; empty if nothing has changed. Of contents that
        have changed several times, the last point that was made counts.
    """
    made = _latest(p.study)
    changed = []
    for key, content in p.identity.contents.items():
        before = made.get((key, content.path, content.given))
        if before is not None and _differ(before, content.fingerprint):
            changed.append(_shown(key, content.path))
    return changed


def require_unchanged(points: Iterable[Point]) -> None:
    """Check, before points are run, that the contents behind their paths are those of their study.

    Args:
        points: The points; those with `resume=force` are not checked.

    Raises:
        UserError: A content has changed, or a finished point of an earlier version cannot be identified. The message
            names the override and path, and what to type.
    """
    with contents_remembered():
        for p in points:
            if p.config.resume is Resume.force:
                continue
            if unknown := _errors(p.study):
                raise UserError(
                    f"{p.study}: {unknown[0]}. Type study=NEW_NAME for a study of its own, or resume=force to continue "
                    "without that point"
                )
            if changed := changed_inputs(p):
                raise UserError(
                    f"{p.study}: changed since its points were made: {_listed(changed)}. Type study=NEW_NAME for a "
                    "study of its own, or resume=force to make the changed points beside the old ones"
                )


def require_as_planned(p: Point) -> None:
    """Check, before a planned point does its work, that its contents are still those that it was planned with.

    Args:
        p: The point, under the name that it was planned with, perhaps long ago by another process.

    Raises:
        UserError: A content has changed since. The message names it.
    """
    if changed := changed_since_planned(p):
        raise UserError(
            f"{p.name}: changed since the point was planned: {_listed(changed)}. Restore it, or rerun the same command "
            "with study=NEW_NAME or resume=force"
        )


def changed_since_planned(p: Point) -> list[str]:
    """Name the contents that have changed since a point got its name; all of them if it is unknown which."""
    now = p.identity
    possible = (now.hex, _before_download(p, now).hex)
    record = read_record(p.folder)
    if record is not None:
        if record.identity in possible:
            return []
        changed = [
            _shown(key, content.path)
            for key, content in now.contents.items()
            if key not in record.contents or _differ(record.contents[key].fingerprint, content.fingerprint)
        ]
    else:
        planned = NAME.search(p.name)
        if planned is None or any(one.startswith(planned[1]) for one in possible) or _is_finished(p):
            return []
        changed = changed_inputs(p)
    return changed or [_shown(key, content.path) for key, content in now.contents.items()]


def _is_finished(p: Point) -> bool:
    """Return whether the point has a result but no record, because an earlier version made it."""
    return has_result(p.folder)


def all_inputs(configs: Iterable[Config]) -> dict[str, str]:
    """Return the fingerprints of the contents behind the paths of all configs.

    Args:
        configs: The configs of points.

    Returns:
        Fingerprints by `override=path (kind)#given`, where `given` is that of `Content`: contents of one path are
        compared only where it is equal.

    Raises:
        UserError: A path leads nowhere.
    """
    with contents_remembered():
        found: dict[str, str] = {}
        for config in unique_up_to_axes(configs):
            before = before_visual_tuning(config)
            for key, content in [*contents(config).items(), *(before.identity.contents.items() if before else ())]:
                found[f"{_shown(key, content.path)}#{content.given}"] = content.fingerprint
        return found


def changed_since(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name the inputs that differ between two results of `all_inputs`; unknown fingerprints do not count."""
    changed = [key for key, value in before.items() if key in now and _differ(value, now[key])]
    return list(dict.fromkeys(key.rpartition("#")[0] for key in changed))


def _latest(study: Path) -> dict[tuple[str, str | None, str], str]:
    """Return the fingerprint of each content of a study by the last point that was made with it."""

    def latest() -> dict[tuple[str, str | None, str], str]:
        return {
            (key, content.path, content.given): content.fingerprint
            for record in study_records(study)
            if record.made
            for key, content in record.contents.items()
        }

    return remembered(("latest", study), latest)


def _errors(study: Path) -> list[str]:
    """List why points of the study cannot be identified."""
    return remembered(("errors", study), lambda: [one.error for one in study_records(study) if one.error])


def _differ(one: str, other: str) -> bool:
    return one != other and not one.startswith(UNKNOWN) and not other.startswith(UNKNOWN)


def _before_download(p: Point, now: Identity) -> Identity:
    """Return the identity as it was planned if a hub model was neither reachable nor cached."""
    keys = ("model.path:weights", "model.path:processor")
    unknown = dict(zip(keys, fingerprints_before_download(p.config.model), strict=True))
    contents_then = {
        key: dataclasses.replace(content, fingerprint=unknown.get(key, content.fingerprint))
        for key, content in now.contents.items()
    }
    return Identity(now.settings, contents_then)


def _shown(key: str, path: str | None) -> str:
    override, _, kind = key.partition(":")
    return f"{override} ({kind})" if path is None else f"{override}={path} ({kind})"


def _listed(changed: Sequence[str]) -> str:
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return ", ".join(changed[:SHOWN]) + more
