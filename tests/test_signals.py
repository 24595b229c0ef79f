"""Signals that stop a run: recorded in the training loop, raised outside of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdpo import signals
from mmdpo.signals import Interrupted, listening, training_loop
from tests.support.processes import until

SENT = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.CAUSES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SENT)
def test_a_signal_ends_the_work_with_its_usual_exit_code(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as ending, listening():
        os.kill(os.getpid(), number)
    assert ending.value.exit_code == SENT[number]
    assert signal.getsignal(number) is before
    assert not signals.is_listening()
    assert signals.asked() is None


@pytest.mark.parametrize("number", SENT)
def test_in_the_training_loop_a_signal_waits_for_the_checkpoint(number: signal.Signals) -> None:
    with listening():
        with training_loop():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # a wrapper may pass on what the terminal has sent already
            assert signals.asked() == signals.CAUSES[number]
        with pytest.raises(Interrupted):
            signals.raise_if_asked()


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "PATIENCE_SECONDS", -1.0)
    with listening(), training_loop():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with listening(), training_loop():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.asked() is None


def test_a_closed_terminal_takes_no_output_and_fails_none(tmp_path: Path) -> None:
    child, terminal = os.forkpty()
    if child == 0:
        try:
            with listening(), training_loop():
                (tmp_path / "ready").touch()
                while not signals.asked():
                    time.sleep(0.01)
                os.write(1, b"printed to a terminal that is gone")
                os._exit(0)
        finally:
            os._exit(1)
    until(tmp_path / "ready")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
