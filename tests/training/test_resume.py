"""A killed and restarted run, compared with an undisturbed one bit by bit."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdpo.training.resume import MARKER, complete, continue_from, last_complete, last_of_run, mark_complete
from mmdpo.training.run import TrainSummary, train_adapter
from tests.support.adapters import safetensors_bytes
from tests.support.program import program
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_settings
from tests.training.killed import SCENES, SETTINGS

CONTINUED = {"after_a_step": 4, "after_an_epoch": 6}  # the others: from the step in SCENES
Logged = dict[int, dict[str, float]]


def run(tiny: Tiny, folder: Path, logged: Logged, expect: int | None) -> TrainSummary:
    """Train to the end; entries of `logged` after the checkpoint are dropped first."""
    continued: list[int] = []

    def resumed(step: int) -> None:
        continued.append(step)
        for later in [known for known in logged if known > step]:
            del logged[later]

    def log(metrics: dict[str, float], step: int) -> None:
        assert step not in logged
        logged[step] = metrics

    settings = tiny_settings(tiny.model, **SETTINGS)
    summary = train_adapter(settings, tiny.pairs, tiny.images, folder, log, resumed)
    assert continued == [expect or 0]
    return summary


def numbers(logged: Logged) -> Logged:
    """Return the logged metrics without speed and memory."""
    return {
        step: {name: value for name, value in metrics.items() if name not in OF_THE_MACHINE}
        for step, metrics in logged.items()
    }


def adapter(folder: Path) -> dict[str, bytes]:
    assert not (folder / "checkpoints").exists()
    assert not list(folder.glob("*.tmp"))
    return {file.name: file.read_bytes() for file in (folder / "adapter").iterdir()}


@pytest.fixture(scope="module")
def killed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("killed")
    command = ("-m", "tests.training.killed", str(tiny.model), str(tiny.images), str(out))
    done = program(*command, MMDPO_CACHE=str(out / "cache"))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def undisturbed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Logged, TrainSummary]:
    folder, logged = tmp_path_factory.mktemp("undisturbed"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDPO_CACHE", str(tmp_path_factory.mktemp("cache")))
        summary = run(tiny, folder, logged, None)
    return adapter(folder), numbers(logged), summary


@pytest.mark.parametrize("scene", SCENES)
def test_a_killed_run_ends_as_an_undisturbed_one(
    tiny: Tiny, killed: Path, undisturbed: tuple[dict[str, bytes], Logged, TrainSummary], scene: str
) -> None:
    folder = killed / scene
    lines = (folder / "log.jsonl").read_text().splitlines()
    logged = dict(map(json.loads, lines))
    assert logged
    assert not (folder / "adapter").exists()
    summary = run(tiny, folder, logged, CONTINUED.get(scene, SCENES[scene]))
    expected_adapter, expected_log, expected = undisturbed
    assert adapter(folder) == expected_adapter
    assert numbers(logged) == expected_log
    assert (summary.steps, summary.epochs) == (expected.steps, expected.epochs) == (9, 3.0)
    assert numbers({9: summary.metrics}) == numbers({9: expected.metrics})


def test_a_checkpoint_of_another_run_is_not_continued(tiny: Tiny, tmp_path: Path) -> None:
    fake(tmp_path / "checkpoints", 4, "another run")
    run(tiny, tmp_path, {}, None)
    assert adapter(tmp_path)


def fake(folder: Path, step: int, run: str | None) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "optimizer.pt").write_bytes(b"moments")
    (path / "more").mkdir()
    (path / "more" / "rng_state.pth").write_bytes(b"state")
    if run is not None:
        mark_complete(path, step, run)
    return path


def test_only_whole_checkpoints_of_this_run_count(tmp_path: Path) -> None:
    assert continue_from(tmp_path / "none", "me") is None
    whole = [fake(tmp_path, step, "me") for step in (10, 9, 100)]
    torn = fake(tmp_path, 200, None)
    other = fake(tmp_path, 300, "other")
    found = continue_from(tmp_path, "me")
    assert found is not None
    assert (found.step, found.path) == (100, whole[2])
    assert not torn.exists()
    assert not other.exists()
    assert whole[0].exists()
    assert [checkpoint.step for checkpoint in complete(tmp_path)] == [9, 10, 100]
    assert continue_from(tmp_path, "somebody else") is None
    assert last_complete(tmp_path) is None


DAMAGES: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: (path / "optimizer.pt").write_bytes(b"mom"),
    "of another content": lambda path: (path / "optimizer.pt").write_bytes(b"\0" * 7),
    "empty": lambda path: (path / "more" / "rng_state.pth").write_bytes(b""),
    "gone": lambda path: (path / "more" / "rng_state.pth").unlink(),
    "torn marker": lambda path: (path / MARKER).write_text('{"step": 4, "ru'),
    "marker of another type": lambda path: (path / MARKER).write_text("[1]"),
    "deep marker": lambda path: (path / MARKER).write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_discarded_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], object]
) -> None:
    before, last = fake(tmp_path, 2, "me"), fake(tmp_path, 4, "me")
    damage(last)
    found = continue_from(tmp_path, "me")
    assert found is not None
    assert found.path == before
    assert not last.exists()
    assert found == last_of_run(tmp_path, "me")
    (before / "optimizer.pt").unlink()
    assert continue_from(tmp_path, "me") is None
    assert "optimizer.pt is damaged; starting from the beginning" in capsys.readouterr().out


def test_a_checkpoint_of_an_earlier_version_is_continued_unless_a_file_is_torn(tmp_path: Path) -> None:
    path = fake(tmp_path, 2, None)
    (path / MARKER).write_text('{"step": 2, "run": "me"}')
    for name in ("optimizer.pt", "more/rng_state.pth"):
        with zipfile.ZipFile(path / name, "w") as file:
            file.writestr("data", "numbers")
    (path / "adapter_model.safetensors").write_bytes(safetensors_bytes())
    assert continue_from(tmp_path, "me") is not None
    (path / "adapter_model.safetensors").write_bytes(safetensors_bytes()[:-1])
    assert continue_from(tmp_path, "me") is None
