"""What every test stands on: a cache of its own session, no network, no W&B key."""

import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # tests.support.tiny and tests.support.studies, from any folder
# A shell's background jobs ignore Ctrl-C, and so would the programs that the tests start and send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.support.slurm.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDPO_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SERVICE", "HYDRA_FULL_ERROR"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # no login of the machine's user
        patch.setenv("COLUMNS", "80")
        yield
