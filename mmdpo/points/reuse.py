"""Points with the same model: those that differ in their benchmarks alone share a training, and equal answers.

Other tasks, another judge, subset or split make another point. Its model is the same: it is trained once for all
points below one `out`, and answers to equal samples are copied. Files are linked or copied, never changed in place.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdpo.files import atomic_write, fingerprint, write_json
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.points.contents import Content, remembered
from mmdpo.points.identity import Identity, under
from mmdpo.points.processes import is_trained_alike
from mmdpo.points.records import point_folders, read_record
from mmdpo.points.results import ADAPTER, TRAINING, read_training

OF_TASKS = frozenset(["bench"])
"""Settings that a point's scores depend on, and its model does not."""

VERSION = "nano.version"
"""The version of the miniature's world: of its benchmarks and, for `data.format: nano`, of the training data."""

EVERY_POINT = "bench.tasks"
"""A setting in each record; the records that were adopted from earlier versions have no settings."""


def model_identity(settings: Mapping[str, Any], contents: Mapping[str, Content]) -> str:
    """Return an identity of the model that a point measures.

    Args:
        settings: The settings of the point's identity.
        contents: The contents of the point's identity.
    """
    own_settings = {key: value for key, value in settings.items() if not under(key, OF_TASKS)}
    if own_settings.get("data.format") != "nano":
        own_settings.pop(VERSION, None)
    own_contents = {key: one.fingerprint for key, one in contents.items() if not key.startswith("bench.tasks:")}
    return fingerprint([own_settings, own_contents])


def same_model(study: Path, identity: Identity) -> list[Path]:
    """Return the folders of all points with the model of a point, below the same `out`; those of its study first.

    Args:
        study: The folder of the point's study.
        identity: The point's identity.
    """
    found = _by_model(study.parent).get(model_identity(identity.settings, identity.contents), [])
    return sorted(found, key=lambda folder: folder.parent.name != study.name)


def known_training(study: Path, identity: Identity) -> Path | None:
    """Return the folder of a point whose finished training is that of another point; None if there is none.

    Args:
        study: The folder of the other point's study.
        identity: The other point's identity.
    """
    for folder in same_model(study, identity):
        summary = read_training(folder)
        if summary is None or not is_trained_alike(summary, identity.settings):
            continue
        if summary.get("adapter") in (None, adapter_fingerprint(folder / ADAPTER)):
            return folder.resolve()
    return None


def take_training(folder: Path, source: Path) -> None:
    """Take over a finished training: its adapter, its metrics, and at last its summary, which names the source.

    Args:
        folder: The folder of the point that needs the training.
        source: The folder of the point that has it.
    """
    summary = {**(read_training(source) or {}), "known_from": f"{source.parent.name}/{source.name}"}
    with atomic_write(folder / ADAPTER) as aside:
        aside.mkdir(parents=True)
        for file in (source / ADAPTER).iterdir():
            if file.is_file():
                _link_or_copy(file, aside / file.name)
    metrics = source / "metrics.jsonl"
    if metrics.is_file():
        with atomic_write(folder / metrics.name) as aside:
            shutil.copyfile(metrics, aside)  # no link: lines are appended to it
    write_json(folder / TRAINING, {**summary, "adapter": adapter_fingerprint(folder / ADAPTER)})
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _by_model(out: Path) -> dict[str, list[Path]]:
    """Return the folders of all points below `out` by the identities of their models."""
    return remembered(("models", out), lambda: _read(out))


def _read(out: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    try:
        studies = sorted(path for path in out.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return {}
    for study in studies:
        for folder in sorted(point_folders(study)):
            record = read_record(folder)
            if record is not None and EVERY_POINT in record.settings:
                found[model_identity(record.settings, record.contents)].append(folder)
    return dict(found)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, target)
