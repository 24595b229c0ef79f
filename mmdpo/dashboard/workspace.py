"""A dashboard as objects of wandb-workspaces: a workspace and a report, with ids that stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdpo.analysis.labels import axis_label, score_label
from mmdpo.dashboard.panels import (
    AnswerTable,
    Column,
    Dashboard,
    LearningCurves,
    Panel,
    ParallelAxes,
    Pictures,
    ResultTable,
    ScoreBars,
    ScoreCurve,
    Source,
)
from mmdpo.dashboard.result_rows import result_rows, results_note
from mmdpo.files import fingerprint
from mmdpo.points.run_config import RESULT
from mmdpo.tracking import STEP

LINES = "wandb/lineseries/v0"
"""W&B's chart of several lines from a table with the columns `step`, `lineKey` and `lineVal`."""
WIDE = (ResultTable, AnswerTable, Pictures, ParallelAxes)
"""Panels that take the whole width."""
MOST_RUNS = 500
SHORT = ("gain", "verdict")
LONG = ("low", "high", "n", "gain", "gain_low", "gain_high", "p_corrected", "verdict")
"""Endings of the columns behind each score in the table of runs: of the workspace, and of the report."""


@dataclass(frozen=True)
class Runs:
    """The runs of a study on the server.

    Attributes:
        entity: The W&B user or team.
        project: The W&B project.
        ids: The ids of the points' runs and of the study's.
        base: The id of the base's run; None without a base, or with several.
    """

    entity: str
    project: str
    ids: tuple[str, ...]
    base: str | None = None


def make_workspace(dashboard: Dashboard, runs: Runs) -> Any:
    """Return the workspace; its name in the project is the study's."""
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    sections = []
    for section in dashboard.sections:
        wide = all(isinstance(panel, WIDE) for panel in section.panels)
        layout = ws.SectionLayoutSettings(columns=1 if wide else 2, rows=len(section.panels) if wide else 2)
        panels = [made for panel in section.panels for made in _panels(panel, section.title)]
        sections.append(ws.Section(name=section.title, panels=panels, is_open=True, layout_settings=layout))
    return ws.Workspace(
        entity=runs.entity,
        project=runs.project,
        name=_title(dashboard),
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=MOST_RUNS),
        runset_settings=ws.RunsetSettings(
            filters=_filter(runs),
            order=[expr.Ordering(expr.Metric("Name"), ascending=True)],
            pinned_columns=["run:displayName", *map(_accessor, dashboard.run_columns(SHORT))],
            baseline_run=runs.base,
        ),
    )


def make_report(dashboard: Dashboard, runs: Runs) -> Any:
    """Return the report: the results in words, then the panels with the table of runs."""
    import wandb_workspaces.reports.v2 as wr

    columns = ["run:displayName", *map(_accessor, dashboard.run_columns(LONG))]
    blocks: list[Any] = [wr.MarkdownBlock(text=results_markdown(dashboard))]
    for number, section in enumerate(dashboard.sections):
        runset = wr.Runset(
            entity=runs.entity,
            project=runs.project,
            name=_title(dashboard),
            filters=_filter(runs),
            order=[wr.OrderBy("Name", ascending=True)],
            visible_columns=columns,
            column_order=columns,
            lock_columns=True,
        )
        runset._id = _id(section.title, "runs")
        panels = [made for panel in section.panels for made in _panels(panel, section.title)]
        _place(panels)
        grid = wr.PanelGrid(runsets=[runset], panels=panels, hide_run_sets=number > 0)
        blocks += [wr.H2(text=section.title), grid]
    return wr.Report(
        entity=runs.entity,
        project=runs.project,
        title=_title(dashboard),
        description=f"Written by python -m mmdpo wandb {dashboard.study.name}",
        blocks=blocks,
        width="fluid",
    )


def curve_rows(curve: ScoreCurve) -> tuple[list[str], list[list[Any]]]:
    """Return a curve as the table that W&B's chart of lines reads."""
    lines = [*curve.lines, *curve.levels]
    rows = [[dot.x, line.label or "results", dot.score.value] for line in lines for dot in line.dots]
    return ["step", "lineKey", "lineVal"], rows


def results_markdown(dashboard: Dashboard) -> str:
    """Write scores, gains and verdicts as a Markdown table."""
    headings, rows = result_rows(dashboard)
    lines = [headings, ["---"] * len(headings), *rows]
    table = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{results_note(dashboard)}\n\n{table}\n"


def _panels(panel: Panel, section: str) -> list[Any]:
    """Return the objects of a panel, with ids that depend on nothing but the study's panels."""
    made = _objects(panel)
    for number, one in enumerate(made):
        one._id = _id(section, type(panel).__name__, panel.title, number)
    return made


def _objects(panel: Panel) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    match panel:
        case ScoreBars():
            bars = wr.BarPlot(
                title=panel.title,
                metrics=[panel.key],
                groupby=wr.Config(RESULT),
                groupby_aggfunc="mean",
                groupby_rangefunc="minmax",
                max_runs_to_show=MOST_RUNS,
                max_bars_to_show=100,
            )
            return [bars]
        case ScoreCurve():
            chart = wr.CustomChart(
                query={"id": None, "name": None, "summaryTable": {"tableKey": panel.table}},
                chart_name=LINES,
                chart_fields={"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"},
                chart_strings={"title": panel.title, "xname": axis_label(panel.axis)},
            )
            scatter = wr.ScatterPlot(
                title=f"{score_label(panel.key)}, single runs",
                x=wr.Config("method.name" if panel.axis == "method" else panel.axis),
                y=wr.SummaryMetric(panel.key),
                log_x=panel.axis == "lr" or None,
            )
            return [chart, scatter]
        case LearningCurves():
            line = wr.LinePlot(
                title=panel.title,
                x=STEP,
                y=[f"train/{panel.metric}"],
                title_x="optimizer step",
                groupby=wr.Config(RESULT),
                groupby_aggfunc="mean",
                groupby_rangefunc="minmax",
                smoothing_type="none",
                max_runs_to_show=MOST_RUNS,
            )
            return [line]
        case ParallelAxes():
            columns = [
                wr.ParallelCoordinatesPlotColumn(
                    metric=wr.Config(one.key) if one.source is Source.config else wr.SummaryMetric(one.key),
                    display_name=one.label,
                    log=one.logarithmic or None,
                )
                for one in panel.columns
            ]
            return [wr.ParallelCoordinatesPlot(title=panel.title, columns=columns)]
        case ResultTable() | AnswerTable():
            return [wr.WeavePanelSummaryTable(table_name=panel.table)]
        case Pictures():
            return [wr.MediaBrowser(title=panel.title, media_keys=panel.keys(), num_columns=1)]


def _place(panels: Sequence[Any]) -> None:
    """Place the panels of a report: charts two beside each other, tables over the whole width."""
    import wandb_workspaces.reports.v2 as wr

    x = y = 0
    for panel in panels:
        charts = (wr.BarPlot, wr.CustomChart, wr.ScatterPlot, wr.LinePlot)
        width, height = (12, 8) if isinstance(panel, charts) else (24, 14)
        if x + width > 24:
            x, y = 0, y + 8
        panel.layout = wr.Layout(x=x, y=y, w=width, h=height)
        x, y = (x + width, y) if width == 12 else (0, y + height)


def _accessor(column: Column) -> str:
    """Return the name of a column in a table of runs; the config's values are wrapped once, at the first key."""
    if column.source is Source.summary:
        return f"summary:{column.key}"
    first, *rest = column.key.split(".")
    return ".".join([f"config:{first}", "value", *rest])


def _filter(runs: Runs) -> str:
    """Return the filter of the study's runs: by id, for others may have a study of the same name."""
    return f'Metric("ID") in {[*runs.ids]!r}'


def _title(dashboard: Dashboard) -> str:
    return f"mmdpo {dashboard.title}"[:128]


def _id(*parts: Any) -> str:
    return fingerprint([*parts], length=11)
