"""The one entry for whatever computes: composes a config, checks it, plans, and runs or submits.

python launch.py -m method=dpo beta=0.1,0.2,0.3
"""

import gc
import os
import sys

# A thread that waits for the others sleeps: two runs on one machine would else slow each other tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is loaded

import hydra
from omegaconf import DictConfig

gc.disable()  # until mmdpo.entry.hydra: there is no garbage yet, and looking for it takes time


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config: DictConfig) -> float | None:
    """Run one point; with -m, Hydra hands the points to the launcher in hydra_plugins/ instead."""
    from mmdpo.entry.hydra import run

    return run(config)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; the same line goes on from the last checkpoint")
