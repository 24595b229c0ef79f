"""The objects of wandb-workspaces, built offline and read back."""

from pathlib import Path
from typing import Any

import pytest

from mmdpo.analysis.study import read_study
from mmdpo.dashboard.panels import Dashboard, ScoreCurve, describe_dashboards
from mmdpo.dashboard.workspace import Runs, curve_rows, make_report, make_workspace
from tests.support.studies import make_point, make_study

RUNS = Runs("me", "test", ("id1", "id2", "id3"), "id1")


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Dashboard:
    points = [{"beta": beta, "lr": lr} for beta in (0.1, 0.3) for lr in (5e-4, 5e-5)]
    (found,) = describe_dashboards(read_study(make_study(tmp_path_factory.mktemp("out") / "grid", points, n=6)))
    return found


def test_a_workspace_is_read_back_as_it_was_built(dashboard: Dashboard) -> None:
    import wandb_workspaces.workspaces as ws

    workspace = make_workspace(dashboard, RUNS)
    again = ws.Workspace._from_model(workspace._to_model())
    names = [[type(panel).__name__ for panel in section.panels] for section in again.sections]
    assert names == [[type(panel).__name__ for panel in section.panels] for section in workspace.sections]
    assert [section.name for section in again.sections] == [section.title for section in dashboard.sections]
    assert again.runset_settings.filters == workspace.runset_settings.filters
    assert again.runset_settings.baseline_run == "id1"
    assert again.runset_settings.pinned_columns[:3] == ["run:displayName", "config:beta.value", "config:lr.value"]
    assert again._to_model().spec == workspace._to_model().spec


def test_equal_studies_make_equal_workspaces(dashboard: Dashboard) -> None:
    first, second = (make_workspace(dashboard, RUNS)._to_model().spec.model_dump_json() for _ in range(2))
    assert first == second


def test_a_curve_is_the_chart_that_wandb_itself_makes(dashboard: Dashboard) -> None:
    import wandb

    curve = next(one for one in dashboard.panels() if isinstance(one, ScoreCurve) and one.axis == "lr")
    headings, rows = curve_rows(curve)
    theirs = wandb.plot.line_series([1, 2], [[1, 2]], keys=["a"], title=curve.title, xname="learning rate")
    theirs.set_key(curve.table.removesuffix("_table"))
    assert headings == theirs.table.columns
    workspace = make_workspace(dashboard, RUNS)
    panels = [panel for section in workspace.sections for panel in section.panels]
    configs = [panel._to_model().model_dump(by_alias=True, exclude_none=True)["config"] for panel in panels]
    ours = next(one for one in configs if one.get("stringSettings", {}).get("title") == curve.title)
    expected = theirs.spec.config_value["panel_config"]
    assert {key: ours[key] for key in ("panelDefId", "fieldSettings", "stringSettings", "transform")} == {
        key: expected[key] for key in ("panelDefId", "fieldSettings", "stringSettings", "transform")
    }
    assert fields(ours) - {"_defaultColorIndex"} == fields(expected) - {"_defaultColorIndex"}
    assert [row[0] for row in rows if row[1] == "beta 0.1"] == [5e-5, 5e-4]
    assert {row[2] for row in rows if row[1] == "base"} == {curve.levels[0].dots[0].score.value}


def fields(config: dict[str, Any]) -> set[str]:
    """The fields of a chart's query."""
    return {one["name"] for one in config["userQuery"]["queryFields"][0]["fields"]}


def test_a_report_is_read_back_as_it_was_built(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb_workspaces.reports.v2 as wr

    report = make_report(dashboard, Runs("", "test", RUNS.ids))  # without an entity nothing is looked up
    report.entity = "me"
    again = wr.Report._from_model(report._to_model())
    grids = [block for block in again.blocks if isinstance(block, wr.PanelGrid)]
    assert len(grids) == len(dashboard.sections)
    assert all(grid.runsets[0].lock_columns for grid in grids)
    assert {grid.runsets[0].filters for grid in grids} == {grids[0].runsets[0].filters}
    assert grids[0].runsets[0].visible_columns[3] == "summary:text"


def test_scores_that_cannot_be_compared_get_dashboards_of_their_own(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "judges", [{"data_scale": 0.5}, {"data_scale": 1.0}], n=4)
    for scale in (0.5, 1.0):
        make_point(folder, {"data_scale": scale}, config={"judge": {"name": "gemini"}}, judge="gemini", n=4)
    first, second = describe_dashboards(read_study(folder))
    assert {row.point for row in first.study.rows}.isdisjoint(row.point for row in second.study.rows)
    assert "gemini" in second.title
    assert make_workspace(second, RUNS).name == f"mmdpo {second.title}"
    tables = [panel.table for one in (first, second) for panel in one.panels() if isinstance(panel, ScoreCurve)]
    assert len(set(tables)) == len(tables) > 0
