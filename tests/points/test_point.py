"""Lookup of a point's folder by identity; names may differ."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.points.identity import Identity
from mmdpo.points.point import Point, point, points_of
from mmdpo.points.records import FILE, identity_of, read_record, write_record


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return compose_config([f"out={tmp_path}", "study=s"])


def planned(p: Point) -> Point:
    p.folder.mkdir(parents=True)
    write_record(p.folder, p.identity)
    return p


def test_a_folder_is_found_whatever_its_name_says(config: Config) -> None:
    p = planned(point(config))
    renamed = p.folder.with_name(f"an-older-name-{p.identity.hex[:6]}")
    p.folder.rename(renamed)
    assert point(config).folder == renamed
    assert [one.folder for one in points_of([config])] == [renamed]


def test_a_label_does_not_orphan_a_point(config: Config) -> None:
    p = planned(point(config))
    labelled = dataclasses.replace(config, method=dataclasses.replace(config.method, name="mine"))
    assert point(labelled).folder == p.folder
    assert identity_of(p.folder) == p.identity.hex


def test_two_points_whose_short_names_are_equal_get_two_folders(config: Config) -> None:
    p = point(config)
    p.folder.mkdir(parents=True)
    write_record(p.folder, Identity({"another": 1}, {}))
    second = point(config)
    assert second.name == f"{p.name.rpartition('-')[0]}-{p.identity.hex[:12]}"
    planned(second)
    assert point(config).name == second.name


def test_two_new_points_of_one_plan_with_equal_names_get_two_folders(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmdpo.points.point.SUFFIX", 0)
    monkeypatch.setattr("mmdpo.points.point.readable_name", lambda *given: "same")
    first, second = points_of([config, dataclasses.replace(config, seed=1)])
    assert first.name == "same-"
    assert second.name == f"same-{second.identity.hex[:12]}"


def test_points_that_differ_only_in_what_changes_no_result_are_refused(config: Config) -> None:
    two_workers = dataclasses.replace(config, train=dataclasses.replace(config.train, dataloader_num_workers=2))
    with pytest.raises(UserError, match=r"train\.dataloader_num_workers=0 and train\.dataloader_num_workers=2"):
        points_of([config, two_workers])
    same = dataclasses.replace(config, beta=0.1 + 1e-16)
    bases = [dataclasses.replace(one, data_scale=0.0) for one in (config, two_workers)]
    assert len({p.name for p in points_of([config, same, *bases])}) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"identity": "0"}', '{"identity": "0", "contents": {"a": {}}}'])
def test_a_damaged_record_is_none(damage: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(damage)
    assert read_record(tmp_path) is None


def test_a_thousand_points_are_named_in_seconds(config: Config) -> None:
    configs = [dataclasses.replace(config, seed=seed) for seed in range(1000)]
    began = time.process_time()
    names = {p.name for p in points_of(configs)}
    assert len(names) == 1000
    assert time.process_time() - began < 5
