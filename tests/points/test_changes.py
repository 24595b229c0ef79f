"""Detection of changed contents, with both ways to continue, before a run and in a job that starts late."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from mmdpo.config.choices import Resume, Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.points import status
from mmdpo.points.changes import all_inputs, changed_inputs, changed_since, require_as_planned, require_unchanged
from mmdpo.points.point import Point, point
from mmdpo.points.records import write_record
from mmdpo.sweep import local
from mmdpo.sweep.run_point import run_point, train_missing_nonzero_rank
from tests.support.identities import own_files

WAYS = ("study=NEW", "resume=force")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    own_files(tmp_path)
    model = ["model.path=model", "model.before_visual_tuning=null"]
    data = ["data=pairs", "data.path=pairs.jsonl", "data.image_root=images"]
    return compose_config([*model, *data, "out=out", "study=s", "tracking=none"])


def made(p: Point, *files: str) -> Point:
    p.folder.mkdir(parents=True, exist_ok=True)
    write_record(p.folder, p.identity)
    for name in files:
        (p.folder / name).write_text("{}")
    return p


CHANGES = {
    "model/model.safetensors": "model.path={}/model (weights)",
    "model/tokenizer.json": "model.path={}/model (processor)",
    "pairs.jsonl": "data.path={}/pairs.jsonl (rows)",
    "images/a.png": "data.image_root={}/images (images)",
}


@pytest.mark.parametrize("file", CHANGES)
@pytest.mark.parametrize("other", [False, True])
def test_what_has_changed_is_named(file: str, other: bool, config: Config, tmp_path: Path) -> None:
    """The same point, and another one of the study."""
    made(point(config), "result.json")
    asked = dataclasses.replace(config, beta=0.7) if other else config
    assert changed_inputs(point(asked)) == []
    require_unchanged([point(asked)])
    with (tmp_path / file).open("a") as opened:
        opened.write(" \n")
    expected = CHANGES[file].format(tmp_path)
    assert changed_inputs(point(asked)) == [expected]
    with pytest.raises(UserError) as caught:
        require_unchanged([point(asked)])
    for words in (expected, *WAYS):
        assert words in str(caught.value)
    require_unchanged([point(dataclasses.replace(asked, study="new"))])


def test_by_force_the_changed_point_is_made_beside_the_old_one(config: Config, tmp_path: Path) -> None:
    old = made(point(config), "result.json")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"2")
    forced = point(dataclasses.replace(config, resume=Resume.force))
    require_unchanged([forced])
    assert forced.folder != old.folder
    made(forced, "result.json")
    require_unchanged([point(config)])  # what was made last counts
    assert point(config).folder == forced.folder


def test_a_point_that_has_computed_nothing_holds_no_one_to_its_data(config: Config, tmp_path: Path) -> None:
    """A wrong row is fixed, and the same command succeeds."""
    made(point(config), "status.json", "config.yaml")
    (tmp_path / "pairs.jsonl").write_text((tmp_path / "text.jsonl").read_text())
    require_unchanged([point(config)])


@pytest.mark.parametrize("file", ["training.json", "checkpoints", "answers", "result.json"])
def test_a_point_that_has_begun_does(file: str, config: Config, tmp_path: Path) -> None:
    made(point(config), file)
    (tmp_path / "pairs.jsonl").write_text((tmp_path / "text.jsonl").read_text())
    with pytest.raises(UserError, match=r"data\.path="):
        require_unchanged([point(config)])


def test_another_path_is_another_point_and_no_change(config: Config, tmp_path: Path) -> None:
    made(point(config), "result.json")
    (tmp_path / "more").mkdir()
    own_files(tmp_path / "more")
    (tmp_path / "more" / "model" / "model.safetensors").write_bytes(b"2")
    model = dataclasses.replace(config.model, path="more/model")
    require_unchanged([point(dataclasses.replace(config, model=model))])


@pytest.mark.parametrize("stage", [Stage.experiment, Stage.train, Stage.evaluate, Stage.export])
def test_every_stage_asks_first(stage: Stage, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(point(config), "training.json", "result.json")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"2")
    monkeypatch.setattr(local, "_run_all", lambda *given: pytest.fail("it ran"))
    with pytest.raises(UserError, match=r"model\.path=.*\(weights\)"):
        local.run_sweep([config]) if stage is Stage.experiment else local.run_stage([config], stage)
    if stage is not Stage.export:
        with pytest.raises(UserError, match=r"model\.path=.*\(weights\)"):
            local.describe([config], stage)


@pytest.mark.parametrize("file", CHANGES)
def test_a_job_that_starts_late_looks_again(
    file: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its point has the name that it was submitted with, and no folder yet. Size and time of the file are kept."""
    from mmdpo.pipeline import point_stages

    monkeypatch.setattr("mmdpo.models.fingerprints.SETTLED_SECONDS", -1)
    p, path = point(config), tmp_path / file
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setattr(point_stages, "experiment", lambda p: pytest.fail("it ran"))
    monkeypatch.setattr(point_stages, "train_nonzero_rank", lambda p: pytest.fail("it ran"))
    reason = run_point(p, Stage.experiment) or ""
    for words in (CHANGES[file].format(tmp_path), p.name, *WAYS):
        assert words in reason
    with pytest.raises(UserError, match=p.name):
        train_missing_nonzero_rank(p, Stage.experiment)
    assert status.read_status(p.folder).state is status.State.failed


def test_a_planned_point_names_what_has_changed_since(config: Config, tmp_path: Path) -> None:
    p = made(point(config))
    require_as_planned(p)
    (tmp_path / "images" / "a.png").write_bytes(b"another")
    with pytest.raises(UserError, match=rf"changed since .*: data\.image_root={tmp_path}/images \(images\)\. "):
        require_as_planned(p)
    with pytest.raises(UserError, match=r"data\.image_root="):  # by force as well: it was planned with others
        require_as_planned(dataclasses.replace(p, config=dataclasses.replace(config, resume=Resume.force)))


def test_a_model_that_was_not_downloaded_when_its_point_was_planned_is_no_change(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dataclasses.replace(config.model, path="owner/model")
    files: dict[str, str] | None = None
    monkeypatch.setattr("mmdpo.models.fingerprints.hub_files", lambda name: files)
    p = point(dataclasses.replace(config, model=model))
    made(p, "checkpoints")
    files = {"config.json": "1", "model.safetensors": "2"}
    require_as_planned(p)
    require_unchanged([point(p.config)])
    assert point(p.config).name != p.name


def test_inputs_are_named_by_override_and_path(config: Config, tmp_path: Path) -> None:
    before = all_inputs([config, dataclasses.replace(config, seed=1)])
    assert {key.partition("#")[0] for key in before} == {text.format(tmp_path) for text in CHANGES.values()}
    assert changed_since(before, all_inputs([config])) == []
    (tmp_path / "pairs.jsonl").write_text((tmp_path / "text.jsonl").read_text())
    assert f"data.path={tmp_path}/pairs.jsonl (rows)" in changed_since(before, all_inputs([config]))
    assert changed_since({"a#": "unknown: x"}, {"a#": "1"}) == changed_since({"gone#": "1"}, {}) == []
