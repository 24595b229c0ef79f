"""The hours of a sweep for `dry_run`: predicted from measured speeds, with their source and error."""

from __future__ import annotations

import math
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mmdpo.config.choices import Runner, Stage
from mmdpo.config.schema import ClusterConfig
from mmdpo.models.model_files import model_shape
from mmdpo.points.contents import contents_remembered
from mmdpo.points.point import Point
from mmdpo.sweep.batches import Part, batches_of, spread_over_processes
from mmdpo.sweep.parallel import devices
from mmdpo.sweep.speeds import Prediction, Speed, Work, fit_speeds, newest_first, of_one_process, predict, source_text
from mmdpo.sweep.work import DATA_NOT_MADE, is_judged_by_service, training_kind_of
from mmdpo.timings import ANY_MODEL, PROCESS, REPORT, Timing, read_timings

LEAST_SHOWN = 0.0001  # hours


def hours_lines(points: Sequence[Point], stage: Stage) -> Iterator[str]:
    """Yield the predicted hours of points that are to be run.

    Args:
        points: The points; those that are known from elsewhere are left out.
        stage: The stage to run.
    """
    if not points:
        return
    cluster = points[0].config.cluster
    works = _works(points, stage)
    most, used = _predict(works, cluster)
    if not most.wall:
        yield f"hours: unknown, nothing has been measured {_where(cluster)}; {_advice(cluster)}"
        return
    least, _ = _predict(works, cluster, least=True)
    yield f"hours: {_text(least, most, cluster)}; from {source_text(most.sources)} on {' and '.join(used)}"
    if least.wall != most.wall:
        yield "hours: the least if each rung prunes all that it may, the most if no rung prunes"
    if is_judged_by_service(points, stage):
        yield "hours: without judging by a service, whose limits decide"
    for kind, lender in sorted(most.borrowed.items()):
        names = sorted({p.config.method.name for p in points if training_kind_of(p.config) == kind})
        yield (
            f"hours: no {kind} (method={','.join(names)}) was measured; it is predicted at the speed of {lender}; "
            f"{_advice(cluster)}"
        )
    data = {kind: count for kind, count in most.unknown.items() if kind.startswith(("data/", DATA_NOT_MADE))}
    if data:
        yield f"hours: not counted: {_counted(data)}; a data stage is timed when it is made"
    if others := {kind: count for kind, count in most.unknown.items() if kind not in data}:
        yield f"hours: not counted, since no speed is known: {_counted(others)}; {_advice(cluster)}"


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))


def predict_points(points: Sequence[Point], stage: Stage) -> tuple[Prediction, list[str]]:
    """Predict the time of points, in all processes together, if no rung prunes.

    Args:
        points: The points.
        stage: The stage to run.

    Returns:
        The prediction, and the devices whose speeds it uses.
    """
    return _predict(_works(points, stage), points[0].config.cluster)


def _works(points: Sequence[Point], stage: Stage) -> dict[str, list[Work]]:
    """Return the work in all processes by the shape of model that it needs."""
    works: dict[str, list[Work]] = {}
    with contents_remembered():
        processes = _processes(points, stage)
    for parts in processes:
        for p, work in of_one_process([(parts[0][0], Work(PROCESS, {"processes": 1.0}, parts[0][1].share)), *parts]):
            works.setdefault(model_shape(p.config.model), []).append(work)
    return works


def _predict(
    works: Mapping[str, Sequence[Work]], cluster: ClusterConfig, least: bool = False
) -> tuple[Prediction, list[str]]:
    """Predict the time of work; with `least`, if each rung prunes all that it may."""
    of_any_model = of_place(read_timings(ANY_MODEL), cluster)
    speeds_of_any_model = fit_speeds(of_any_model)
    total, used, files = Prediction(), [], []
    for shape, found in works.items():
        timings = of_one_device(read_timings(shape), cluster)
        files.append(timings)
        used += sorted({timing.device for timing in timings})
        speeds: dict[str, Speed] = {**speeds_of_any_model, **fit_speeds(timings)}
        total = _sum(total, predict(found, speeds, least))
    by_age = newest_first([*files, of_any_model])
    total.sources = sorted(total.sources, key=by_age.index)
    return total, list(dict.fromkeys(used))


def _processes(points: Sequence[Point], stage: Stage) -> list[list[Part]]:
    """Return the work of each process or job that a command starts; each pays for its own start-up."""
    cluster, batches = points[0].config.cluster, batches_of(points, stage)
    report = [(points[0], Work(REPORT, {"reports": 1.0}))] if stage is Stage.experiment else []
    if cluster.runner is Runner.slurm:  # a job of its own prepares, and the login node reports
        size = cluster.points_per_job
        groups = [group for one in batches for group in (one.shared, *spread_over_processes(one, size=size))]
    elif cluster.runner is Runner.parallel:
        workers: list[list[Part]] = [[] for _ in devices(cluster)]  # they are kept between batches
        for one in batches:
            workers[0] += one.shared
            for worker, own in zip(workers, spread_over_processes(one, len(workers)), strict=False):
                worker += own
        groups = [report, *workers]
    else:
        groups = [[part for one in batches for part in (*one.shared, *spread_over_processes(one)[0])] + report]
    return [group for group in groups if group]


def of_one_device(timings: Sequence[Timing], cluster: ClusterConfig) -> list[Timing]:
    """Choose the times of the device that most likely runs the points.

    Args:
        timings: All times of a shape of model, oldest first.
        cluster: The settings of `cluster=`.

    Returns:
        The times of one device and number of processes; none if nothing fits.
    """
    fitting = of_place([timing for timing in timings if timing.processes == cluster.processes], cluster)
    return [timing for timing in fitting if timing.device == fitting[-1].device]


def of_place(timings: Sequence[Timing], cluster: ClusterConfig) -> list[Timing]:
    """Choose the times of this machine; in SLURM, those of jobs in the same partition, or else of any job.

    Args:
        timings: The times.
        cluster: The settings of `cluster=`.

    Returns:
        The times; none if nothing fits.
    """
    if cluster.runner is not Runner.slurm:
        return [timing for timing in timings if timing.host == socket.gethostname()]
    of_partition = [one for one in timings if one.partition and one.partition == cluster.partition]
    return of_partition or [one for one in timings if one.partition] or list(timings)


def _sum(one: Prediction, other: Prediction) -> Prediction:
    first, second = sum(one.wall.values()), sum(other.wall.values())
    total = first + second
    return Prediction(
        wall={key: one.wall.get(key, 0.0) + other.wall.get(key, 0.0) for key in {**one.wall, **other.wall}},
        cpu={key: one.cpu.get(key, 0.0) + other.cpu.get(key, 0.0) for key in {**one.cpu, **other.cpu}},
        error=(one.error * first + other.error * second) / total if total else 0.0,
        unknown=Counter(one.unknown) + Counter(other.unknown),
        borrowed={**one.borrowed, **other.borrowed},
        sources=list(dict.fromkeys([*one.sources, *other.sources])),
    )


def _text(least: Prediction, most: Prediction, cluster: ClusterConfig) -> str:
    gpus = cluster.nodes * cluster.gpus_per_node if cluster.runner is Runner.slurm else 0
    factor = max(gpus, 1) / 3600
    unit = "GPU-hours" if gpus else "hours"
    unit += " of all processes" if cluster.runner is Runner.parallel else ""
    of_cpu = _range(sum(least.cpu.values()) / 3600, sum(most.cpu.values()) / 3600)
    cpu = "" if gpus else f", {of_cpu} CPU-hours"
    parts = [f"{part} {_range(least.wall[part] * factor, most.wall[part] * factor)}" for part in most.wall]
    total = _range(sum(least.wall.values()) * factor, sum(most.wall.values()) * factor)
    return f"{total} {unit} (+-{math.ceil(most.error * 100)} %{cpu}): {', '.join(parts)}"


def _range(least: float, most: float) -> str:
    return _digits(most) if _digits(least) == _digits(most) else f"{_digits(least)} to {_digits(most)}"


def _digits(amount: float) -> str:
    if 0 < amount < LEAST_SHOWN:
        return f"under {LEAST_SHOWN}"
    return f"{amount:.0f}" if amount >= 100 else f"{amount:.1f}" if amount >= 10 else f"{amount:.2g}"


def _where(cluster: ClusterConfig) -> str:
    return "in a job of this cluster" if cluster.runner is Runner.slurm else "on this machine"


def _advice(cluster: ClusterConfig) -> str:
    what = "one job" if cluster.runner is Runner.slurm else "a minute"
    return f"the same command with stage=measure, without dry_run, measures in {what}"
