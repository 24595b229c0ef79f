"""The metrics in files and in W&B, and errors of W&B that must not stop a run."""

import json
import math
import platform
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmdpo import provenance, wandb_service
from mmdpo.entry.compose import compose_config
from mmdpo.pipeline import point_stages
from mmdpo.points import point as points
from tests.support.tracking import KEY, inspect, lines, messages, tracker, transaction_log

pytestmark = pytest.mark.usefixtures("online_again", "ended_service")


def test_lines_are_json_for_all_numbers(tmp_path: Path) -> None:
    with tracker(tmp_path) as run:
        run.log({"loss": 0.5, "rewards/margins": 1}, 1)
        run.log({"loss": math.nan, "grad_norm": math.inf}, 2)
    text = (tmp_path / "metrics.jsonl").read_text("utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    assert lines(tmp_path) == [
        {"step": 1, "loss": 0.5, "rewards/margins": 1.0},
        {"step": 2, "loss": None, "grad_norm": None},
    ]


def test_a_line_is_on_disk_at_once(tmp_path: Path) -> None:
    run = tracker(tmp_path)
    run.log({"loss": 0.5}, 1)
    assert lines(tmp_path) == [{"step": 1, "loss": 0.5}]
    run.finish(ok=True)


def test_a_resumed_run_holds_each_step_once(tmp_path: Path) -> None:
    first = tracker(tmp_path)
    for step in range(1, 6):
        first.log({"loss": step}, step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # the process was killed here
    second = tracker(tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]
    second.resumed(3)
    for step in range(4, 8):
        second.log({"loss": step}, step)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["loss"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    second.resumed(-1)
    assert lines(tmp_path) == []


def test_the_offline_file_holds_the_metrics(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with tracker(tmp_path, "offline") as run:
        for step in range(1, 21):
            run.log({"loss": 1 / step}, step)
        run.summary({"text": 6.5, "visual": 7.0})
    capfd.readouterr()  # drop the output of W&B
    seen = json.loads(inspect(transaction_log(tmp_path), "--summary"))
    assert (seen["run_id"], seen["name"], seen["project"]) == ("abc123", "dpo-beta0.1", "test")
    assert seen["tags"] == ["dpo", "mine"]
    assert seen["config"]["beta"] == 0.1
    assert seen["exit_code"] == 0
    assert seen["state"] == "finished"
    assert seen["console"] == []
    assert (seen["summary"]["text"], seen["summary"]["visual"]) == (6.5, 7.0)
    records = [json.loads(line) for line in inspect(transaction_log(tmp_path)).splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(item["train/global_step"], item["train/loss"]) for item in history] == [
        (line["step"], pytest.approx(line["loss"])) for line in lines(tmp_path)
    ]
    about = next(record["run"] for record in records if record["type"] == "run")
    assert (about["run_group"], about["job_type"]) == ("beta_lr_grid", "train")


@pytest.mark.parametrize("host", [False, True])
def test_only_the_run_is_recorded_and_the_host_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: bool
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("MY_TOKEN", "very-secret-value")
    with tracker(tmp_path, "offline", host=host, url="http://x/?t=very-secret-value") as run:
        run.log({"loss": 1}, 1)
    kept = [path for path in (tmp_path / "wandb").rglob("*") if path.is_file()]
    # no code and no patch in either case
    assert {path.name for path in kept if path.suffix not in (".wandb", ".log")} == (
        {"run.json", "requirements.txt"} if host else {"run.json"}
    ) - {"run.json"}
    for path in kept:
        content = path.read_bytes()
        assert KEY.encode() not in content
        assert b"very-secret-value" not in content
    seen = inspect(transaction_log(tmp_path))
    assert "http://x/?t=$MY_TOKEN" in seen
    commit = (provenance.git_commit() or "").removesuffix("-dirty")
    assert (commit in seen and platform.node() in seen) == host


def test_a_failed_run_is_marked(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), tracker(tmp_path, "offline"):
        raise RuntimeError("out of memory")
    assert json.loads(inspect(transaction_log(tmp_path), "--summary"))["exit_code"] == 1


def test_several_runs_in_one_process_cost_little(tmp_path: Path) -> None:
    tracker(tmp_path / "first", "offline").finish(ok=True)
    started = time.monotonic()
    for point in range(5):
        with tracker(tmp_path / str(point), "offline") as run:
            run.log({"loss": 1}, 1)
    assert time.monotonic() - started < 5  # measured: 0.1 s
    assert len(list(tmp_path.glob("*/wandb/offline-run-*/*.wandb"))) == 6


class BrokenRun:
    """A W&B run whose every call fails."""

    url = "x"

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError(f"no {name}, key {KEY}\nsecond line")


def test_broken_at_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import wandb

    def init(**_: object) -> None:
        raise ConnectionError(f"ill {KEY}\nsecond line")

    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb, "init", init)
    with tracker(tmp_path, "offline") as run:
        run.log({"loss": 1}, 1)
        run.summary({"text": 1})
    assert lines(tmp_path) == [{"step": 1, "loss": 1.0}]
    (line,) = messages(caplog)
    assert "ConnectionError: ill $WANDB_API_KEY" in line
    assert "\n" not in line


@pytest.mark.parametrize("calls", [("log", "summary"), ("summary",), ()])
def test_broken_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    calls: tuple[str, ...],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_service, "start_run", lambda *_: BrokenRun())
    with tracker(tmp_path, "offline") as run:
        for step in range(3):
            if "log" in calls:
                run.log({"loss": 1}, step)
        if "summary" in calls:
            run.summary({"text": 1})
    assert len(messages(caplog)) == 1
    assert KEY not in caplog.text
    assert (tmp_path / "metrics.jsonl").exists() == ("log" in calls)
    if "log" in calls:
        assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2]


def test_a_run_has_the_metric_names_of_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers' callback sends for a log entry of TRL, and the x-axis that it defines."""
    import wandb
    from transformers.integrations.integration_utils import WandbCallback

    class Recorder:
        def __init__(self) -> None:
            self.logged: list[dict[str, Any]] = []
            self.defined: list[Any] = []
            self.starting_step = 0

        def log(self, values: dict[str, Any], step: int | None = None) -> None:
            self.logged.append(dict(values))

        def define_metric(self, name: str, **options: Any) -> None:
            self.defined.append((name, options))

        def finish(self, exit_code: int) -> None: ...

    theirs, ours = Recorder(), Recorder()
    entry = {"loss": 0.5, "rewards/margins": 0.1, "learning_rate": 1e-4, "epoch": 0.5}
    callback = WandbCallback()
    monkeypatch.setattr(callback, "_wandb", theirs)
    monkeypatch.setattr(callback, "_initialized", True)
    callback.on_log(None, SimpleNamespace(is_world_process_zero=True, global_step=3), None, logs=entry)
    monkeypatch.setattr(wandb_service, "start_run", lambda *_: ours)
    with tracker(tmp_path, "offline") as run:
        run.log(entry, 3)
    assert ours.logged == theirs.logged
    assert ours.defined == [("train/global_step", {}), ("*", {"step_metric": "train/global_step", "step_sync": True})]
    assert wandb.run is None


def test_a_training_that_was_taken_over_shows_its_curves(tmp_path: Path) -> None:
    """Of a run that is started again nothing is sent twice."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n{"step": 3, "l')
    with tracker(tmp_path, "offline") as run:
        run.replay()
        run.replay()
    with tracker(tmp_path, "offline") as run:
        run.replay()
    first, second = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    records = [json.loads(line) for line in inspect(first).splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(item["train/global_step"], item["train/loss"]) for item in history] == [(1, 0.5), (2, "NaN")]
    assert '"history"' not in inspect(second)


def test_of_an_untrained_model_the_sweeps_settings_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base is measured for all points of a sweep: the values of the first of them are not its own."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(point_stages, "Tracker", lambda folder, **values: made.append(values))
    config = compose_config([f"out={tmp_path}", "beta=0.3", "tracking.tags=[mine]"])
    for p in (points.point(config), *points.baselines(config)):
        point_stages.tracker_of(p)
    trained, *untrained = made
    assert trained["tags"] == ["trained", "dpo", "nano", "nano", "mine"]
    assert (trained["config"]["beta"], trained["job_type"]) == (0.3, "train")
    assert [one["tags"] for one in untrained] == [["base", "nano", "mine"], ["before_visual_tuning", "nano", "mine"]]
    for one in untrained:
        assert not {"beta", "lr", "seed", "method", "train"} & one["config"].keys()
        assert "path" in one["config"]["model"]
        assert "lora" not in one["config"]["model"]
        assert {"bench", "study", "point"} <= one["config"].keys()
    assert [one["config"].get("data_scale") for one in untrained] == [0.0, None]
