"""Reference passes that are left to do: each once, and none whose log-probs are in the cache."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import ReferenceModel, Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.pipeline.own_pairs import TrainingSet
from mmdpo.pipeline.point_stages import training_settings
from mmdpo.points.contents import contents_remembered
from mmdpo.points.point import Point, points_of
from mmdpo.records import LabelledAnswer, PreferencePair
from mmdpo.sweep import work
from mmdpo.sweep.batches import batches_of
from mmdpo.training.reference import reference_path
from mmdpo.training.reference_notes import note_reference, reference_note

PAIRS = [PreferencePair(f"{n}", f"q{n}", "a", "b") for n in range(8)]
LABELLED = [LabelledAnswer(f"{n}", f"q{n}", f"a{n}", n % 2 == 0) for n in range(8)]
METHODS = ("dpo", "kto")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data that are made: the examples above."""
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(work, "_candidates", lambda config: LABELLED if config.method.name == "kto" else PAIRS)
    monkeypatch.setattr(work, "_stages_to_make", lambda config: [])
    monkeypatch.setattr(work, "training_set", lambda config: TrainingSet([], tmp_path, {}))
    monkeypatch.setattr(work, "sets_of", lambda config: [])
    return tmp_path


@functools.cache
def composed(method: str) -> Config:
    return compose_config([f"method={method}", "study=s"])


def point_with(folder: Path, method: str, **fields: Any) -> Point:
    config = dataclasses.replace(composed(method), out=str(folder))
    for key, value in fields.items():
        group, _, name = key.partition("__")
        changed = dataclasses.replace(getattr(config, group), **{name: value}) if name else value
        config = dataclasses.replace(config, **{group: changed})
    return points_of([config])[0]


def passes(*points: Point) -> int:
    """Count the reference passes of points that one command trains."""
    with contents_remembered():
        batches = batches_of(points, Stage.train)
    parts = [part for one in batches for group in (one.shared, *one.points) for part in group]
    return sum(found.kind == "reference" for _, found in parts)


def compute(config: Config) -> Path:
    """Leave reference log-probs in the cache as a training does; return their folder."""
    root = Path(config.out)
    if config.method.name == "kto":
        folder = root / "cache/reference/labelled"
        examples = work.selected(config)
        assert examples is not None
        note_reference(reference_note(training_settings(config), examples, root), folder)
    else:
        folder = reference_path(config.model, config.method.reference, config.train, PAIRS, root)
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_those_in_the_cache_are_not_computed_again(made: Path, method: str) -> None:
    points = [point_with(made, method, beta=beta) for beta in (0.1, 0.2)]
    assert passes(*points) == 1
    folder = compute(points[0].config)
    assert passes(*points) == 0
    shutil.rmtree(folder)
    assert passes(*points) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("other", [{"train__max_text_tokens": 90}, {"train__prefix_sharing": False}])
def test_those_of_other_tokens_are_computed(made: Path, method: str, other: dict[str, Any]) -> None:
    points = point_with(made, method), point_with(made, method, **other)
    assert passes(*points) == 2
    compute(points[0].config)
    assert passes(*points) == 1


@pytest.mark.parametrize("other", [{"seed": 1}, {"train__per_device_train_batch_size": 2}, {"data_scale": 0.5}])
def test_labelled_answers_are_compared_with_others_by_seed_batches_and_selection(
    made: Path, other: dict[str, Any]
) -> None:
    compute(point_with(made, "kto").config)
    assert passes(point_with(made, "kto", label_noise=0.5)) == 0
    assert passes(point_with(made, "kto", **other)) == 1
    compute(point_with(made, "dpo").config)
    assert passes(point_with(made, "dpo", **other)) == 0


@pytest.mark.parametrize("method", METHODS)
def test_trainings_from_two_adapters_share_those_of_the_base(made: Path, method: str) -> None:
    for name in ("one", "two"):
        (made / name).mkdir()
        (made / name / "adapter_config.json").write_text("{}")
        (made / name / "adapter_model.safetensors").write_text(name)
    for which, count in ((ReferenceModel.start, 2), (ReferenceModel.base, 1)):
        starts = [
            point_with(made, method, model__adapter=str(made / name), method__reference=which)
            for name in ("one", "two")
        ]
        assert passes(*starts) == count
    compute(starts[0].config)
    assert passes(*starts) == 0
