"""Configuration files of a cluster on one machine: two simulated nodes with declared resources."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NODES = ("n1", "n2")
CPUS = 8  # per node; declared, not real, as all resources here
GPUS = 4
MEMORY = 16000  # MB per node; the use of jobs is not monitored


@dataclass(frozen=True)
class Settings:
    """Settings that differ between the clusters of tests; times in seconds."""

    accounting: Literal["dbd", "none"] = (
        "dbd"  # none: only squeue and scontrol work; sacct reports that accounting is off
    )
    max_array_size: int = 1001  # SLURM's own default; the largest index is one less
    kill_wait: int = 5  # between SIGTERM and SIGKILL of a cancelled or timed out job
    grace_time: int = 10  # seconds that a preempted job of scavenge keeps after SIGTERM, plus about 5
    requeue_wait: int = 5  # delay of a requeued job; below 5 SLURM uses its default of 120
    extra: str = ""  # more lines of slurm.conf


@dataclass(frozen=True)
class Ports:
    """One port per daemon that listens."""

    controller: int
    accounting: int
    nodes: tuple[int, ...]


def free_ports() -> Ports:
    """Find unused ports below those that the kernel gives to outgoing connections."""
    found: list[int] = []
    port = 10000 + os.getpid() * 16 % 20000  # differs between simultaneous test runs
    while len(found) < 2 + len(NODES):
        port += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return Ports(found[0], found[1], tuple(found[2:]))


def host() -> str:
    """Return the name that SLURM has for this machine."""
    return socket.gethostname().split(".")[0]


def write_configuration(folder: Path, settings: Settings, ports: Ports) -> None:
    """Write slurm.conf, gres.conf, cgroup.conf, slurmdbd.conf and the simulated GPUs."""
    (folder / "slurm.conf").write_text(_slurm(folder, settings, ports))
    # A GPU is a device file with a number; only a character device makes SLURM set CUDA_VISIBLE_DEVICES.
    for number in range(GPUS):
        device = folder / f"gpu{number}"
        if not device.exists():
            os.mknod(device, 0o666 | stat.S_IFCHR, os.stat(os.devnull).st_rdev)
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    # slurmd loads a cgroup plugin though none is used: v1's is content without cgroups, v2's is not.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    slurmdbd = folder / "slurmdbd.conf"
    slurmdbd.touch(mode=0o600)  # it reads no file that others can
    slurmdbd.write_text(_slurmdbd(folder, ports))


def _slurm(folder: Path, settings: Settings, ports: Ports) -> str:
    accounting = "AccountingStorageType=accounting_storage/none\nJobAcctGatherType=jobacct_gather/none"
    if settings.accounting == "dbd":
        accounting = f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports.accounting}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=10"""
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host()} NodeAddr=127.0.0.1 Port={port} State=UNKNOWN"
        f" CPUs={CPUS} Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1"
        f" RealMemory={MEMORY} Gres=gpu:{GPUS}"
        for node, port in zip(NODES, ports.nodes, strict=True)
    )
    return f"""\
ClusterName=tests
SlurmctldHost={host()}(127.0.0.1)
SlurmctldPort={ports.controller}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldDebug=info
SlurmdDebug=info
# listen on the loopback interface only
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
# a requeued job waits until its old credential has expired
AuthInfo=socket={folder}/munge.socket,cred_expire={settings.requeue_wait}
{accounting}
# neither cgroups nor systemd nor MPI
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
# hardware as it is written below, not as it is found
SlurmdParameters=config_overrides
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=256
# quicker than a cluster of thousands of nodes would have it
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
KillWait={settings.kill_wait}
SlurmdTimeout=60
ReturnToService=2
# ended jobs stay in squeue for as long as the tests run
MinJobAge=7200
MaxArraySize={settings.max_array_size}
MaxJobCount=10000
# a job of urgent takes the place of one of scavenge, which waits and starts again
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
{nodes}
PartitionName=DEFAULT Nodes=ALL MaxTime=1-0 PreemptMode=OFF
PartitionName=main Default=YES PriorityTier=10
PartitionName=scavenge PriorityTier=1 PreemptMode=REQUEUE GraceTime={settings.grace_time}
PartitionName=urgent PriorityTier=100
{settings.extra}
"""


def _slurmdbd(folder: Path, ports: Ports) -> str:
    return f"""\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports.accounting}
CommunicationParameters=NoInAddrAny
SlurmUser=root
PidFile={folder}/slurmdbd.pid
DebugLevel=info
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""
