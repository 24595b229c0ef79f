"""The announcement of a training to the processes of one launch."""

import pytest

from mmdpo.training.announcement import (
    SHARED,
    announce_training,
    is_training_announced,
    launch_id,
    withdraw_training,
)


@pytest.fixture
def environment(monkeypatch):
    for name in (*SHARED, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    return monkeypatch


def test_the_processes_of_a_launch_agree_on_its_name(environment):
    environment.setenv("RANK", "0")
    first = launch_id()
    environment.setenv("RANK", "1")
    assert launch_id() == first


@pytest.mark.parametrize("name", SHARED)
def test_another_launch_has_another_name(environment, name):
    environment.setenv(name, "1")
    first = launch_id()
    environment.setenv(name, "2")
    assert launch_id() != first


def test_a_training_is_announced_to_this_launch_alone(environment, tmp_path):
    environment.setenv("SLURM_JOB_ID", "1")
    announce_training(tmp_path)
    assert is_training_announced(tmp_path)
    environment.setenv("SLURM_JOB_ID", "2")
    assert not is_training_announced(tmp_path)
    announce_training(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1  # that of the earlier launch is gone
    withdraw_training(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_process_alone_announces_nothing(environment, tmp_path):
    environment.setenv("WORLD_SIZE", "1")
    announce_training(tmp_path)
    assert not list(tmp_path.iterdir())
