"""A pool of threads that a process does not wait for when it ends, unlike those of concurrent.futures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")


class DaemonPool:
    """Threads that run calls; a call that hangs does not keep an interrupted process alive."""

    def __init__(self, threads: int, name: str) -> None:
        """Start the threads.

        Args:
            threads: Their number.
            name: Their name.
        """
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = threads
        for _ in range(threads):
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Run a call as soon as a thread is free, in the order of submission."""
        future: Future[Result] = Future()
        self._calls.put((future, call))
        return future

    def close(self) -> None:
        """End each thread after its call; calls that have not begun are cancelled."""
        with suppress(Empty):
            while (taken := self._calls.get_nowait()) is not None:
                taken[0].cancel()
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (taken := self._calls.get()) is not None:
            future, call = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
