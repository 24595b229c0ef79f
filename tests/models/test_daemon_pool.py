"""Threads that answer in order, pass errors on, and do not keep a process alive."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from mmdpo.models.daemon_pool import DaemonPool


def test_results_and_errors_are_those_of_the_calls() -> None:
    pool = DaemonPool(2, "test")
    assert [one.result(5) for one in [pool.submit(lambda n=n: n * n) for n in range(5)]] == [0, 1, 4, 9, 16]  # type: ignore[misc]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result(5)
    pool.close()


def test_what_has_not_begun_is_cancelled_and_what_runs_ends() -> None:
    pool, begun, gate = DaemonPool(1, "test"), threading.Event(), threading.Event()
    first = pool.submit(lambda: (begun.set(), gate.wait(5)))
    begun.wait(5)
    second = pool.submit(lambda: None)
    pool.close()
    pool.close()
    assert second.cancelled()
    gate.set()
    assert first.result(5) == (None, True)


def test_a_hanging_call_does_not_keep_a_process_alive() -> None:
    code = (
        "import time; from mmdpo.models.daemon_pool import DaemonPool; "
        "DaemonPool(1, 'test').submit(lambda: time.sleep(60)); time.sleep(0.1)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
