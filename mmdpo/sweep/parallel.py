"""Execution of several points at once on this machine, in a few long-lived processes (cluster=local_parallel).

Each process gets one GPU through CUDA_VISIBLE_DEVICES, so no two points share one. When a process dies, only its point
fails. The output of a point goes to its logs/ folder.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mmdpo.config.choices import Stage
from mmdpo.config.schema import ClusterConfig
from mmdpo.console import print_line
from mmdpo.errors import Outstanding, Stopped, UserError
from mmdpo.leftovers import use_own_temporary_folder
from mmdpo.logs import log_to
from mmdpo.models.model_cache import use_model_cache
from mmdpo.output import tolerate_any_encoding
from mmdpo.points import status
from mmdpo.points.point import Point
from mmdpo.signals import Interrupted, listen
from mmdpo.sweep.point_log import log_file
from mmdpo.sweep.stops import raise_stopped

SAVING_SECONDS = 60.0  # to save a checkpoint in, for a process that was asked to end
_kept: _Processes | None = None


@contextmanager
def keep_processes(points: int) -> Iterator[None]:
    """Keep the processes of `run_parallel` between its calls within the block, with the same number of threads.

    A block within another one changes nothing.

    Args:
        points: The number of points of the whole block; of these, as many run at once as the cluster's settings allow.
    """
    global _kept
    if _kept is not None:
        yield
        return
    _kept = processes = _Processes(points)
    try:
        yield
    finally:
        _kept = None
        processes.end()


def run_parallel(points: Sequence[Point], stage: Stage, rung: float | None = None) -> dict[Path, str]:
    """Run a stage of the points, as many at once as the cluster's settings allow.

    Args:
        points: The points, all with the same cluster settings.
        stage: The stage.
        rung: The rung to train them to and measure them at; None to run the whole stage.

    Returns:
        The reasons of the points that failed, by their folders.

    Raises:
        UserError: This machine does not have what the settings ask for.
        Stopped: A point ran into a limit; raised once the others have ended. Points that wait for batch jobs do not
            keep the others from being run.
    """
    if not points:
        return {}
    waiting = deque(enumerate(points, 1))
    errors: dict[Path, str] = {}
    stops: list[Stopped] = []
    processes = _kept or _Processes(len(points))
    workers = processes.of(points[0].config.cluster)[: len(points)]
    several = f"{len(workers)} points at once" if len(workers) > 1 else "one point at a time"
    print_line(f"{several}{_where([worker.device for worker in workers])}; logs: {points[0].study}/*/logs")
    job = stage, rung
    try:
        busy = [worker for worker in workers if _give(worker, waiting, job, len(points))]
        while busy:
            ready = connection.wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                p, answer = worker.answer()
                if isinstance(answer, Stopped):
                    stops.append(answer)
                    if not isinstance(answer, Outstanding):
                        waiting.clear()
                elif answer:
                    errors[p.work_folder] = answer
                    print_line(f"failed: {p.work_name}: {answer}")
                else:
                    print_line(f"done: {p.work_name}")
                if not _give(worker, waiting, job, len(points)):
                    busy.remove(worker)
    except KeyboardInterrupt:  # or another signal
        with suppress(OSError):  # the terminal may be gone
            print_line("the running points save their state and end")
        raise
    finally:
        if processes is not _kept:
            processes.end()
    raise_stopped(stops)
    return errors


def devices(cluster: ClusterConfig) -> list[str | None]:
    """Return a CUDA_VISIBLE_DEVICES for each process; None leaves the environment as it is.

    Raises UserError for more points at once than there are GPUs.
    """
    gpus = _gpus() if cluster.gpus_per_node else []
    if not gpus:
        cores = len(os.sched_getaffinity(0))
        count = cluster.array_parallelism or max(1, cores // (cluster.threads or cores))
        return [None if cluster.gpus_per_node else ""] * count
    if cluster.array_parallelism and cluster.array_parallelism > len(gpus):
        raise UserError(
            f"cluster.array_parallelism={cluster.array_parallelism}: there are {len(gpus)} GPUs, "
            "and no two points share one; "
            f"type cluster.array_parallelism={len(gpus)}"
        )
    return [*gpus[: cluster.array_parallelism]]


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in given.split(",")][:count] if given else [*map(str, range(count))]


def _where(found: list[str | None]) -> str:
    gpus = [device for device in found if device]
    return f", on GPUs {', '.join(gpus)}" if gpus else ""


def _threads(cluster: ClusterConfig, processes: int) -> int | None:
    """Return the number of threads per process if none is set: the processes share the machine's cores."""
    if cluster.threads is not None or "OMP_NUM_THREADS" in os.environ or processes < 2:
        return None
    return max(1, len(os.sched_getaffinity(0)) // processes)


def _give(worker: _Worker, waiting: deque[tuple[int, Point]], job: tuple[Stage, float | None], total: int) -> bool:
    """Give the next point to a worker; return False if there is none."""
    if not waiting:
        return False
    number, p = waiting.popleft()
    worker.begin(p, *job)
    print_line(f"[{number}/{total}] {p.work_name}")
    return True


def log_of(p: Point) -> Path:
    """Return the log of the next attempt; `python -m mmdpo logs` finds it."""
    return log_file(p.work_folder, status.read_status(p.work_folder).attempts + 1)


class _Worker:
    """One process that runs point after point; it is started when needed, and again after it died."""

    def __init__(self, device: str | None, threads: int | None) -> None:
        self.device, self.threads = device, threads
        self.process: Any = None
        self.busy = False

    def begin(self, p: Point, stage: Stage, rung: float | None) -> None:
        """Start a point in the process."""
        if self.process is None:
            spawn = multiprocessing.get_context("spawn")  # a fork would share CUDA's and torch's state
            self.pipe, other = spawn.Pipe()
            self.process = spawn.Process(target=work, args=(other, self.device, self.threads), daemon=True)
            self.process.start()
            other.close()  # or its end would not be seen here
        self.point, self.busy = p, True
        self.pipe.send((p, stage, rung, log_of(p)))

    def answer(self) -> tuple[Point, str | Stopped | None]:
        """Wait for the point; return it and the reason if it failed."""
        try:
            return self.point, self.pipe.recv()
        except EOFError:
            self.process.join()
            code, self.process = self.process.exitcode, None
            by = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            reason = f"its process ended by {by}; rerun the same command to continue from the last checkpoint"
            status.interrupt(self.point.work_folder, "killed")
            status.finish(self.point.work_folder, reason)
            return self.point, reason
        finally:
            self.busy = False

    def end(self) -> None:
        """Ask the process to end: at once if it is idle, else after it has saved."""
        if self.process is not None:
            self.pipe.close()
            if self.busy:
                self.process.terminate()

    def join(self) -> None:
        """Wait for the end, at most for `SAVING_SECONDS`."""
        if self.process is not None:
            self.process.join(SAVING_SECONDS)
            self.process.kill()


class _Processes:
    """The processes that run points at once; each is started when it gets its first point."""

    def __init__(self, points: int) -> None:
        self.points = points
        self.workers: list[_Worker] = []

    def of(self, cluster: ClusterConfig) -> list[_Worker]:
        """Return a worker for each point that may run at once."""
        if not self.workers:
            found = devices(cluster)[: self.points]
            self.workers = [_Worker(device, _threads(cluster, len(found))) for device in found]
        return self.workers

    def end(self) -> None:
        """End all processes; those that run a point save it first."""
        for worker in self.workers:
            worker.end()
        for worker in self.workers:
            worker.join()


def work(pipe: Connection, device: str | None, threads: int | None) -> None:
    """Run the points that the pipe delivers, in a process of its own, until the pipe closes.

    Args:
        pipe: Points, their stage, rung and logs come in; the reasons of failures go out.
        device: CUDA_VISIBLE_DEVICES of the process; None leaves it as it is.
        threads: OMP_NUM_THREADS of the process; None leaves it as it is.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the terminal sends them to all; the parent answers them
    tolerate_any_encoding()
    use_own_temporary_folder()  # that of the parent vanishes with it
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    listen()
    with suppress(Interrupted, EOFError), use_model_cache():
        while True:
            pipe.send(_run(*pipe.recv()))


def _run(p: Point, stage: Stage, rung: float | None, log: Path) -> str | Stopped | None:
    with _printing_to(log):
        from mmdpo.sweep.run_point import run_point, run_rung

        try:
            error = run_point(p, stage) if rung is None else run_rung(p, rung)
        except Stopped as stop:
            return stop
        print(status.read_status(p.work_folder).traceback or error or "", end="", flush=True)
        return error


@contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Redirect the output of this process and its libraries to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(number) for number in (1, 2)]
    with log.open("a", encoding="utf-8") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        with log_to(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _end_with_parent() -> None:
    """End this process when its parent is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVING_SECONDS)
    os._exit(1)
