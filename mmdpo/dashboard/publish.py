"""A study in W&B: its runs brought up to date, a workspace and a report; without W&B, the dashboard as a page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mmdpo import wandb_service
from mmdpo.analysis import figures
from mmdpo.analysis.gains import Gain
from mmdpo.analysis.labels import row_label
from mmdpo.analysis.page.browser import FOLDER
from mmdpo.analysis.page.stored_samples import StoredSamples
from mmdpo.analysis.study import FAILED, Row, Study, read_study
from mmdpo.analysis.warning_lines import below_base, training_warnings
from mmdpo.config.schema import TrackingConfig
from mmdpo.console import print_line
from mmdpo.dashboard.answers import answer_table, base_row
from mmdpo.dashboard.page import PAGE, write_page
from mmdpo.dashboard.panels import Dashboard, Pictures, ResultTable, ScoreCurve, describe_dashboards
from mmdpo.dashboard.result_rows import result_rows
from mmdpo.dashboard.runs import RunContent, sync_offline_runs, unsynced_runs, upload_run
from mmdpo.dashboard.summaries import gain_summary, score_summary
from mmdpo.dashboard.views import save_views
from mmdpo.dashboard.workspace import Runs, curve_rows
from mmdpo.points.identity import Role
from mmdpo.points.run_config import run_config
from mmdpo.points.status import State

KEY = "no W&B key was found: set WANDB_API_KEY, or run `wandb login`, then rerun the command"


@dataclass
class Counts:
    """Counts of what was uploaded of a study."""

    synced: int = 0
    changed: int = 0
    kept: int = 0
    running: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return what happened as lines."""
        found = [f"{self.changed} runs uploaded or changed, {self.kept} were up to date"]
        found += [f"{self.synced} starts that were kept offline uploaded"] if self.synced else []
        if self.running:
            found.append(f"{len(self.running)} points still run and were left out; rerun the command when they ended")
        if self.elsewhere:
            found.append(f"{len(self.elsewhere)} points left out, whose tracking.project= or entity= is another")
        return found


def publish_study(folder: Path, *, adapters: bool = False, offline: bool = False) -> bool:
    """Upload a study to W&B and build its workspace and report; a second call updates them.

    Args:
        folder: The folder of the study.
        adapters: Whether adapters are uploaded as artifacts.
        offline: Whether to write the page alone.

    Returns:
        Whether what was asked for was done. Without a key, or after an error of W&B, the page is written instead.

    Raises:
        UserError: There is no such study.
    """
    study = read_study(folder)
    dashboards = describe_dashboards(study, figures.draw_figures(study, folder / "figures"))
    done = offline
    if not offline:
        try:
            if wandb_service.effective_mode("online") != "online":
                print_line(f"WANDB_MODE={os.environ['WANDB_MODE']} keeps W&B offline: unset it, then rerun the command")
            elif wandb_service.has_key():
                _upload(study, dashboards, adapters)
                return True
            else:
                print_line(KEY)
        except Exception as error:
            advice = wandb_service.advice(error)
            print_line(f"warning: W&B: {wandb_service.one_line(error)}{advice}; rerun the command to continue")
    write_page(dashboards, folder / PAGE)
    print_line(f"the dashboard as a page: {folder / PAGE}")
    return done


def publish_after_sweep(folder: Path, tracking: TrackingConfig) -> None:
    """Publish a study at the end of a sweep, if `tracking.workspace` asks for it; errors of W&B are a warning.

    Args:
        folder: The folder of the study.
        tracking: The settings of the sweep.
    """
    if tracking.workspace:
        publish_study(folder, offline=wandb_service.effective_mode(tracking.mode.value) in ("offline", "none"))


def publish_hint(study: Path, tracking: TrackingConfig) -> str:
    """Return the end of a hint that names the command which publishes a study; empty if that is not asked for."""
    return f"; then {shlex.join(['python', '-m', 'mmdpo', 'wandb', str(study)])}" if tracking.workspace else ""


def _upload(study: Study, dashboards: Sequence[Dashboard], adapters: bool) -> None:
    counts = Counts()
    entity, project = _place(study)
    rows = [row for row in study.rows if _has_run(row)]
    counts.running = [row.point for row in rows if row.state == State.running]
    rows = [row for row in rows if row.state != State.running]
    counts.elsewhere = [row.point for row in rows if _place_of(row) not in ((entity, project), None)]
    rows = [row for row in rows if _place_of(row) in ((entity, project), None)]
    counts.synced = sync_offline_runs(row.folder for row in rows)
    uploaded, samples = {}, StoredSamples(study.folder / FOLDER)
    for dashboard in dashboards:
        points = {row.point for row in dashboard.study.rows}
        for row in (row for row in rows if row.point in points):
            uploaded[row.point] = upload_run(_point_run(dashboard, row, samples, adapters), entity, project)
    own = upload_run(_study_run(study, dashboards), entity, project)
    changed = sum(one.is_changed for one in (*uploaded.values(), own))
    counts.changed, counts.kept = changed, len(uploaded) + 1 - changed
    for line in counts.lines():
        print_line(line)
    for dashboard in dashboards:
        ids = [uploaded[row.point].id for row in dashboard.study.rows if row.point in uploaded]
        bases = [uploaded[row.point].id for row in dashboard.study.of_role(Role.base) if row.point in uploaded]
        runs = Runs(own.entity, project, (*ids, own.id), bases[0] if len(bases) == 1 else None)
        for name, url in save_views(dashboard, runs).items():
            print_line(f"{name}{f' ({dashboard.heading})' if dashboard.heading else ''}: {url}")


def _place(study: Study) -> tuple[str | None, str]:
    """Return entity and project of a study: those of its first trained point, else of its first point."""
    places = [place for row in (*study.trained, *study.rows) if (place := _place_of(row))]
    return places[0] if places else (None, "mmdpo")


def _place_of(row: Row) -> tuple[str | None, str] | None:
    """Return entity and project of a point; None if it names none."""
    tracking = row.group("tracking")
    entity, project = tracking.get("entity"), tracking.get("project")
    return (str(entity) if entity else None, str(project)) if project else None


def _has_run(row: Row) -> bool:
    """Return whether a point has anything to show in W&B."""
    return bool(row.scores or row.steps or unsynced_runs(row.folder) or row.state in (State.running, *FAILED))


def _point_run(dashboard: Dashboard, row: Row, samples: StoredSamples, adapters: bool) -> RunContent:
    study, label = dashboard.study, dashboard.label_of(row)
    gains = {task: dashboard.gains.of_point(row.point, task) for task in study.benchmarks}
    former = row.point.rpartition("-")[0]
    adapter, base = row.folder / "adapter", base_row(study, row)
    return RunContent(
        folder=row.folder,
        name=row_label(row, study.varying) if row.role == Role.trained else label,
        former=former,
        group=row.folder.resolve().parent.name,
        job_type="train" if row.role == Role.trained else "evaluate",
        config=run_config(_flat(row.config), row.role, row.point, label),
        summary=_summary(row, gains),
        tags=(row.role,),
        tables={
            f"answers_{task}": partial(answer_table, row, base, task, samples)
            for task in study.benchmarks
            if task in row.scores
        },
        adapter=adapter if adapters and adapter.is_dir() else None,
        failed=row.state in FAILED,
    )


def _summary(row: Row, gains: Mapping[str, Gain | None]) -> dict[str, Any]:
    pruned = {"pruned": row.pruned} if row.pruned else {}
    found = {"state": str(row.state), **pruned, **score_summary(row.scores), **gain_summary(gains)}
    if row.role == Role.trained and row.scores:
        warnings = [*below_base(gain for gain in gains.values() if gain), *training_warnings(row)]
        found |= {"warnings": "; ".join(warnings)} if warnings else {}
    return found


def _study_run(study: Study, dashboards: Sequence[Dashboard]) -> RunContent:
    """Return the run that holds the tables and figures of a study."""
    tables: dict[str, Any] = {}
    images: dict[str, Path] = {}
    for dashboard in dashboards:
        for panel in dashboard.panels():
            if isinstance(panel, ResultTable):
                tables[panel.table] = partial(result_rows, dashboard)
            elif isinstance(panel, ScoreCurve):
                tables[panel.table] = partial(curve_rows, panel)
            elif isinstance(panel, Pictures):
                images |= dict(zip(panel.keys(), [one.path for one in panel.pictures], strict=True))
    return RunContent(
        folder=study.folder,
        name=f"{study.name}: results",
        former=f"{study.name}: results",
        group=study.name,
        job_type="study",
        config={"study": study.name},
        summary={"points": len(study.rows), "comparisons": dashboards[0].gains.comparisons},
        tags=("study",),
        tables=tables,
        images=images,
    )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the content of a config.yaml by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
