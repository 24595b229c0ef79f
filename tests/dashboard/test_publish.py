"""A study in W&B as the server receives it: runs, tables, figures, workspace and report; a second upload; errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdpo import wandb_service
from mmdpo.__main__ import main
from mmdpo.analysis import figures
from mmdpo.analysis.figures import Picture
from mmdpo.config.choices import WandbMode
from mmdpo.config.schema import TrackingConfig
from mmdpo.dashboard import publish
from mmdpo.dashboard.publish import publish_after_sweep, publish_hint
from mmdpo.dashboard.runs import sync_offline_runs
from mmdpo.tracking import Tracker
from mmdpo.wandb_runs import run_id
from tests.support.studies import make_study
from tests.support.wandb_server import WandbServer, wandb_server

KEY = "0123456789abcdef" * 3
PICTURE = Path(__file__).parents[2] / "docs/assets/data_scaling.png"
POINTS = [{"data_scale": scale, "seed": seed} for scale in (0.5, 1.0) for seed in (0, 1)]
TASKS = ["text", "visual", "presence", "text_noisy"]


def drawn(study: Any, folder: Path) -> list[Picture]:
    """One picture in place of those that take seconds to draw."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(PICTURE, folder / "data_scaling.png")
    return [Picture(folder / "data_scaling.png", "Data scaling.")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbServer]:
    """A server that W&B's service talks to, with a key."""
    import wandb

    with pytest.MonkeyPatch.context() as patch, wandb_server() as one:
        patch.chdir(tmp_path_factory.mktemp("current"))
        wandb.teardown()  # W&B reads its environment once
        patch.setenv("WANDB_BASE_URL", one.url)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setattr(figures, "draw_figures", drawn)
        patch.setattr(wandb_service, "SERVER_SECONDS", 5.0)
        yield one
        wandb.teardown()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, server: WandbServer) -> Path:
    """A study that was uploaded once, with a run of its own kept offline before."""
    folder = make_study(tmp_path_factory.mktemp("out") / "nano", POINTS, n=8)
    point = trained(folder)[0]
    logged = (point / "metrics.jsonl").read_text()
    settings: dict[str, Any] = {"project": "mmdpo", "entity": None, "run_id": None, "job_type": "train", "host": False}
    with Tracker(point, mode="offline", name=f"{point.name[:-7]}", study="nano", tags=[], config={}, **settings) as run:
        run.log({"loss": 0.5}, 1)
        run.log({"loss": 0.4}, 2)
    (point / "metrics.jsonl").write_text(logged)
    assert main(["wandb", str(folder)]) == 0
    return folder


def trained(folder: Path) -> list[Path]:
    return sorted(folder.glob("dpo-*"))


def table(server: WandbServer, folder: Path, key: str) -> dict[str, Any]:
    """The table of a run as the server got it."""
    prefix = f"{run_id(folder)}/media/table/{key}_summary_"
    (content,) = (data for path, data in server.files.items() if path.startswith(prefix))
    return json.loads(content)


def specs(server: WandbServer, kind: str) -> list[dict[str, Any]]:
    return [json.loads(one["spec"]) for one in server.views if one["type"] == kind]


def test_runs_hold_what_was_swept_and_how_it_compares(server: WandbServer, study: Path) -> None:
    runs = {path.name: server.runs[run_id(path)] for path in study.iterdir() if (path / "config.yaml").exists()}
    point = trained(study)[1]
    one = runs[point.name]
    assert (one["displayName"], one["config"]["result"]) == ("50 % of the data, seed 1", "50 % of the data")
    assert (one["config"]["beta"], one["config"]["method"]["name"]) == (0.1, "dpo")
    assert [line["train/global_step"] for line in one["history"]] == [*range(1, 36)]
    assert {"train/loss", "train/rewards/margins"} <= one["history"][0].keys()
    summary, score = one["summary"], json.loads((point / "result.json").read_text())["scores"]["text"]
    assert summary["text"] == pytest.approx(score["value"])
    assert (summary["text_low"], summary["text_n"]) == (pytest.approx(score["low"]), 8)
    ends = summary["text_gain_low"], summary["text_gain"], summary["text_gain_high"]
    assert ends == tuple(sorted(ends))
    assert summary["text_verdict"] in ("better", "worse", "not distinguishable")
    for name in ("base-00abcd", "before_visual_tuning-00abcd"):
        assert not {"beta", "lr", "seed", "method", "train"} & runs[name]["config"].keys()
        assert "text_verdict" not in runs[name]["summary"]
    assert runs["base-00abcd"]["displayName"] == "base"


def test_tables_hold_answers_beside_those_of_the_base(server: WandbServer, study: Path) -> None:
    found = table(server, trained(study)[0], "answers_text")
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]
    assert len(rows) == 8
    assert all(row["difference"] == pytest.approx(row["score"] - row["base_score"]) for row in rows)
    assert rows[0]["question"].startswith("Made-up question 0 of text")
    assert "base_answer" not in table(server, study / "base-00abcd", "answers_text")["columns"]
    results = table(server, study, "results")
    assert len(results["data"]) == 4 * len(TASKS)
    curve = table(server, study, "curve_text_data_scale")
    assert {row[1] for row in curve["data"]} == {"DPO", "base", "before visual tuning"}
    assert [row[0] for row in curve["data"] if row[1] == "DPO"] == [0, 0.5, 1]
    assert any(path.startswith(f"{run_id(study)}/media/images/figures/data_scaling") for path in server.files)


def test_what_was_kept_offline_is_uploaded_once(server: WandbServer, study: Path) -> None:
    run = server.runs[run_id(trained(study)[0])]
    assert [line["train/global_step"] for line in run["history"]] == [*range(1, 36)]
    assert [line["train/loss"] for line in run["history"]][:2] == [0.5, 0.4]  # as it was logged, not again
    assert sync_offline_runs(trained(study)) == 0
    assert not Path("wandb").exists()  # W&B's own logs


def test_the_workspace_shows_the_study(server: WandbServer, study: Path) -> None:
    section = specs(server, "project-view")[0]["section"]
    assert [one["name"] for one in section["panelBankConfig"]["sections"]] == [
        *("Scores", "Data scaling", "Training", "All axes", "Answers side by side", "Figures")
    ]
    panels = [panel for one in section["panelBankConfig"]["sections"] for panel in one["panels"]]
    by_type: dict[str, list[dict[str, Any]]] = {}
    for panel in panels:
        by_type.setdefault(panel["viewType"], []).append(panel["config"])
    assert [one["metrics"] for one in by_type["Bar Chart"]] == [[task] for task in TASKS]
    assert {one["groupBy"] for one in (*by_type["Bar Chart"], *by_type["Run History Line Plot"])} == {"result.value"}
    assert {(one["xAxis"], one["groupAgg"]) for one in by_type["Run History Line Plot"]} == {
        ("train/global_step", "mean")
    }
    assert by_type["Run History Line Plot"][1]["metrics"] == ["train/rewards/margins"]
    assert by_type["Scatter Plot"][0]["xAxis"] == "config:data_scale.value"
    (parallel,) = by_type["Parallel Coordinates Plot"]
    assert [one["accessor"] for one in parallel["columns"]] == [
        *("config:data_scale.value", "config:seed.value"),
        *(f"summary:{task}" for task in TASKS),
    ]
    assert by_type["Media Browser"][0]["mediaKeys"] == ["figures/data_scaling"]
    (runset,) = section["runSets"]
    points = [path for path in study.iterdir() if (path / "config.yaml").exists()]
    (condition,) = runset["filters"]["filters"]
    assert (condition["key"], condition["op"]) == ({"section": "run", "name": "name"}, "IN")
    assert set(condition["value"]) == {run_id(path) for path in (*points, study)}
    columns = runset["runFeed"]["columnOrder"]
    assert columns[:3] == ["run:displayName", "config:data_scale.value", "config:seed.value"]
    assert columns[3:6] == ["summary:text", "summary:text_gain", "summary:text_verdict"]
    assert len({panel["__id__"] for panel in panels}) == len(panels)


def test_the_report_has_the_verdicts_and_the_table_of_runs(server: WandbServer, study: Path) -> None:
    blocks = specs(server, "runs")[0]["blocks"]
    text = json.dumps([one for one in blocks if one["type"] == "markdown-block"])
    assert text.count("| text instructions |") == 4
    assert "6 comparisons" in text  # of presence the items are not there
    grids = [one["metadata"] for one in blocks if one["type"] == "panel-grid"]
    assert len(grids) == 6
    for grid in grids:
        (runset,) = grid["runSets"]
        assert runset["runFeed"]["lockColumns"] is True
        assert "summary:text_p_corrected" in runset["runFeed"]["columnOrder"]
        assert run_id(study) in runset["filters"]["filters"][0]["value"]
        panels = [panel["layout"] for panel in grid["panelBankSectionConfig"]["panels"]]
        assert len({(one["x"], one["y"]) for one in panels}) == len(panels)


def test_a_second_upload_updates_and_does_not_duplicate(
    server: WandbServer, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starts = {name: run["starts"] for name, run in server.runs.items()}
    files, views = len(server.files), len(server.views)
    result = json.loads((trained(study)[0] / "result.json").read_text())
    result["scores"]["text"]["value"] += 0.25
    (trained(study)[0] / "result.json").write_text(json.dumps(result))
    assert main(["wandb", str(study)]) == 0
    changed = {name for name, run in server.runs.items() if run["starts"] > starts[name]}
    assert {run_id(trained(study)[0])} <= changed <= {run_id(trained(study)[0]), run_id(study)}
    assert server.runs[run_id(trained(study)[0])]["summary"]["text"] == pytest.approx(result["scores"]["text"]["value"])
    assert len(server.runs[run_id(trained(study)[0])]["history"]) == 35
    again, before = server.views[views:], server.views[:2]
    assert [one["id"] for one in again] == ["view0", "view1"]
    assert [one["name"] for one in again] == [one["name"] for one in before]
    tables = [path for path in list(server.files)[files:] if "/media/" in path]
    assert all(path.startswith(f"{run_id(study)}/media/table/") for path in tables)  # the results, and nothing else
    server.known_views.clear()  # deleted in the app
    assert main(["wandb", str(study)]) == 0
    assert [one.get("id") for one in server.views[-2:]] == [None, None]
    assert "were up to date" in capsys.readouterr().out


def test_adapters_are_uploaded_if_asked(server: WandbServer, study: Path) -> None:
    adapter = trained(study)[2] / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    for _ in range(2):
        assert main(["wandb", str(study), "--adapters"]) == 0
    uploaded = [one["artifactCollectionName"] for one in server.artifacts if one["artifactTypeName"] == "model"]
    assert [name for name in uploaded if run_id(trained(study)[2]) in name] == [f"adapter-{run_id(trained(study)[2])}"]


def test_an_error_of_wandb_is_one_warning(
    server: WandbServer, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError(f"no answer, key {KEY}\nsecond line")

    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_service, "start_online", refuse)
    monkeypatch.setattr(publish, "write_page", lambda dashboards, path: path.touch())
    (study / "wandb" / "uploaded.json").unlink()
    assert main(["wandb", str(study)]) == 1
    out = capsys.readouterr().out
    assert out.count("warning: W&B: ConnectionError: no answer, key $WANDB_API_KEY") == 1
    assert "second line" not in out
    assert (study / "wandb_dashboard.html").exists()


@pytest.mark.parametrize("workspace", [False, True])
def test_a_sweep_publishes_at_its_end_if_asked(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workspace: bool
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(publish, "write_page", lambda dashboards, path: path.touch())
    page = study / "wandb_dashboard.html"
    page.unlink(missing_ok=True)
    tracking = TrackingConfig(name="wandb", mode=WandbMode.auto, workspace=workspace)
    publish_after_sweep(study, tracking)
    assert page.exists() == workspace
    assert ("python -m mmdpo wandb" in publish_hint(study, tracking)) == workspace
