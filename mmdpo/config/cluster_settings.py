"""Settings of `cluster`: where points run, and the resources of their jobs."""

from dataclasses import dataclass, field
from typing import Annotated

from omegaconf import MISSING

from mmdpo.config.choices import JudgePlace, Runner
from mmdpo.config.markers import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SEVERAL_LINES


@dataclass
class AttemptsConfig:
    """Limits on the restarts of a point without progress, such as a newer checkpoint, per cause.

    A point that reaches a limit counts as failed.
    """

    time_limit: Annotated[int, AT_LEAST_ONE] = 20
    preempted: Annotated[int, AT_LEAST_ONE] = 1000
    requeued: Annotated[int, AT_LEAST_ONE] = 1000  # by `scontrol requeue`
    node_failure: Annotated[int, AT_LEAST_ONE] = 5
    killed: Annotated[int, AT_LEAST_ONE] = 2  # a process died of a signal; restarts from the last checkpoint
    out_of_memory: Annotated[int, AT_LEAST_ONE] = 1  # a restart would run out of memory again


@dataclass
class ClusterConfig:
    """The runner of the points, and the resources that SLURM gives each point's job, with submitit's names."""

    name: str = MISSING  # a label
    runner: Runner = MISSING
    threads: Annotated[int | None, AT_LEAST_ONE] = None  # of torch, per process; null: torch's default
    # Points that run at once; null: local_parallel one per GPU, slurm as many as its limits allow
    array_parallelism: Annotated[int | None, AT_LEAST_ONE] = None
    points_per_job: Annotated[int, AT_LEAST_ONE] = 1  # slurm: points that a job runs in turn, loading the model once
    judge: JudgePlace = JudgePlace.login  # slurm: where a service of bench.judge is asked
    wait: bool = True  # watch the jobs until they end; Ctrl-C does not cancel them
    nodes: Annotated[int, AT_LEAST_ONE] = 1  # per point
    gpus_per_node: Annotated[int, NOT_NEGATIVE] = 1  # one process each
    tasks_per_node: Annotated[int | None, AT_LEAST_ONE] = None  # processes; null: one per GPU, one without GPUs
    cpus_per_task: Annotated[int, AT_LEAST_ONE] = 8
    mem: str | None = None  # per node, as in 64G
    timeout_min: Annotated[int, AT_LEAST_ONE] = 1440  # minutes per job; longer points continue in the next job
    signal_delay_s: Annotated[int, NOT_NEGATIVE] = (
        120  # seconds before the time limit at which a job saves and restarts
    )
    minutes_per_point: Annotated[float | None, POSITIVE] = None  # for the estimate; null: from measured speeds
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None  # replaces --gpus-per-node, as in gpu:a100:4; gpus_per_node still gives their number
    exclude: str | None = None  # nodes
    mail_type: str | None = None  # BEGIN, END, FAIL, ...
    mail_user: str | None = None
    # Shell lines before the job: modules, exports
    setup: Annotated[list[str], SEVERAL_LINES] = field(default_factory=list)
    # Any other option of sbatch, as in +cluster.additional_parameters.exclusive=true:
    additional_parameters: dict[str, str] = field(default_factory=dict)
    max_attempts: AttemptsConfig = field(default_factory=AttemptsConfig)

    @property
    def processes(self) -> int:
        """Number of processes that train one point together."""
        if self.runner is not Runner.slurm:
            return 1
        return self.nodes * self.processes_per_node

    @property
    def processes_per_node(self) -> int:
        """`tasks_per_node`, or one per GPU if it is null."""
        return self.tasks_per_node if self.tasks_per_node is not None else max(1, self.gpus_per_node)
