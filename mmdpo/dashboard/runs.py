"""The W&B runs of a study: one per point, and one for the study with its tables and figures.

A run is brought up to date when something of it changed since the last upload, which `wandb/uploaded.json` beside it
tells.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdpo import wandb_service
from mmdpo.env_secrets import redacted
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint, write_json
from mmdpo.leftovers import temporary_prefix
from mmdpo.points.point_files import mapping_or_none
from mmdpo.tracking import METRICS, define_metrics, replay_metrics
from mmdpo.wandb_runs import STARTED, run_id

RECORD = Path("wandb", "uploaded.json")
SYNC_SECONDS = 3600.0

Table = tuple[list[str], list[list[Any]]]
"""The headings and rows of a table."""


@dataclass(frozen=True)
class RunContent:
    """The content of a W&B run.

    Attributes:
        folder: The folder of the point or study, which keeps the id of the run.
        name: The name of the run.
        former: The beginning of the names that mmdpo gave the run before; another name is the user's and stays.
        group: The group of the run.
        job_type: The job type of the run.
        config: The config; keys that the run has and this lacks stay.
        summary: The summary, likewise.
        tags: The tags of a new run; a run that is there keeps its own.
        tables: The tables by key, made when they are needed.
        images: The images by key.
        adapter: The folder of an adapter to upload; None for none.
        failed: Whether the point failed.
    """

    folder: Path
    name: str
    former: str
    group: str
    job_type: str
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    tables: Mapping[str, Callable[[], Table]] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    adapter: Path | None = None
    failed: bool = False


@dataclass(frozen=True)
class Uploaded:
    """A run on the server."""

    id: str
    entity: str
    is_changed: bool


def unsynced_runs(folder: Path) -> list[Path]:
    """Return the runs of a folder that were kept offline and are not uploaded yet, in their order."""
    found = sorted((folder / "wandb").glob("offline-run-*"))
    return [path for path in found if STARTED.fullmatch(path.name) and not _is_synced(path)]


def _is_synced(path: Path) -> bool:
    """Return whether `wandb sync` has marked a start as uploaded; one without a file has nothing to upload."""
    return any(path.glob("*.wandb.synced")) or not any(path.glob("*.wandb"))


def sync_offline_runs(folders: Iterable[Path]) -> int:
    """Upload what was kept offline in some points' folders, each start once, and return the number of starts.

    Raises:
        UserError: `wandb sync` failed.
    """
    commands: dict[str, list[Path]] = {}
    for folder in folders:
        for path in unsynced_runs(folder):
            own = run_id(folder)
            commands.setdefault("" if path.name.endswith(f"-{own}") else own, []).append(path)
    for identifier, paths in commands.items():
        _sync(["--id", identifier] if identifier else [], paths)
    return sum(map(len, commands.values()))


def _sync(options: list[str], paths: list[Path]) -> None:
    command = [sys.executable, "-m", "wandb", "sync", *options, *(str(path.resolve()) for path in paths)]
    try:
        with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as logs:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SYNC_SECONDS,
                env={**os.environ, "WANDB_DIR": logs},  # its logs; by default they stand in the user's folder
            )
    except subprocess.TimeoutExpired:
        raise UserError(f"`wandb sync` took longer than {SYNC_SECONDS:.0f} s") from None
    left = [path for path in paths if not _is_synced(path)]
    if done.returncode or left:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise UserError(str(redacted(f"`wandb sync {(left or paths)[0]}`: {lines[-1] if lines else 'no message'}")))


def upload_run(content: RunContent, entity: str | None, project: str) -> Uploaded:
    """Bring a run up to date; a run whose content was uploaded before is not touched.

    Args:
        content: What the run shall hold.
        entity: The W&B user or team; None for the user's default.
        project: The W&B project.
    """
    folder = content.folder
    made = {key: make() for key, make in content.tables.items()}
    parts = {
        **{f"table {key}": fingerprint(table) for key, table in made.items()},
        **{f"image {key}": file_fingerprint(path) for key, path in content.images.items()},
        **({"adapter": fingerprint(_files(content.adapter))} if content.adapter else {}),
    }
    known = _record(folder)
    metrics = folder / METRICS
    logged = file_fingerprint(metrics) if metrics.is_file() else ""
    wanted = fingerprint(
        [
            content.name,
            content.config,
            content.summary,
            content.failed,
            logged,
            parts,
            entity,
            project,
            wandb_service.server_url(),
        ]
    )
    if known.get("id") == run_id(folder) and known.get("state") == wanted:
        return Uploaded(known["id"], str(known.get("entity") or entity or ""), False)
    with _open_run(content, entity, project) as run:
        before = known.get("parts", {}) if known.get("id") == run.id and run.resumed else {}
        changed = {name for name, value in parts.items() if before.get(name) != value}
        if not run.resumed or not run.name or run.name == known.get("name") or run.name.startswith(content.former):
            run.name = content.name
        if not run.resumed:
            run.tags = content.tags
        run.config.update(redacted(dict(content.config)), allow_val_change=True)
        if metrics.is_file():
            define_metrics(run)
            replay_metrics(metrics, run)
        run.summary.update(redacted(dict(content.summary)))
        _add_files(run, content, made, changed)
        found = Uploaded(run.id, run.entity, True)
    record = {
        "id": found.id,
        "entity": found.entity,
        "name": content.name,
        "state": wanted,
        "parts": {**before, **parts},
    }
    write_json(folder / RECORD, record)
    return found


def _add_files(run: Any, content: RunContent, tables: Mapping[str, Table], changed: set[str]) -> None:
    """Add the tables, images and the adapter that changed since the last upload."""
    import wandb

    for key, (headings, rows) in tables.items():
        if f"table {key}" in changed:
            run.summary[key] = wandb.Table(columns=headings, data=redacted(rows), allow_mixed_types=True)
    images = {key: wandb.Image(str(path)) for key, path in content.images.items() if f"image {key}" in changed}
    if images:
        run.log(images)
    if content.adapter and "adapter" in changed:
        artifact = wandb.Artifact(f"adapter-{run.id}", "model", metadata={"point": content.folder.name})
        artifact.add_dir(str(content.adapter))
        run.log_artifact(artifact)


@contextlib.contextmanager
def _open_run(content: RunContent, entity: str | None, project: str) -> Iterator[Any]:
    """Continue the run of a folder, or start it if the server does not have it."""
    settings = {
        "dir": str(content.folder),
        "project": project,
        "entity": entity,
        "id": run_id(content.folder),
        "group": content.group,
        "job_type": content.job_type,
    }
    run = wandb_service.start_online(settings, content.folder, False)
    try:
        yield run
    except BaseException:
        with contextlib.suppress(Exception):
            run.finish(exit_code=1)
        raise
    run.finish(exit_code=1 if content.failed else 0)


def _files(folder: Path) -> list[list[str]]:
    return [[path.name, file_fingerprint(path)] for path in sorted(folder.iterdir()) if path.is_file()]


def _record(folder: Path) -> dict[str, Any]:
    """Read what was uploaded; nothing without a readable record."""
    return mapping_or_none(folder / RECORD) or {}
