"""Finished points of the version before identities: found, or refused with a clear message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from mmdpo.config.renamed import RENAMED
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.models.fingerprints import WEIGHT_FILES, sha256_fingerprint
from mmdpo.models.paths import resolve_path
from mmdpo.points import status
from mmdpo.points.changes import require_unchanged
from mmdpo.points.point import point
from mmdpo.points.previous_version import config_of, previous_hash
from mmdpo.points.records import FILE
from mmdpo.points.study_records import adopt_previous, study_records
from tests.support.identities import own_files

NEW_FIELDS = {"judge": ("client",), "generator": ("sampler",)}


def old_keys(config: Config) -> dict[str, Any]:
    """The config as the earlier version wrote it."""
    node = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert isinstance(node, dict)
    for group, names in NEW_FIELDS.items():
        for name in names:
            node[group].pop(name, None)
    for old, new in RENAMED.items():
        *parents, last = new.split(".")
        holder: Any = node
        for parent in parents:
            holder = holder.get(parent, {}) if parent != "*" else {}
        if last in holder:
            holder[old.rpartition(".")[2]] = holder.pop(last)
    return node


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    own_files(tmp_path)
    return compose_config([f"out={tmp_path}", "study=s", "data=pairs", "data.path=text.jsonl", "beta=0.2"])


def old_point(config: Config) -> Path:
    """A finished point as the earlier version wrote it."""
    raw = old_keys(config)
    folder = Path(config.out) / config.study / f"dpo-beta0.2-{previous_hash(raw, config)}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    weights = sha256_fingerprint(Path(resolve_path(config.model.path)), WEIGHT_FILES)
    write_json(folder / "result.json", {"role": "trained", "scores": {}, "fingerprints": {"model": weights}})
    status.finish(folder)
    return folder


def test_the_fingerprint_of_the_shipped_weights_is_the_earlier_versions() -> None:
    assert sha256_fingerprint(Path(resolve_path("pkg://mmdpo/nano/weights/llava")), WEIGHT_FILES) == "a8c02a44ef38744b"


def test_a_config_of_the_earlier_version_is_read(config: Config) -> None:
    raw = old_keys(config)
    assert {"epochs", "batch_size", "zero"} <= {*raw["train"]}
    assert "rank" in raw["model"]["lora"]
    assert config_of(raw) == config


def test_a_finished_point_is_found(config: Config) -> None:
    folder = old_point(config)
    assert point(config).folder == folder
    require_unchanged([point(config)])
    assert status.is_done(point(config).folder)
    assert not (folder / FILE).exists()  # looking writes nothing
    adopt_previous(folder.parent)
    assert read_json(folder / FILE)["identity"] == point(config).identity.hex
    assert point(config).folder == folder
    other = compose_config([f"out={config.out}", "study=s", "data=pairs", "data.path=text.jsonl", "beta=0.3"])
    assert point(other).folder != folder


@pytest.mark.parametrize("what", ["rows", "weights"])
def test_one_that_was_made_with_other_contents_is_named(what: str, config: Config, tmp_path: Path) -> None:
    folder = old_point(config)
    if what == "rows":
        (tmp_path / "text.jsonl").write_text((tmp_path / "pairs.jsonl").read_text())
        expected = rf"data\.path={tmp_path}/text\.jsonl \(rows\)"
    else:
        result = read_json(folder / "result.json")
        write_json(folder / "result.json", {**result, "fingerprints": {"model": "another"}})
        expected = r"model\.path=pkg://mmdpo/nano/weights/llava \(weights\)"
    assert point(config).folder != folder
    with pytest.raises(UserError, match=f"{expected}.*study=NEW"):
        require_unchanged([point(config)])


def test_one_that_cannot_be_read_is_refused(config: Config) -> None:
    folder = old_point(config)
    (folder / "config.yaml").write_text("train: {unknown: 1}")
    with pytest.raises(UserError, match=rf"{folder.name}.*study=NEW"):
        require_unchanged([point(config)])
    adopt_previous(folder.parent)
    assert not (folder / FILE).exists()


def test_an_unfinished_one_is_passed_over(config: Config) -> None:
    folder = old_point(config)
    (folder / "result.json").unlink()
    assert study_records(folder.parent) == ()
    require_unchanged([point(config)])
