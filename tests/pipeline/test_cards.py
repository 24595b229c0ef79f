"""Cached data that was damaged after it was made: it is noticed where it is used, and made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.entry.compose import compose_config
from mmdpo.pipeline.data_stages import find_existing, get_or_make, pipeline
from mmdpo.pipeline.training_sets import training_set

Made = tuple[Config, dict[Stage, Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A config and the folders of its data stages; each test leaves them as they were made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDPO_CACHE", str(tmp_path_factory.mktemp("cache")))
        config = compose_config(["data.prompts=12", "data.sampling.max_new_tokens=16"])
        yield config, {stage: get_or_make(config, stage) for stage in pipeline(config)}


def swap_answers(file: Path) -> None:
    text = file.read_text()
    for old, new in (("chosen", "?"), ("rejected", "chosen"), ("?", "rejected")):
        text = text.replace(f'"{old}"', f'"{new}"')
    file.write_text(text)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("stage", "pattern", "damage"),
    [
        (Stage.prompts, "prompts.jsonl", empty),
        (Stage.prompts, "*/*.png", cut),
        (Stage.sample, "completions.jsonl", cut),
        (Stage.sample, "card.json", empty),
        (Stage.annotate, "annotations.jsonl", Path.unlink),
        (Stage.annotate, "summary.json", cut),
        (Stage.build, "examples.jsonl", swap_answers),
        (Stage.build, "card.json", cut),
        (Stage.build, "llava_dpo.json", cut),
    ],
)
def test_damaged_data_is_made_again(
    made: Made,
    capsys: pytest.CaptureFixture[str],
    stage: Stage,
    pattern: str,
    damage: Callable[[Path], object],
) -> None:
    config, folders = made
    file = min(folders[stage].glob(pattern))
    before = file.read_bytes()
    examples = training_set(config).examples
    damage(file)
    _forget()
    assert find_existing(config, stage) is None
    assert training_set(config).examples == examples
    if stage is not Stage.build:  # a finished training set needs its prompts' images, and no more
        get_or_make(config, stage)
    assert file.read_bytes() == before
    assert f"{folders[stage]}: changed since it was made" in capsys.readouterr().out


def test_whole_data_is_used_as_it_is(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    config, folders = made
    changed = {stage: folder.stat().st_mtime_ns for stage, folder in folders.items()}
    training_set(config)
    assert {stage: folder.stat().st_mtime_ns for stage, folder in folders.items()} == changed
    assert "changed" not in capsys.readouterr().out


def _forget() -> None:
    """Start as a new process does, for damages that change no record."""
    from mmdpo import cache
    from mmdpo.models import fingerprints

    cache._verified.clear()
    fingerprints._digests.clear()
