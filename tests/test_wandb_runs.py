"""Ids of W&B runs."""

import shutil
from pathlib import Path

from mmdpo.wandb_runs import new_run_id, run_id


def test_a_point_keeps_its_run_and_no_other_folder_has_it(tmp_path: Path) -> None:
    points = [tmp_path / out / "nano" / "dpo-beta0.1-0b54bd" for out in ("mine", "yours")]
    ids = [run_id(folder) for folder in points]
    assert ids[0] != ids[1]
    assert [run_id(folder) for folder in points] == ids
    assert run_id(tmp_path / "mine" / "nano" / "base-5e05e3") not in ids


def test_a_run_of_an_earlier_version_keeps_its_id(tmp_path: Path) -> None:
    for name in ("offline-run-20260101_000000-first", "run-20260102_000000-9422734aab19993c", "run-torn"):
        (tmp_path / "wandb" / name).mkdir(parents=True)
    assert run_id(tmp_path) == "9422734aab19993c"
    (tmp_path / "wandb" / "run-20260103_000000-other").mkdir()
    assert run_id(tmp_path) == "9422734aab19993c"  # it is recorded now
    assert new_run_id(tmp_path) != "9422734aab19993c" != run_id(tmp_path)


def test_a_moved_point_keeps_its_run_and_a_copy_gets_another(tmp_path: Path) -> None:
    known = run_id(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert run_id(tmp_path / "b") == known
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    copied = run_id(tmp_path / "c")
    assert copied != known
    assert (run_id(tmp_path / "b"), run_id(tmp_path / "c")) == (known, copied)
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert run_id(tmp_path / "link") == known


def test_a_damaged_record_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "run.json").write_text('{"id": ')
    assert run_id(tmp_path) == run_id(tmp_path)
