"""The hours of a sweep for `dry_run`: predicted from measured speeds, with their source and error."""

from __future__ import annotations

import math
import socket
from collections import Counter
from collections.abc import Iterator, Sequence

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import ClusterConfig
from mmdpo.models.model_files import model_shape
from mmdpo.points.point import Point
from mmdpo.sweep.halving import is_halved
from mmdpo.sweep.speeds import Prediction, Work, fit_speeds, predict, source_text, with_first
from mmdpo.sweep.work import is_judged_by_service, point_work, shared_work
from mmdpo.timings import Timing, read_timings


def hours_lines(points: Sequence[Point], stage: Stage, jobs: Sequence[Sequence[Point]] = ()) -> Iterator[str]:
    """Yield the predicted hours of points that are to be run.

    Args:
        points: The points; those that are known from elsewhere are left out.
        stage: The stage to run.
        jobs: The points of each process or job that is started; none for one process that runs all.
    """
    if not points:
        return
    cluster = points[0].config.cluster
    prediction, devices = predict_points(points, stage, jobs)
    if not prediction.wall:
        yield f"hours: unknown, nothing has been measured {_where(cluster)}; {_advice(cluster)}"
        return
    yield f"hours: {_text(prediction, cluster)}; from {source_text(prediction.sources)} on {' and '.join(devices)}"
    if is_halved(points[0].config, stage):
        yield "hours: of all points to the end; what a rung prunes is saved"
    if is_judged_by_service(points, stage):
        yield "hours: without judging by a service, whose limits decide"
    if prediction.unknown:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(prediction.unknown.items()))
        yield f"hours: not counted, since no speed is known: {kinds}; {_advice(cluster)}"


def predict_points(
    points: Sequence[Point], stage: Stage, jobs: Sequence[Sequence[Point]] = ()
) -> tuple[Prediction, list[str]]:
    """Predict the time of points, in all processes of a job together.

    Args:
        points: The points.
        stage: The stage to run.
        jobs: The points of each process or job; none for one process that runs all.

    Returns:
        The prediction, and the devices whose speeds it uses.
    """
    cluster = points[0].config.cluster
    shared = [(points[0], work) for work in shared_work(points, stage)]
    groups = [[(p, work) for p in group for work in point_work(p, stage)] for group in jobs or [points]]
    if jobs and cluster.runner is Runner.slurm:  # a job of its own prepares
        groups = [group for group in (shared, *groups) if group]
    else:
        groups[0] = [*shared, *groups[0]]
        groups[0].append((points[0], Work("report", {"reports": 1.0})))
    works: dict[str, list[list[Work]]] = {}
    for group in groups:
        own: dict[str, list[Work]] = {}
        for p, work in group:
            own.setdefault(model_shape(p.config.model), []).append(work)
        for shape, found in own.items():
            works.setdefault(shape, []).append(found)
    total, devices = Prediction(), []
    for shape, found_groups in works.items():
        timings = of_one_device(read_timings(shape), cluster)
        devices += sorted({timing.device for timing in timings})
        total = _sum(total, predict(with_first(found_groups), fit_speeds(timings)))
    return total, list(dict.fromkeys(devices))


def of_one_device(timings: Sequence[Timing], cluster: ClusterConfig) -> list[Timing]:
    """Choose the times of the device that most likely runs the points.

    Args:
        timings: All times of a shape of model, oldest first.
        cluster: The settings of `cluster=`. In SLURM, a device of a job in the same partition is preferred, then one
            of any job. Elsewhere it is this machine's.

    Returns:
        The times of one device and number of processes; none if nothing fits.
    """
    fitting = [timing for timing in timings if timing.processes == cluster.processes]
    if cluster.runner is Runner.slurm:
        of_partition = [one for one in fitting if one.partition and one.partition == cluster.partition]
        fitting = of_partition or [one for one in fitting if one.partition] or fitting
    else:
        fitting = [timing for timing in fitting if timing.host == socket.gethostname()]
    return [timing for timing in fitting if timing.device == fitting[-1].device]


def _sum(one: Prediction, other: Prediction) -> Prediction:
    first, second = sum(one.wall.values()), sum(other.wall.values())
    total = first + second
    return Prediction(
        wall={key: one.wall.get(key, 0.0) + other.wall.get(key, 0.0) for key in {**one.wall, **other.wall}},
        cpu={key: one.cpu.get(key, 0.0) + other.cpu.get(key, 0.0) for key in {**one.cpu, **other.cpu}},
        error=(one.error * first + other.error * second) / total if total else 0.0,
        unknown=Counter(one.unknown) + Counter(other.unknown),
        sources={**one.sources, **other.sources},
    )


def _text(prediction: Prediction, cluster: ClusterConfig) -> str:
    gpus = cluster.nodes * cluster.gpus_per_node if cluster.runner is Runner.slurm else 1
    slurm_gpus = cluster.runner is Runner.slurm and gpus > 0
    hours = {part: seconds / 3600 * max(gpus, 1) for part, seconds in prediction.wall.items()}
    unit = "GPU-hours" if slurm_gpus else "hours"
    cpu = "" if slurm_gpus else f", {_digits(sum(prediction.cpu.values()) / 3600)} CPU-hours"
    parts = ", ".join(f"{part} {_digits(amount)}" for part, amount in hours.items())
    total = _digits(sum(hours.values()))
    return f"{total} {unit} (+-{math.ceil(prediction.error * 100)} %{cpu}): {parts}"


def _digits(amount: float) -> str:
    return f"{amount:.0f}" if amount >= 100 else f"{amount:.1f}" if amount >= 10 else f"{amount:.2g}"


def _where(cluster: ClusterConfig) -> str:
    return "in a job of this cluster" if cluster.runner is Runner.slurm else "on this machine"


def _advice(cluster: ClusterConfig) -> str:
    what = "one job" if cluster.runner is Runner.slurm else "a minute"
    return f"the same command with stage=measure, without dry_run, measures in {what}"
