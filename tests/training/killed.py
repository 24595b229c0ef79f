"""Trainings that are killed at chosen moments: `python -m tests.training.killed MODEL IMAGES OUT`.

One process loads the libraries; each scene is a child of it that ends by SIGKILL, so that nothing
of Python can clean up.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.tiny import tiny_pairs, tiny_settings

SETTINGS: dict[str, Any] = {
    "train__num_train_epochs": 3.0,
    "train__per_device_train_batch_size": 2,
    "train__gradient_accumulation_steps": 2,
    "train__save_total_limit": 1,
    "train__save_steps": 2,
    "model__lora__lora_dropout": 0.1,
}  # 9 steps, 3 per epoch

SCENES = {
    "after_a_step": 5,
    "after_an_epoch": 7,
    "while_saving": 2,
    "before_the_old_checkpoint_goes": 4,
    "before_the_adapter_is_in_place": 9,
}
"""Scenes and the step of the checkpoint before the kill; for `after_...` the step after which it falls."""


def die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def play(scene: str, model: Path, images: Path, out: Path) -> None:
    from transformers import Trainer

    from mmdpo.training import callbacks, trainer
    from mmdpo.training.run import train_adapter

    folder = out / scene
    folder.mkdir(parents=True)
    last = SCENES[scene] if scene.startswith("after") else None
    if scene == "while_saving":
        save: Callable[..., None] = Trainer._save_rng_state
        Trainer._save_rng_state = lambda self, path: die() if self.state.global_step == 4 else save(self, path)
    elif scene == "before_the_old_checkpoint_goes":
        callbacks.discard = die
    elif scene == "before_the_adapter_is_in_place":
        write = trainer.save_adapter
        trainer.save_adapter = lambda model, path, *rest: die() if path.endswith(".tmp") else write(model, path, *rest)

    def log(metrics: dict[str, float], step: int) -> None:
        with (folder / "log.jsonl").open("a") as lines:
            lines.write(json.dumps([step, metrics]) + "\n")
        if step == last:
            die()

    train_adapter(tiny_settings(model, **SETTINGS), tiny_pairs(images), images, folder, log, print)


def main(model: Path, images: Path, out: Path) -> None:
    import torch

    import mmdpo.training.trainer  # noqa: F401 (loaded once, for all children)

    torch.set_num_threads(1)
    for scene in SCENES:
        child = os.fork()
        if child == 0:
            play(scene, model, images, out)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, f"{scene}: ended with status {status}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
