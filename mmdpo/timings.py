"""Measured times of work, kept in the cache to predict the hours of later sweeps.

    with timed("answers/pope", sets=1, answers=3000):
        ...

Code deep in a stage says what it does and how much of it; `timings_of` says for which shape of model. Times nest:
what an inner block takes is not counted for the outer one. They are kept per shape of model, one line each, and change
no result.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdpo.files import atomic_write, read_bytes
from mmdpo.storage import cache_root

FIRST = "first"
"""The amount that is 1 for the first work of a part in a process, which allocates memory and fills caches."""
POINT = "point"
"""The kind of a point's work without all that is timed within it."""
PROCESS = "process"
"""The kind of what a process does before its first point: it starts, reads its settings, and plans."""
LIBRARIES = "libraries"
"""The kind of importing what runs models."""
TRAINING_LIBRARIES = "libraries/training"
"""The kind of importing what trains models."""
PREPARE = "prepare"
"""The kind of preparing a training: its rows, its model and its trainer."""
REPORT = "report"
"""The kind of writing the tables, figures and pages of a study."""
SAMPLES = "samples"
"""The kind of making the samples of a task that the cache lacks."""
ONCE = (PROCESS, LIBRARIES, TRAINING_LIBRARIES)
"""Kinds of work that a process does once."""
OF_ANY_MODEL = (*ONCE, REPORT, SAMPLES)
"""Kinds of work whose time does not depend on the model. They are kept in a file of their own."""
ANY_MODEL = "any-model"
"""The name of that file, in place of a model's shape."""
MEASUREMENT = "a measurement"
MAX_BYTES = 1 << 19  # of a file; when it is full, the older half is dropped
KEPT = 40  # newest times per kind, device and number of processes
PROCESS_SECONDS = 300.0  # an older process did other work before its first point


@dataclass(frozen=True)
class Timing:
    """The time that one piece of work took.

    Attributes:
        kind: The kind of work, such as `train` or `answers/pope`.
        amounts: How much of it, by unit, such as steps and batches.
        seconds: Wall time.
        cpu_seconds: Processor time of the process and all its threads.
        source: `MEASUREMENT`, or the study that did the work.
        device: The GPU's name, or the processor's with the number of threads.
        host: The machine.
        partition: The partition of its SLURM job; empty outside a job.
        processes: Number of processes that worked together.
    """

    kind: str
    amounts: dict[str, float]
    seconds: float
    cpu_seconds: float
    source: str = ""
    device: str = ""
    host: str = ""
    partition: str = ""
    processes: int = 1


@dataclass
class Block:
    """A block of work that is being timed.

    Attributes:
        amounts: How much work it does; may be completed within the block.
        recorded: Whether its time is kept; set it to False for work that was partly done before.
    """

    amounts: dict[str, float]
    recorded: bool = True
    _inner: tuple[float, float] = (0.0, 0.0)


@dataclass
class _Recording:
    shape: str = ""
    source: str = ""
    blocks: list[Block] = field(default_factory=list)
    total: tuple[float, float] = (0.0, 0.0)  # of all outermost blocks that have ended


_recording = _Recording()
_seen: set[str] = set()
"""Parts of work that this process has done."""
_completed: set[str] = set()
"""Kinds of work that this process has timed."""


@contextmanager
def timings_of(shape: str, source: str) -> Iterator[None]:
    """Keep the times of this process within the block, unless an outer block does so already.

    Args:
        shape: The fingerprint of the model's shape; empty keeps no times.
        source: `MEASUREMENT`, or the name of the study.
    """
    before = _recording.shape, _recording.source
    if not _recording.shape:
        _recording.shape, _recording.source = shape, source
    try:
        yield
    finally:
        _recording.shape, _recording.source = before


@contextmanager
def timed(kind: str, **amounts: float) -> Iterator[Block]:
    """Time the block, without the blocks within it. Nothing is kept of a block that ends with an exception.

    Of work that a process does once, only the first time is kept; what is left of it later takes little.

    Args:
        kind: The kind of work. With the first block of kind `POINT`, the life of the process before it is kept, too.
        **amounts: How much work it is, by unit.
    """
    if kind == POINT and _recording.shape and is_first(PROCESS, _seen):
        _keep_life_until_now()
    block = Block(dict(amounts))
    _recording.blocks.append(block)
    start, completed = _clock(), False
    try:
        yield block
        completed = True
    finally:
        _recording.blocks.pop()
        total = _minus(_clock(), start)
        own = _minus(total, block._inner)
        if _recording.blocks:
            outer = _recording.blocks[-1]
            outer._inner = _plus(outer._inner, total)
        else:
            _recording.total = _plus(_recording.total, total)
        is_repeated = kind in ONCE and kind in _completed
        if completed:
            _completed.add(kind)
        if completed and block.recorded and _recording.shape and not is_repeated:
            _keep(Timing(kind, {FIRST: float(is_first(kind, _seen)), **block.amounts}, *own))


def is_first(kind: str, seen: set[str]) -> bool:
    """Return whether work is the first of its part in a process, and note that it is done.

    Args:
        kind: The kind of work; its part is what stands before a slash.
        seen: The parts that the process has done, which is changed.
    """
    part = kind.partition("/")[0]
    first = part not in seen
    seen.add(part)
    return first


def _clock() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _plus(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] + other[0], one[1] + other[1]


def _minus(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] - other[0], one[1] - other[1]


def _keep_life_until_now() -> None:
    """Keep the time of the process so far, without what was timed."""
    age = _age()
    if 0 < age < PROCESS_SECONDS:
        own = _minus((age, _clock()[1]), _recording.total)
        _keep(Timing(PROCESS, {"processes": 1.0}, max(own[0], 0.0), max(own[1], 0.0)))


def _age() -> float:
    """Return the seconds since this process was started."""
    import psutil

    return time.time() - float(psutil.Process().create_time())


def _keep(timing: Timing) -> None:
    """Append a time to the file of the model's shape; where the cache cannot be written, it is not kept."""
    if os.environ.get("RANK", "0") != "0":
        return
    full = replace(
        timing,
        seconds=round(timing.seconds, 4),
        cpu_seconds=round(timing.cpu_seconds, 4),
        source=_recording.source,
        device=device_name(),
        host=socket.gethostname(),
        partition=os.environ.get("SLURM_JOB_PARTITION", ""),
        processes=int(os.environ.get("WORLD_SIZE", 1)),
    )
    file = timings_file(ANY_MODEL if timing.kind in OF_ANY_MODEL else _recording.shape)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size > MAX_BYTES:
            lines = read_bytes(file).splitlines(keepends=True)
            with atomic_write(file) as aside:
                aside.write_bytes(b"".join(lines[len(lines) // 2 :]))
        with file.open("a", encoding="utf-8") as lines_file:
            lines_file.write(json.dumps(asdict(full)) + "\n")


def timings_file(shape: str) -> Path:
    """Return the file of the times of models of one shape."""
    return cache_root() / "timings" / f"{shape}.jsonl"


def read_timings(shape: str) -> list[Timing]:
    """Read the newest times of models of one shape, oldest first; damaged lines are left out."""
    try:
        text = timings_file(shape).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    kept: list[Timing] = []
    counts: dict[tuple[str, str, int], int] = {}
    for line in reversed(text.splitlines()):
        timing = _parsed(line)
        if timing is None:
            continue
        group = timing.kind, timing.device, timing.processes
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= KEPT:
            kept.append(timing)
    return kept[::-1]


def _parsed(line: str) -> Timing | None:
    try:
        content: Any = json.loads(line)
        timing = Timing(**content)
        usable = timing.seconds >= 0 and timing.cpu_seconds >= 0 and isinstance(timing.amounts, Mapping)
        return timing if usable else None
    except (ValueError, TypeError):  # a line that was cut by a full disk, or of another version
        return None


def device_name() -> str:
    """Return the name of the GPU that this process uses, or that of the processor with the number of threads."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    threads = torch.get_num_threads() if torch is not None else 1
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else "CPU"
