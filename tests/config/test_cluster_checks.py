import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.slurm.submission import changed_cluster


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nodes=0", "cluster.nodes=0: must be at least 1"),
        ("cpus_per_task=0", "cluster.cpus_per_task=0: must be at least 1"),
        ("timeout_min=0", "cluster.timeout_min=0: must be at least 1"),
        ("tasks_per_node=0", "cluster.tasks_per_node=0: must be at least 1"),
        ("array_parallelism=0", "cluster.array_parallelism=0: must be at least 1"),
        ("threads=0", "cluster.threads=0: must be at least 1"),
        ("gpus_per_node=-1", "cluster.gpus_per_node=-1: must be at least 0"),
        ("max_attempts.killed=0", "cluster.max_attempts.killed=0: must be at least 1"),
        ("signal_delay_s=-1", "cluster.signal_delay_s=-1: must be at least 0"),
        ("minutes_per_point=0", "cluster.minutes_per_point=0.0: must be above 0"),
        ("mem=64GB", "cluster.mem=64GB: type a number and K, M, G or T, as in cluster.mem=64G"),
        ("mem=-1", "cluster.mem=-1: type a number"),
    ],
)
def test_a_wrong_setting_is_named_with_its_override(override, message):
    with pytest.raises(UserError) as caught:
        compose_config(["cluster=slurm", f"cluster.{override}"])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["cluster.timeout_min=2"],
            "cluster.signal_delay_s=120: a job of cluster.timeout_min=2 would get its signal",
        ),
        (["cluster.gres=gpu:a100:4", "cluster.gpus_per_node=0"], "cluster.gpus_per_node=0 requests none of them"),
        (["+cluster.additional_parameters.partition=a100"], "has its own setting; type cluster.partition="),
        (["+cluster.additional_parameters.mail_type=END"], "has its own setting; type cluster.mail_type="),
        (["+cluster.additional_parameters.time=60"], "has its own setting; type cluster.timeout_min="),
        (
            ["+cluster.additional_parameters.dependency=afterok:1"],
            "cluster.additional_parameters.dependency: mmdpo sets it itself; drop it",
        ),
        (
            ["+cluster.additional_parameters.A=x"],
            "cluster.additional_parameters.A: sbatch has no such option; type its long name",
        ),
        (
            ["cluster=local_parallel", "cluster.gpus_per_node=2"],
            "gives each point one process; type cluster=slurm_zero3",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides, message):
    with pytest.raises(UserError) as caught:
        compose_config(["cluster=slurm", *overrides])
    assert message in str(caught.value)


def test_several_processes_of_torchrun_do_not_each_run_points_at_once(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"under torchrun all processes train one point; type cluster=local"):
        compose_config(["cluster=local_parallel"])


def test_retry_checks_what_it_changes():
    cluster = {"name": "slurm", "runner": "slurm", "additional_parameters": {}}
    assert changed_cluster(cluster, ["cluster.mem=96G"]).mem == "96G"
    with pytest.raises(UserError, match=r"cluster.mem=much: type a number"):
        changed_cluster(cluster, ["cluster.mem=much"])
