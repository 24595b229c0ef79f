"""The scripts for sbatch, without SLURM."""

import os
import shlex
import subprocess

import pytest

from mmdpo.errors import UserError
from mmdpo.slurm import client as slurm
from mmdpo.slurm import sbatch
from mmdpo.slurm.submit import dependency_of
from tests.slurm.submitted import BEGUN, config, submitted


def scripts(study, *overrides, **how):
    """The text of each part of a submission of two points."""
    submission = submitted(study, *overrides, **how)
    cluster = config(study, *overrides).cluster
    return [
        sbatch.script_text(submission, part, cluster, dependency_of(submission, part, cluster))
        for part in submission.parts
    ]


def asked(text):
    """The options on the #SBATCH lines of a script."""
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    found = {}
    for line in lines:
        key, _, value = line.partition("=")
        found[key] = "".join(shlex.split(value))
    assert len(found) == len(lines), lines  # no option is given twice
    return found


def test_one_gpu_per_point_after_the_shared_data(tmp_path):
    prepare, array = scripts(tmp_path / "s", prepare="7")
    jobs = tmp_path / "s" / "jobs"
    assert (
        array
        == f"""\
#!/bin/bash

# Parameters
#SBATCH --array=0-1%2
#SBATCH --chdir={jobs.parent.parent}
#SBATCH --comment=mmdpo:{BEGUN}:tasks:0
#SBATCH --cpus-per-task=8
#SBATCH --dependency=afterok:7
#SBATCH --gpus-per-node=1
#SBATCH --job-name=mmdpo:s
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output={jobs}/{BEGUN}/%A_%a.log
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=1440

# setup
export PYTHONPATH={jobs}/code-0${{PYTHONPATH:+:$PYTHONPATH}}

# command
export SUBMITIT_EXECUTOR=slurm
exec /venv/bin/python -u -P -m mmdpo.slurm.supervisor {jobs}/{BEGUN} tasks 0
"""
    )
    changed = {
        "job-name": "mmdpo:s:prepare",
        "comment": f"mmdpo:{BEGUN}:prepare:0",
        "output": f"{jobs}/{BEGUN}/%j.log",
    }
    only_of_arrays = ("array", "dependency", "kill-on-invalid-dep")
    common = {key: value for key, value in asked(array).items() if key not in only_of_arrays}
    assert asked(prepare) == common | changed
    assert prepare.endswith(" prepare 0\n")


def test_zero_3_has_four_processes_a_point_and_one_to_prepare(tmp_path):
    prepare, array = map(asked, scripts(tmp_path / "s", "cluster=slurm_zero3", prepare="7"))
    assert [array[key] for key in ("nodes", "gpus-per-node", "ntasks-per-node")] == ["1", "4", "4"]
    assert [prepare[key] for key in ("nodes", "gpus-per-node", "ntasks-per-node")] == ["1", "1", "1"]


def test_several_nodes_a_point(tmp_path):
    overrides = [
        "cluster=slurm_zero3",
        "cluster.nodes=2",
        "cluster.gpus_per_node=8",
        "cluster.cpus_per_task=12",
    ]
    prepare, array = map(asked, scripts(tmp_path / "s", *overrides, prepare="7"))
    assert [array[key] for key in ("nodes", "gpus-per-node", "ntasks-per-node")] == ["2", "8", "8"]
    assert array["cpus-per-task"] == "12"  # per process
    assert [prepare[key] for key in ("nodes", "gpus-per-node", "ntasks-per-node")] == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("cluster.partition=a100", "partition=a100"),
        ("cluster.partition='a100,h100'", "partition=a100,h100"),
        ("cluster.account=vision", "account=vision"),
        ("cluster.qos=long", "qos=long"),
        ("cluster.constraint='80gb&nvlink'", "constraint=80gb&nvlink"),
        ("cluster.mem=64G", "mem=64G"),
        ("cluster.cpus_per_task=16", "cpus-per-task=16"),
        ("cluster.tasks_per_node=2", "ntasks-per-node=2"),
        ("cluster.timeout_min=90", "time=90"),
        ("cluster.signal_delay_s=300", "signal=USR2@300"),
        ("cluster.exclude='n[1-3],n7'", "exclude=n[1-3],n7"),
        ("cluster.mail_type=FAIL", "mail-type=FAIL"),
        ("cluster.mail_user=me@here.org", "mail-user=me@here.org"),
        ("+cluster.additional_parameters.reservation=paper", "reservation=paper"),
        ("+cluster.additional_parameters.cpu_freq=high", "cpu-freq=high"),
        ("+cluster.additional_parameters.exclusive=user", "exclusive=user"),
        ("cluster.array_parallelism=1", "array=0-1%1"),
    ],
)
def test_a_setting_is_a_line(override, line, tmp_path):
    key, _, value = line.partition("=")
    (text,) = scripts(tmp_path / "s", override)
    assert asked(text)[key] == value
    assert asked(scripts(tmp_path / "t")[0]).get(key) != value


def test_a_percent_sign_in_a_path_is_no_pattern(tmp_path):
    found = asked(scripts(tmp_path / "5%j" / "100% ü 'x'")[0])
    study = tmp_path / "5%j" / "100% ü x"  # asked() removes the quotes of the shell
    assert found["output"] == f"{str(study).replace('%', '%%')}/jobs/{BEGUN}/%A_%a.log".replace(" x", " 'x'")
    assert found["chdir"] == str(tmp_path / "5%j")  # sbatch replaces nothing there


def test_an_option_that_is_true_has_no_value(tmp_path):
    (text,) = scripts(tmp_path / "s", "+cluster.additional_parameters.exclusive=true")
    assert "#SBATCH --exclusive\n" in text


def test_gres_takes_the_place_of_the_number_of_gpus(tmp_path):
    (text,) = scripts(tmp_path / "s", "cluster.gres=gpu:a100:2", "cluster.gpus_per_node=2")
    found = asked(text)
    assert found["gres"] == "gpu:a100:2"
    assert "gpus-per-node" not in found
    assert found["ntasks-per-node"] == "2"


@pytest.mark.parametrize(
    ("gres", "alone"),
    [
        ("gpu:a100:4", "gpu:a100:1"),
        ("gpu:4", "gpu:1"),
        ("gpu:a100", "gpu:a100"),
        ("gpu:1g.5gb:4,shard:8", "gpu:1g.5gb:1,shard:8"),
        ("shard:8", "shard:8"),
        ("gres/gpu:a100:4", "gres/gpu:a100:1"),
        ("nogpu:4", "nogpu:4"),
    ],
)
def test_the_preparation_takes_one_gpu_of_the_gres(gres, alone, tmp_path):
    settings = [f"cluster.gres='{gres}'", "cluster.gpus_per_node=4"]
    prepare, array = map(asked, scripts(tmp_path / "s", *settings, prepare="7"))
    assert (prepare["gres"], array["gres"]) == (alone, gres)


def test_variables_of_a_shell_inside_a_job_do_not_reach_another_job(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    for name in ("SLURM_CONF", "SLURM_ARRAY_TASK_ID", "SLURM_MEM_PER_CPU", "SBATCH_TIMELIMIT"):
        monkeypatch.setenv(name, "1")
    for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION"):
        monkeypatch.setenv(name, "default")
    (text,) = scripts(tmp_path / "s", "cluster.partition=mine")
    assert sorted(sbatch.conflicting_variables(text)) == [
        "SBATCH_PARTITION",
        "SBATCH_TIMELIMIT",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_MEM_PER_CPU",
    ]
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nenv > "$OUTPUT"\necho Submitted batch job 12\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    monkeypatch.setenv("OUTPUT", str(tmp_path / "output"))
    assert sbatch.submit_script(tmp_path / "s", text) == "12"
    given = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines() if "=" in line)
    assert {key for key in given if key.startswith(("SLURM_", "SBATCH_"))} == {"SLURM_CONF", "SBATCH_ACCOUNT"}
    (tmp_path / "output").unlink()
    assert sbatch.rejection_reason(text) == ""
    assert "SLURM_MEM_PER_CPU" not in (tmp_path / "output").read_text()


def test_without_gpus_none_is_requested(tmp_path):
    (text,) = scripts(tmp_path / "s", "cluster.gpus_per_node=0")
    assert not {"gpus-per-node", "gres"} & set(asked(text))
    assert asked(text)["ntasks-per-node"] == "1"


def test_setup_lines_come_before_the_job_in_their_order(tmp_path):
    (text,) = scripts(tmp_path / "s", "cluster.setup=['module load cuda/12','export A=\"b c\"']")
    setup = text.partition("# setup\n")[2].splitlines()
    assert setup[:2] == ["module load cuda/12", 'export A="b c"']
    assert setup[2].startswith("export PYTHONPATH=")


def test_folders_with_blanks_are_one_word(tmp_path):
    study = tmp_path / "my runs" / "s"
    (text,) = scripts(study)
    assert asked(text)["output"] == f"{study}/jobs/{BEGUN}/%A_%a.log"
    last = subprocess.run(
        ["bash", "-c", text.replace("exec /venv/bin/python", "printf '%s\\n' \"$PYTHONPATH\"")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert last[0] == f"{study}/jobs/code-0"
    assert f"{study}/jobs/{BEGUN}" in last


def test_arrays_of_one_throttled_sweep_come_one_after_the_other(tmp_path):
    split = {"count": 5, "largest": 2, "prepare": "7"}
    texts = [asked(text) for text in scripts(tmp_path / "s", "cluster.array_parallelism=2", **split)]
    assert [text.get("array") for text in texts] == [None, "0-1%2", "0-1%2", "0-0%1"]
    assert [text.get("dependency") for text in texts] == [
        None,
        "afterok:7",
        "afterok:7,afterany:8",
        "afterok:7,afterany:8",
    ]
    free = [asked(text) for text in scripts(tmp_path / "t", **split)]
    assert [text.get("dependency") for text in free] == [None, "afterok:7", "afterok:7", "afterok:7"]


@pytest.fixture
def failing_sbatch(monkeypatch):
    """Make sbatch, as submitit calls it, fail with a message."""
    from submitit.core.utils import FailedJobError

    def fail_with(message):
        def fail(*_, **__):
            raise FailedJobError(message)

        monkeypatch.setattr("submitit.core.utils.CommandFunction.__call__", fail)

    return fail_with


def test_sbatchs_own_message_is_raised(tmp_path, failing_sbatch):
    failing_sbatch("sbatch: error: Batch job submission failed: Invalid account\nor account/partition")
    with pytest.raises(UserError, match="submission failed: Invalid account or account/partition") as caught:
        sbatch.submit_script(tmp_path, "#!/bin/bash\n")
    assert not isinstance(caught.value, slurm.Unreachable)


def test_an_unreachable_controller_is_another_error_than_a_rejection(tmp_path, failing_sbatch):
    failing_sbatch("sbatch: error: Unable to contact slurm controller (connect failure)")
    with pytest.raises(slurm.Unreachable):
        sbatch.submit_script(tmp_path, "#!/bin/bash\n")
