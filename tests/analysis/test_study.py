"""Reading a study, in whatever state its files are."""

import json
import math
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdpo.analysis.study import read_lines, read_metrics, read_study, sort_key
from mmdpo.analysis.table import next_stages
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.points.identity import Role
from mmdpo.points.status import is_done
from tests.support.adapters import safetensors_bytes, write_adapter, write_answers
from tests.support.studies import make_point, make_study, write


def test_reference_models_come_first_then_points_by_axes(tmp_path: Path):
    study = read_study(make_study(tmp_path / "s", [{"beta": beta} for beta in (0.3, 0.1, 0.2)]))
    assert [row.role for row in study.rows] == [Role.base, Role.before_visual_tuning, *[Role.trained] * 3]
    assert [row.axes["beta"] for row in study.trained] == [0.1, 0.2, 0.3]
    assert study.varying == ["beta"]
    assert study.benchmarks == ["text", "visual", "presence", "text_noisy"]
    row = study.trained[0]
    assert (row.state, row.steps, row.examples, row.seconds) == ("done", 35, 560, 12.3)
    assert row.scores["text"].n == 24
    assert row.scores["text"].low < row.scores["text"].value


def test_a_benchmark_of_another_version_comes_last_under_its_own_name(tmp_path: Path):
    folder = make_point(tmp_path, {})
    result = json.loads((folder / "result.json").read_text())
    result["scores"] = {"mine": {"value": 0.5, "n": 3}, "visual": {"value": 7.0, "n": 3, "unscored": 2}}
    write(folder / "result.json", result)
    study = read_study(tmp_path)
    assert study.benchmarks == ["visual", "mine"]
    assert study.rows[0].scores["visual"].unscored == 2


def test_settings_that_vary_are_found_in_the_configs(tmp_path: Path):
    for epochs in (1.0, 2.0):
        make_point(tmp_path, {}, config={"train": {"num_train_epochs": epochs}})
    study = read_study(tmp_path)
    assert study.varying == ["train.num_train_epochs"]
    assert [row.value("train.num_train_epochs") for row in study.rows] == [1.0, 2.0]


def test_settings_that_change_no_result_are_no_axes(tmp_path: Path):
    for seed, resume, steps in ((0, "same", 10), (1, "force", 20)):
        free = {"train": {"save_steps": steps}, "judge": {"journal": resume}}
        folder = make_point(tmp_path, {"seed": seed}, config=free)
        with (folder / "config.yaml").open("a") as file:
            file.write(f"resume: {resume}\nstage: {resume}\ncluster: {{mem: {steps}G}}\n")
    assert read_study(tmp_path).varying == ["seed"]


def test_a_point_between_two_stages_says_which_comes_next(tmp_path: Path):
    for seed in (0, 1, 2):
        folder = make_point(tmp_path, {"seed": seed}, state="planned", config={"bench": {"tasks": ["text", "vision"]}})
        if seed > 0:
            write_json(folder / "training.json", {"steps": 3})
            write_adapter(folder / "adapter")
        if seed > 1:
            write_answers(folder, "text", "vision")
    study = read_study(tmp_path)
    assert [row.state for row in study.rows] == ["planned", "trained", "answered"]
    trained, answered = next_stages(study)
    assert trained.startswith("trained  1 points: rerun the same command with stage=evaluate")
    assert answered.startswith("answered  1 points: rerun the same command with stage=judge")


def test_settings_that_follow_from_a_group_are_left_to_its_name(tmp_path: Path):
    for name, prompts in (("nano", 1000), ("paper", 6000)):
        make_point(tmp_path, {}, config={"data": {"name": name, "prompts": prompts}})
    for method in ("dpo", "ipo"):  # each with a loss of its own
        make_point(tmp_path, {"method": method, "seed": 1})
    assert read_study(tmp_path).varying == ["method", "seed", "data.name"]


DAMAGED = {
    "empty": "",
    "torn": '{"scores": {"text": {"val',
    "a list": "[1, 2]",
    "bytes": "\x00\x01",
    "torn YAML": "a: [b",
    "deep": "[" * 100_000,
    "deep in blocks": "- " * 100_000 + "x",
    "deep mappings": '{"a":' * 200 + "1" + "}" * 200,
    "aliases": "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "half an emoji": '{"state": "done", "scores": {"text": {"value": 1}}, "error": "\\ud83d"}',
    "a long number": '{"state": %s}' % ("9" * 5000),
    "a pipe": None,
}


@pytest.mark.parametrize("name", ["result.json", "status.json", "config.yaml", "metrics.jsonl"])
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_torn_file_of_one_point_leaves_the_others_as_they_are(tmp_path: Path, name: str, content: str | None):
    make_study(tmp_path, [{"beta": 0.1}, {"beta": 0.2}], n=4)
    path = tmp_path / "dpo-beta0.2-lr0.0005-sum-data1.0-seed0-00abcd" / name
    if content is None:
        path.unlink()
        os.mkfifo(path)
    else:
        path.write_text(content)
    whole, torn = read_study(tmp_path).trained
    assert whole.state == "done"
    assert whole.scores
    if name in ("result.json", "status.json"):
        assert torn.state == "unreadable"
        assert name in str(torn.error)
        assert not torn.scores
        assert not is_done(path.parent)  # the same command makes the point again
    else:
        assert torn.state == "done"
        assert torn.scores


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_in_a_result_break_the_reading(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    folder = tmp_path_factory.mktemp("study")
    (folder / "p").mkdir()
    (folder / "p" / "result.json").write_bytes(content)
    (folder / "p" / "status.json").write_text('{"state": "done"}')
    assert [row.point for row in read_study(folder).rows] == ["p"]


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner))


@settings(max_examples=50, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("axes", "scores", "training", "role", "seconds"), JSON)))
def test_no_shape_of_a_result_breaks_the_reading(tmp_path_factory: pytest.TempPathFactory, result: dict):
    folder = tmp_path_factory.mktemp("study")
    (folder / "p").mkdir()
    write(folder / "p" / "result.json", {"git": "x"} | result)
    write(folder / "p" / "status.json", {"state": "done"})
    readable = isinstance(result.get("scores"), dict)
    assert read_study(folder).rows[0].state == ("done" if readable else "unreadable")
    assert is_done(folder / "p") == readable


@pytest.mark.parametrize("state", ["interrupted", "failed", "done"])
def test_an_unfinished_point_of_an_earlier_version_is_named_with_what_to_do(tmp_path: Path, state: str):
    folder = make_point(tmp_path, {}, config={"train": {"epochs": 1.0}})
    (folder / "result.json").unlink()
    write(folder / "status.json", {"state": state})
    (row,) = read_study(tmp_path).failed
    assert "earlier version" in (row.error or "")
    assert "delete" in (row.error or "")


def test_done_without_a_result_is_not_done(tmp_path: Path):
    folder = make_point(tmp_path, {})
    (folder / "result.json").unlink()
    row = read_study(tmp_path).rows[0]
    assert (row.state, row.error) == ("unreadable", "result.json is missing")


def test_an_unscored_figure_is_absent_not_a_number(tmp_path: Path):
    folder = make_point(tmp_path, {})
    result = json.loads((folder / "result.json").read_text())
    result["scores"]["text"] = {"value": None, "n": 0, "low": None, "high": None}
    result["scores"]["visual"] = {"value": math.nan, "n": 0}
    write(folder / "result.json", result)
    assert {"text", "visual"}.isdisjoint(read_study(tmp_path).rows[0].scores)


def test_a_running_point_shows_its_step_so_far(tmp_path: Path):
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    folder = make_point(tmp_path, {}, state="running", steps=12, **here)
    with (folder / "metrics.jsonl").open("a") as out:
        out.write('{"step": 13, "lo')
    row = read_study(tmp_path).rows[0]
    assert (row.state, row.steps, row.scores) == ("running", 12, {})


def test_a_running_point_whose_process_is_gone_is_interrupted(tmp_path: Path):
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    make_point(tmp_path, {"seed": 0}, state="running", host=socket.gethostname(), pid=gone)
    make_point(tmp_path, {"seed": 1}, state="running", host="another-host", pid=gone)
    assert [row.state for row in read_study(tmp_path).rows] == ["interrupted", "running"]


@pytest.mark.parametrize("pid", [10**30, -1, "1", None, True, 2**40])
def test_a_running_point_with_no_process_is_unreadable_and_the_others_are_shown(tmp_path: Path, pid: object):
    make_study(tmp_path, [{"beta": 0.1}], n=4)
    make_point(tmp_path, {"beta": 0.2}, state="running", host=socket.gethostname(), pid=pid)
    whole, damaged = read_study(tmp_path).trained
    assert (whole.state, damaged.state) == ("done", "unreadable")
    assert "pid" in str(damaged.error)


def test_a_finished_point_with_a_torn_adapter_is_unreadable_and_one_without_is_done(tmp_path: Path):
    folder = make_point(tmp_path, {})
    assert is_done(folder)
    write_adapter(folder / "adapter")
    assert read_study(tmp_path).rows[0].state == "done"
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(safetensors_bytes("x")[:-1])
    row = read_study(tmp_path).rows[0]
    assert row.state == "unreadable"
    assert "adapter" in str(row.error)
    assert not is_done(folder)


def test_answers_with_line_separators_are_read_as_they_were_written(tmp_path: Path):
    rows = [{"id": "1", "answer": "one\u2028two\x85three"}, {"id": "2", "step": 10**400}]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    assert [*read_lines(tmp_path / "text.jsonl")] == [rows[0], {"id": "2", "step": math.inf}]


def test_metrics_are_in_order_and_the_last_of_a_repeated_step_counts(tmp_path: Path):
    lines = [{"step": 2, "loss": 0.5}, {"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.4}, {"final": True}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{broken\n")
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.4}]
    assert read_metrics(tmp_path / "absent") == []


def test_no_study_and_no_point_say_so(tmp_path: Path):
    with pytest.raises(UserError, match=r"no study at .*launch\.py"):
        read_study(tmp_path / "nope")
    (tmp_path / "figures").mkdir()
    with pytest.raises(UserError, match="holds no point"):
        read_study(tmp_path)


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()))
def test_any_values_can_be_sorted(values: list):
    assert len(sorted(values, key=sort_key)) == len(values)
