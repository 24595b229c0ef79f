"""Entry point of everything that computes: compose a config, check it, plan, and run or submit its points.

python launch.py -m method=dpo beta=0.1,0.2,0.3
"""

import gc
import os
import sys

# Idle OpenMP threads sleep instead of spinning: two runs on one machine would otherwise slow each other down tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is loaded

import hydra
from omegaconf import DictConfig

gc.disable()  # until mmdpo.entry.hydra: collecting while modules load takes time and frees nothing


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config: DictConfig) -> float | None:
    """Run one point. With -m, Hydra passes the points to the launcher in hydra_plugins/ instead."""
    from mmdpo.entry.hydra import run

    return run(config)


if __name__ == "__main__":
    from mmdpo.entry.overrides import check_command
    from mmdpo.errors import UserError
    from mmdpo.output import tolerate_any_encoding

    tolerate_any_encoding()
    try:
        sys.argv = [sys.argv[0], *check_command(sys.argv[1:])]
        main()
    except UserError as error:
        from mmdpo.console import printable

        sys.exit(printable(str(error)))
    except KeyboardInterrupt as interruption:
        if os.environ.get("RANK", "0") == "0":
            print("interrupted; rerun the same command to continue from the last checkpoint", file=sys.stderr)
        sys.exit(getattr(interruption, "exit_code", 130))
