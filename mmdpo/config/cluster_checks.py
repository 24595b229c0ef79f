"""The checks of `cluster=` and its settings that need no SLURM; mmdpo.entry.checks makes them for every point."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from mmdpo.config.choices import Runner
from mmdpo.config.schema import ClusterConfig

MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)
OWN_SETTING = {
    "time": "timeout_min",
    "nodes": "nodes",
    "ntasks-per-node": "tasks_per_node",
    "signal": "signal_delay_s",
    **dict.fromkeys(
        [
            "gpus-per-node",
            "cpus-per-task",
            "mem",
            "partition",
            "account",
            "qos",
            "constraint",
            "gres",
            "exclude",
        ]
    ),
    **dict.fromkeys(["mail-type", "mail-user"]),
}
"""sbatch's options that have a setting; None where it has the same name."""
MMDPOS = frozenset(
    "array chdir clusters comment dependency error job-name kill-on-invalid-dep no-requeue ntasks output "
    "parsable requeue test-only wait wrap".split()
)
"""sbatch's options that are not the user's to give: jobs are found, continued and logged by them."""


def problems(cluster: ClusterConfig) -> Iterator[str]:
    """What is wrong with the settings, each with the override to type."""
    at_least_one = {
        "array_parallelism": cluster.array_parallelism,
        "threads": cluster.threads,
        "nodes": cluster.nodes,
        "tasks_per_node": cluster.tasks_per_node,
        "cpus_per_task": cluster.cpus_per_task,
        "timeout_min": cluster.timeout_min,
        **{f"max_attempts.{cause}": limit for cause, limit in vars(cluster.max_attempts).items()},
    }
    for key, value in at_least_one.items():
        if value is not None and value < 1:
            yield f"cluster.{key}={value}: must be at least 1"
    for key, value in {
        "gpus_per_node": cluster.gpus_per_node,
        "signal_delay_s": cluster.signal_delay_s,
    }.items():
        if value < 0:
            yield f"cluster.{key}={value}: must not be negative"
    if cluster.signal_delay_s >= cluster.timeout_min * 60 > 0:
        yield (
            f"cluster.signal_delay_s={cluster.signal_delay_s}: a job of cluster.timeout_min={cluster.timeout_min} "
            "would be warned before it starts; type less"
        )
    if cluster.minutes_per_point is not None and not 0 < cluster.minutes_per_point < float("inf"):
        yield f"cluster.minutes_per_point={cluster.minutes_per_point}: must be above 0"
    if cluster.mem is not None and not MEMORY.fullmatch(cluster.mem):
        yield f"cluster.mem={cluster.mem}: type a number and K, M, G or T, as in cluster.mem=64G"
    if cluster.gres and "gpu" in cluster.gres and not cluster.gpus_per_node:
        yield f"cluster.gres={cluster.gres}: cluster.gpus_per_node=0 uses none of them; type their number"
    if cluster.runner is Runner.parallel:
        yield from _in_parallel(cluster)
    for key in cluster.additional_parameters:
        yield from _extra(key.replace("_", "-"))


def _in_parallel(cluster: ClusterConfig) -> Iterator[str]:
    if cluster.gpus_per_node > 1:
        yield (
            f"cluster.gpus_per_node={cluster.gpus_per_node}: cluster={cluster.name} gives each point one process; type "
            "cluster=slurm_zero3, or torchrun --nproc-per-node=N launch.py ..."
        )
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        yield f"cluster={cluster.name}: under torchrun all processes train one point; type cluster=local"


def _extra(key: str) -> Iterator[str]:
    if key in OWN_SETTING:
        setting = OWN_SETTING[key] or key.replace("-", "_")
        yield f"cluster.additional_parameters.{key}: has its own setting; type cluster.{setting}="
    elif key in MMDPOS:
        yield f"cluster.additional_parameters.{key}: mmdpo needs it for itself; drop it"
    elif not re.fullmatch(r"[a-z][a-z-]*", key):
        yield f"cluster.additional_parameters.{key}: is no option of sbatch; type its long name without the dashes"
