"""Whether a point's job can ever start: what it asks of a node, against the nodes of its partition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmdpo.config.schema import ClusterConfig
from mmdpo.errors import UserError
from mmdpo.slurm import client as slurm

MEGABYTES = {"": 1, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}


@dataclass(frozen=True)
class Nodes:
    """Nodes of one kind in one partition, up or down."""

    partition: str
    default: bool
    cpus: int
    memory: int  # MB
    gpus: int
    minutes: float  # the longest that a job may take
    count: int


def check_fits(cluster: ClusterConfig) -> None:
    """Raise UserError where no node of the partition, however free, could take a job of these settings.

    SLURM itself takes some of these jobs, and lets them wait for ever. A partition that does not exist, an
    account or a constraint is left to sbatch.
    """
    names = (cluster.partition or "").split(",")
    nodes = [one for one in known_nodes() if (one.partition in names if cluster.partition else one.default)]
    if nodes and (problems := [*_problems(cluster, nodes)]):
        raise UserError("\n".join(problems))


def _problems(cluster: ClusterConfig, nodes: list[Nodes]) -> Iterator[str]:
    where = f"partition {nodes[0].partition}"
    asked = {
        "cluster.gpus_per_node": (cluster.gpus_per_node, max(one.gpus for one in nodes), "GPUs"),
        "cluster.cpus_per_task": (
            cluster.cpus_per_task * cluster.processes_per_node,
            max(one.cpus for one in nodes),
            "CPUs",
        ),
        "cluster.mem": (megabytes(cluster.mem or "0"), max(one.memory for one in nodes), "MB"),
    }
    for key, (wanted, most, unit) in asked.items():
        if wanted > most:
            yield f"{key}: {wanted:.0f} {unit} a node, and the largest of {where} has {most}; type less"
    if cluster.nodes > (count := sum(one.count for one in nodes)):
        yield f"cluster.nodes={cluster.nodes}: {where} has {count}"
    if cluster.timeout_min > (longest := max(one.minutes for one in nodes)):
        yield (
            f"cluster.timeout_min={cluster.timeout_min}: {where} allows less; type "
            f"cluster.timeout_min={longest:.0f}, a point that needs longer goes on in the next job"
        )


@slurm.patiently
def known_nodes() -> list[Nodes]:
    """What sinfo says of all partitions."""
    found = []
    for line in slurm.run("sinfo", "--noheader", "--exact", "--format=%P|%c|%m|%G|%l|%D").splitlines():
        partition, cpus, memory, gres, limit, count = line.strip().split("|")
        found.append(
            Nodes(
                partition.rstrip("*"),
                partition.endswith("*"),
                cpus=int(cpus.rstrip("+")),
                memory=int(memory.rstrip("+")),
                gpus=sum(map(int, re.findall(r"gpu:(?:[^:,(]+:)?(\d+)", gres))),
                minutes=minutes(limit),
                count=int(count),
            )
        )
    return found


def minutes(limit: str) -> float:
    """SLURM's D-HH:MM:SS, MM:SS or infinite."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not found:
        return float("inf")
    days, hours, whole, seconds = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + whole + seconds / 60


def megabytes(memory: str) -> float:
    """SLURM's 500M, 64G or 64000 (MB)."""
    found = re.fullmatch(r"(\d+)([KMGT]?)B?", memory.upper())
    return int(found[1]) * MEGABYTES[found[2]] if found else 0.0
