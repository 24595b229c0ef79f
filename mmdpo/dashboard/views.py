"""The workspace and the report of a study on the server: saved under the same ids each time."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmdpo import wandb_service
from mmdpo.dashboard.panels import Dashboard
from mmdpo.dashboard.workspace import Runs, make_report, make_workspace
from mmdpo.files import fingerprint, write_json
from mmdpo.points.point_files import mapping_or_none
from mmdpo.wandb_runs import run_id

RECORD = Path("wandb", "views.json")
"""The names, ids and addresses of a study's views."""
GONE = re.compile(r"not found|does not exist|no such|permission|404", re.IGNORECASE)
"""Messages of a server that does not know the id of a view, because it was deleted."""


def save_views(dashboard: Dashboard, runs: Runs) -> dict[str, str]:
    """Save the workspace and the report of a dashboard, and return their addresses.

    Their names follow from the id of the study's run, so that they are found again without the record.

    Args:
        dashboard: The dashboard.
        runs: Its runs on the server.
    """
    folder, part = dashboard.study.folder, str(dashboard.part)
    place = f"{wandb_service.server_url()} {runs.entity}/{runs.project}"
    record = _read(folder)
    if record.get("place") != place:
        record = {"place": place}
    name = fingerprint(["view", run_id(folder), part], length=11)
    views = {"workspace": make_workspace(dashboard, runs), "report": make_report(dashboard, runs)}
    saved = dict(record.get(part) or {})
    with _silent():
        for kind, save in (("workspace", _save_workspace), ("report", _save_report)):
            identifier = str((saved.get(kind) or {}).get("id") or "")
            saved[kind] = _save_again(save, views[kind], name, identifier)
            record[part] = saved
            write_json(folder / RECORD, record)
    return {kind: str(saved[kind]["url"]) for kind in views}


def _save_again(save: Callable[[Any, str, str], dict[str, str]], view: Any, name: str, identifier: str) -> Any:
    """Save a view under its id; under a new one if the view was deleted on the server."""
    try:
        return save(view, name, identifier)
    except Exception as error:
        if not identifier or not GONE.search(str(error)):
            raise
        return save(view, name, "")


def _save_workspace(workspace: Any, name: str, identifier: str) -> dict[str, str]:
    workspace._internal_name, workspace._internal_id = f"nw-{name}-v", identifier
    workspace.save()
    return {"name": workspace._internal_name, "id": workspace._internal_id, "url": workspace.url}


def _save_report(report: Any, name: str, identifier: str) -> dict[str, str]:
    """Save a report under a name of its own; `Report.save` would choose a random one each time."""
    import wandb
    from wandb_workspaces._graphql import execute_graphql
    from wandb_workspaces.reports.v2 import gql

    model = report._to_model()
    found = execute_graphql(
        wandb.Api(),
        gql.upsert_view,
        {
            "id": identifier or None,
            "name": name,
            "entityName": report.entity,
            "projectName": report.project,
            "description": report.description,
            "displayName": report.title,
            "type": "runs",
            "spec": model.spec.model_dump_json(by_alias=True, exclude_none=True),
        },
    )
    report.id = found["upsertView"]["view"]["id"]
    return {"name": name, "id": report.id, "url": report.url}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the library's own lines from the terminal."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def _read(folder: Path) -> dict[str, Any]:
    return mapping_or_none(folder / RECORD) or {}
