"""A gauge of the processor: the CPU seconds that a fixed piece of work takes while other programs run.

On a shared machine, the same command takes up to a third more CPU seconds while other programs fill the caches and the
other half of each core. The gauge does a little work every half second, so that two commands can still be compared.
"""

from __future__ import annotations

import statistics
import threading
import time
from types import TracebackType
from typing import Self

import numpy as np

PAUSE = 0.5


class Gauge:
    """Context manager that measures within its block; afterwards `seconds` is the mean time of the piece of work."""

    def __init__(self) -> None:
        """Prepare the piece of work."""
        rng = np.random.default_rng(0)
        self._short = rng.standard_normal(1 << 15, dtype=np.float32)
        self._long = rng.standard_normal(1 << 20, dtype=np.float32)
        self._times: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Self:
        """Begin to measure."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the measurement."""
        self._end.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """The mean CPU time of the piece of work."""
        return statistics.fmean(self._times)

    def _measure(self) -> None:
        while True:
            start = time.thread_time()
            self._work()
            self._times.append(time.thread_time() - start)
            if self._end.wait(PAUSE):
                return

    def _work(self) -> None:
        """Do a little of each: Python objects, arithmetic in the cache, and a pass over memory."""
        counts: dict[str, int] = {}
        for number in range(12_000):
            key = f"k{number % 997}"
            counts[key] = counts.get(key, 0) + number
        state = self._short
        for _ in range(30):
            state = np.tanh(state * 1.0001 + self._short)
        float((self._long * 1.0001).sum())
