"""fingerprints.json of a point: its identity and the contents that it was made with."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdpo.files import write_json
from mmdpo.points.contents import Content
from mmdpo.points.identity import Identity
from mmdpo.points.point_files import read_mapping

FILE = "fingerprints.json"
MADE = ("result.json", "training.json", "checkpoints", "answers")
"""Files and folders of a point that has computed anything."""


@dataclass(frozen=True)
class PointRecord:
    """A point on disk.

    Attributes:
        folder: The point's folder.
        identity: Its identity in hexadecimal; empty if it cannot be determined.
        contents: The contents it was made with.
        made: Whether anything has been computed in the folder.
        written: When the record was written, in seconds since the epoch.
        error: Why the point's identity cannot be determined.
        settings: The settings of its identity; empty for points of earlier versions.
    """

    folder: Path
    identity: str
    contents: dict[str, Content] = field(default_factory=dict)
    made: bool = True
    written: float = 0.0
    error: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def write_record(folder: Path, identity: Identity) -> None:
    """Write a point's fingerprints.json."""
    write_values(folder, identity.hex, identity.settings, identity.contents)


def write_values(folder: Path, identity: str, settings: dict[str, Any], contents: dict[str, Content]) -> None:
    """Write a record from its parts."""
    plain = {key: dataclasses.asdict(content) for key, content in contents.items()}
    write_json(folder / FILE, {"identity": identity, "settings": settings, "contents": plain})


def read_record(folder: Path) -> PointRecord | None:
    """Read a point's record; None if it is missing or cannot be read."""
    try:
        data = read_mapping(folder / FILE)
        contents = {key: _content(**content) for key, content in data["contents"].items()}
        made = not set(MADE).isdisjoint(os.listdir(folder))
        settings = data.get("settings")
        return PointRecord(
            *(folder, _text(data["identity"]), contents, made, (folder / FILE).stat().st_mtime),
            settings=settings if isinstance(settings, dict) else {},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _content(fingerprint: Any, path: Any, given: Any = "") -> Content:
    """Return a content of a record. Raises TypeError for values of a wrong type."""
    return Content(_text(fingerprint), None if path is None else _text(path), _text(given))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def point_folders(study: Path) -> list[Path]:
    """List the folders of a study that may be points; links without a target are skipped."""
    try:
        with os.scandir(study) as entries:
            return [study / entry.name for entry in entries if "-" in entry.name and entry.is_dir()]
    except OSError:
        return []


def identity_of(folder: Path) -> str | None:
    """Return the identity that a point was planned with; None without a record."""
    record = read_record(folder)
    return record.identity if record else None
