"""The resources of a point's job, compared with the nodes of its partition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmdpo.config.schema import ClusterConfig
from mmdpo.errors import UserError
from mmdpo.slurm import client as slurm

MEGABYTES = {"": 1, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}


@dataclass(frozen=True)
class NodeGroup:
    """The nodes of one kind in one partition, up or down."""

    partition: str
    default: bool
    cpus: int  # per node
    memory: int  # MB per node
    gpus: int  # per node
    minutes: float  # the partition's longest time limit
    count: int


def check_fits(cluster: ClusterConfig) -> None:
    """Raise UserError if no node of the partition, even when idle, could take a job with these settings.

    SLURM accepts some such jobs, which then never start. Unknown partitions, accounts and constraints are left
    to sbatch, which rejects them itself.
    """
    names = (cluster.partition or "").split(",")
    groups = [one for one in read_node_groups() if (one.partition in names if cluster.partition else one.default)]
    if groups and (problems := [*_problems(cluster, groups)]):
        raise UserError("\n".join(problems))


def _problems(cluster: ClusterConfig, groups: list[NodeGroup]) -> Iterator[str]:
    partition = f"partition {groups[0].partition}"
    cpus = cluster.cpus_per_task * cluster.processes_per_node
    requested = {
        "cluster.gpus_per_node": (cluster.gpus_per_node, max(one.gpus for one in groups), "GPUs"),
        "cluster.cpus_per_task": (cpus, max(one.cpus for one in groups), "CPUs"),
        "cluster.mem": (parse_memory(cluster.mem or "0"), max(one.memory for one in groups), "MB"),
    }
    for key, (wanted, largest, unit) in requested.items():
        if wanted > largest:
            yield (
                f"{key}: the job needs {wanted:.0f} {unit} per node, and the largest node of {partition} has "
                f"{largest}; type a smaller {key}="
            )
    if cluster.nodes > (count := sum(one.count for one in groups)):
        yield f"cluster.nodes={cluster.nodes}: {partition} has {count} nodes; type a smaller cluster.nodes="
    if cluster.timeout_min > (longest := max(one.minutes for one in groups)):
        yield (
            f"cluster.timeout_min={cluster.timeout_min}: the limit of {partition} is lower; type "
            f"cluster.timeout_min={longest:.0f}. A point that needs longer continues in the next job"
        )


@slurm.retry_while_unreachable
def read_node_groups() -> list[NodeGroup]:
    """Read the nodes of all partitions from sinfo."""
    found = []
    # without --exact, nodes of several kinds share a line that shows the smallest of them
    for line in slurm.run_command("sinfo", "--noheader", "--exact", "--format=%P|%c|%m|%G|%l|%D").splitlines():
        partition, cpus, memory, gres, limit, count = line.strip().split("|")
        found.append(
            NodeGroup(
                partition.rstrip("*"),
                partition.endswith("*"),
                cpus=int(cpus.rstrip("+")),
                memory=int(memory.rstrip("+")),
                gpus=sum(map(int, re.findall(r"gpu:(?:[^:,(]+:)?(\d+)", gres))),
                minutes=parse_time_limit(limit),
                count=int(count),
            )
        )
    return found


def parse_time_limit(limit: str) -> float:
    """Convert SLURM's D-HH:MM:SS, MM:SS or `infinite` to minutes."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not found:
        return float("inf")
    days, hours, whole, seconds = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + whole + seconds / 60


def parse_memory(memory: str) -> float:
    """Convert SLURM's 500M, 64G or 64000 (MB) to megabytes; 0 if it has another form."""
    found = re.fullmatch(r"(\d+)([KMGT]?)B?", memory.upper())
    return int(found[1]) * MEGABYTES[found[2]] if found else 0.0
