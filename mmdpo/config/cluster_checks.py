"""Check the settings of the cluster as far as that needs no SLURM."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from mmdpo.config.choices import Runner
from mmdpo.config.field_checks import field_problems
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
"""Options of sbatch that have a setting of their own; None if its name is the same."""
RESERVED = frozenset(
    "array chdir clusters comment dependency error job-name kill-on-invalid-dep no-requeue ntasks output "
    "parsable requeue test-only wait wrap".split()
)
"""Options of sbatch that mmdpo sets itself: it finds, continues and logs jobs by them."""


def problems(cluster: ClusterConfig) -> Iterator[str]:
    """Describe each problem of the cluster's settings, with the override to type."""
    yield from field_problems(cluster, "cluster.")
    yield from combination_problems(cluster)


def combination_problems(cluster: ClusterConfig) -> Iterator[str]:
    """Describe settings that cannot be used together or have the wrong form, apart from ranges."""
    if cluster.signal_delay_s >= cluster.timeout_min * 60 > 0:
        yield (
            f"cluster.signal_delay_s={cluster.signal_delay_s}: a job of cluster.timeout_min={cluster.timeout_min} "
            "would get its signal before it starts; type less"
        )
    if cluster.mem is not None and not MEMORY.fullmatch(cluster.mem):
        yield f"cluster.mem={cluster.mem}: type a number and K, M, G or T, as in cluster.mem=64G"
    if cluster.gres and "gpu" in cluster.gres and not cluster.gpus_per_node:
        yield f"cluster.gres={cluster.gres}: cluster.gpus_per_node=0 requests none of them; type their number"
    if cluster.points_per_job > 1 and cluster.runner is not Runner.slurm:
        yield (
            f"cluster.points_per_job={cluster.points_per_job}: cluster={cluster.name} submits no jobs; type "
            "cluster=slurm, or drop it"
        )
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
    elif key in RESERVED:
        yield f"cluster.additional_parameters.{key}: mmdpo sets it itself; drop it"
    elif not re.fullmatch(r"[a-z][a-z-]*", key):
        yield f"cluster.additional_parameters.{key}: sbatch has no such option; type its long name without the dashes"
