"""A disk that fills while a checkpoint is written: the run continues from the checkpoint before."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from mmdpo.errors import UserError
from mmdpo.training import disk
from mmdpo.training.disk import full_disk_advice
from mmdpo.training.run import train_adapter
from tests.support.tiny import Tiny, tiny_settings

ERRORS = {  # as each library words it on a full file system
    "python": OSError(errno.ENOSPC, "No space left on device"),
    "quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "safetensors": SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "torch": RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
}


def run(tiny: Tiny, folder: Path) -> list[int]:
    """Train 3 steps with a checkpoint at every second one; return the step that it began with."""
    steps: list[int] = []
    settings = tiny_settings(tiny.model, train__save_steps=1)
    train_adapter(settings, tiny.pairs, tiny.images, folder, lambda metrics, step: None, steps.append)
    return steps


@pytest.mark.parametrize("kind", ERRORS)
def test_the_last_whole_checkpoint_is_named_and_continued(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    real, calls = torch.save, []

    def save(value: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        calls.append(Path(path).parent.name)
        if calls[-1] == "checkpoint-2":
            Path(path).write_bytes(b"torn")
            raise ERRORS[kind]
        real(value, path, *args, **kwargs)

    with monkeypatch.context() as full:
        full.setattr(torch, "save", save)
        if kind == "torch":
            full.setattr(disk, "_has_space", lambda folder: False)
        with pytest.raises(UserError, match=r"the disk is full.*checkpoint-1.*rerun the same command"):
            run(tiny, tmp_path / "full")
    assert run(tiny, tmp_path / "full") == [1]
    assert run(tiny, tmp_path / "calm") == [0]
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / "full" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


@pytest.mark.parametrize("absent", [False, True])
def test_other_errors_stay_themselves(tmp_path: Path, absent: bool) -> None:
    """Also before the folder is made."""
    folder = tmp_path / "absent" if absent else tmp_path
    with pytest.raises(RuntimeError, match="shape"), full_disk_advice(folder):
        raise RuntimeError("shape mismatch")
    with pytest.raises(PermissionError), full_disk_advice(folder):
        raise PermissionError("not yours")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_has_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise ERRORS["quota"]

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    assert not disk._has_space(tmp_path)
