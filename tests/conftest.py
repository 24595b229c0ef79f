"""Fixtures of all tests: a cache of the test run, no network, no W&B key, no GPU, one thread, derandomized examples."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for tests.support, from any folder
# A shell's background jobs ignore Ctrl-C, and so would the programs that the tests start and send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Bit-equal results need one number of threads, and two workers share the cores. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # a GPU's sums are not bit-equal; type =0 to test on it

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("all", deadline=None)  # random seeds: `make test-all` passes --hypothesis-profile=all
settings.load_profile("ci")

pytest_plugins = ["tests.support.fixtures", "tests.support.slurm.fixtures", "tests.support.browser"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest: those of SLURM, then those with slow tests."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not uses_slurm(item.path), item.path not in slow))
    legacy = [item for item in items if "gemini_legacy" in item.name]
    if legacy and not is_installed("google.generativeai"):
        for item in legacy:
            item.add_marker(pytest.mark.skip("google-generativeai is not installed; pip install -e .[gemini_legacy]"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file to one worker, and all files that use SLURM to the same one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "slurm" if uses_slurm(config.rootpath / file) else file

    return Scheduling(config, log)


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing more than the packages that hold it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@cache
def uses_slurm(file: Path) -> bool:
    """Check for the marker in a file's text: the process that schedules collects no tests."""
    return "pytest.mark.slurm" in file.read_text(encoding="utf-8")


def pytest_collection_finish() -> None:
    """Exclude from garbage collection what the files of tests have imported, as programs do with their libraries."""
    gc.collect()
    gc.freeze()


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
        patch.setenv("WANDB_ERROR_REPORTING", "false")  # set by runs, too; where it differs, programs are not forked
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(run_folder(tmp_path_factory) / "inductor"))  # set by runs
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SERVICE", "HYDRA_FULL_ERROR"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # no login of the machine's user
        patch.setenv("COLUMNS", "80")
        yield


def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this test run, which all pytest-xdist workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
