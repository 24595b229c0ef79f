"""One of several processes that train together: `torchrun -m tests.training.together MODEL IMAGES OUT JSON`.

JSON holds settings of tiny_config, and `die_after`: the step at which the first process gives up.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.tiny import tiny_config, tiny_pairs


def main(model: str, images: str, out: str, settings: str) -> None:
    import torch

    from mmdpo.training.distributed import rank
    from mmdpo.training.run import train

    torch.set_num_threads(1)
    overrides: dict[str, Any] = json.loads(settings)
    last = overrides.pop("die_after", None)
    folder = Path(out)
    folder.mkdir(exist_ok=True)

    def log(metrics: dict[str, float], step: int) -> None:
        if rank() == 0:
            with (folder / "log.jsonl").open("a") as lines:
                lines.write(json.dumps([step, metrics]) + "\n")
        if step == last:
            os._exit(1)

    def resumed(step: int) -> None:
        if rank() == 0:
            (folder / "resumed").write_text(str(step))

    pairs = tiny_pairs(Path(images), text_only=overrides.pop("text_only", 3))
    train(tiny_config(Path(model), **overrides), pairs, Path(images), folder, log, resumed)


if __name__ == "__main__":
    main(*sys.argv[1:])
