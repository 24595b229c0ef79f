"""Fixtures of all tests: a cache of the test run, no network, no W&B key, one thread, derandomized examples."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for tests.support, from any folder
# A shell's background jobs ignore Ctrl-C, and so would the programs that the tests start and send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Bit-equal results need one number of threads, and two workers share the cores. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("all", deadline=None)  # random seeds: `make test-all` passes --hypothesis-profile=all
settings.load_profile("ci")

pytest_plugins = ["tests.support.slurm.fixtures"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Assign each file to one pytest-xdist worker, all SLURM tests to the same one, slowest first."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    for item in items:
        in_slurm = item.get_closest_marker("slurm") is not None
        item.add_marker(pytest.mark.xdist_group("slurm" if in_slurm else item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: (item.get_closest_marker("slurm") is None, item.path not in slow))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Undo the number of threads that an earlier test has set."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDPO_CACHE", str(run_folder(tmp_path_factory) / "cache"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SERVICE", "HYDRA_FULL_ERROR"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # no login of the machine's user
        patch.setenv("COLUMNS", "80")
        yield


def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this test run, which all pytest-xdist workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
