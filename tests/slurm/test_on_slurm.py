"""A study's jobs on a real SLURM: submitted once, with true states, found again."""

from __future__ import annotations

import getpass
import json
import re
import signal
import stat
from pathlib import Path

import pytest

from mmdpo.testing.fake_openai import fake_openai
from tests.slurm.lines import SMALL, Lines
from tests.support.slurm.cluster import Cluster, cluster
from tests.support.slurm.fixtures import require

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

MEASURED = (*SMALL, "data_scale=0", "model.before_visual_tuning=null")
"""Points without training: the untouched model alone, evaluated and judged."""


@pytest.fixture
def lines(slurm: Cluster, tmp_path: Path) -> Lines:
    return Lines(slurm, tmp_path / "5%j")  # a path in which SLURM would replace %j


def test_a_sweep_is_one_array_and_rerunning_it_does_nothing(lines: Lines):
    line = (*SMALL, "cluster.gpus_per_node=1", "beta=0.1,0.2")
    done = lines.launch(*line)
    assert "4 points: 0 done, 0 queued or running, 4 to submit" in done.stdout
    prepare, array = lines.jobs()
    states = lines.accounted()
    assert states == {prepare: "COMPLETED", **{f"{array}_{index}": "COMPLETED" for index in range(4)}}
    names = lines.cluster.run("sacct", "-X", "-n", "-P", "-o", "JobName", "-j", array).stdout.split()
    assert sorted(names) == sorted(f"mmdpo:s:{point.name}" for point in lines.points())
    assert (lines.folder / "summary.csv").read_text().count("done") == 4
    assert {point.name: lines.status(point.name)["attempts"] for point in lines.points()} == {
        point.name: 1 for point in lines.points()
    }
    again = lines.launch(*line)
    assert "4 points: 4 done, 0 queued or running, 0 to submit" in again.stdout
    assert lines.jobs() == [prepare, array]


def test_a_failed_point_is_failed_everywhere_and_retry_runs_it_alone(lines: Lines):
    done = lines.launch(*SMALL, "stage=train", "lr=2e-4,1e30", check=False)
    assert done.returncode != 0
    assert "failed" in done.stdout
    assert "the loss is nan" in done.stderr or "gradient norm is" in done.stderr
    array = lines.jobs()[-1]
    assert sorted(lines.accounted()[f"{array}_{index}"] for index in range(2)) == ["COMPLETED", "FAILED"]
    codes = lines.cluster.run("sacct", "-X", "-n", "-P", "-o", "ExitCode", "-j", array).stdout.split()
    assert sorted(codes) == ["0:0", "1:0"]
    assert lines.status("lr1e+30")["state"] == "failed"
    shown = lines.mmdpo("status", str(lines.folder), check=False)
    assert shown.returncode == 1
    assert "failed" in shown.stdout
    log = lines.mmdpo("logs", str(lines.folder)).stdout
    assert "Traceback" in log
    assert f"{lines.folder}/jobs/code-" in log  # from the snapshot, not from the checkout
    assert "the loss is nan" in log or "gradient norm is" in log
    retried = lines.mmdpo("retry", str(lines.folder), "cluster.timeout_min=30")
    assert "1 submitted" in retried.stdout
    assert len(lines.jobs()) == 3  # the shared data were made once
    states = lines.wait_for_end()
    assert states[f"{lines.jobs()[-1]}_0"] == "FAILED"
    assert lines.status("lr1e+30")["attempts"] == 2
    assert lines.status("lr0.0002")["attempts"] == 1


def test_a_failed_preparation_cancels_the_points_with_its_reason(lines: Lines):
    done = lines.launch(*SMALL, "beta=0.1,0.2", "train.max_text_tokens=5", "train.too_long=error", check=False)
    assert done.returncode != 0
    prepare, _array = lines.jobs()
    assert lines.accounted()[prepare] == "FAILED"
    assert [state.split()[0] for job, state in lines.accounted().items() if job != prepare] == ["CANCELLED"]
    assert "the preparation failed" in done.stdout + done.stderr
    assert "max_text_tokens" in done.stdout + done.stderr


def test_cancel_ends_what_waits_and_what_runs(lines: Lines):
    lines.launch(*MEASURED, "bench.seed=0,1,2", "bench.items=240", "cluster.array_parallelism=1", "cluster.wait=false")
    lines.cluster.wait_for(lines.points, 60, "a point that runs")
    array = lines.jobs()[-1]
    last = [json.loads(line)["name"] for line in next(lines.folder.glob("jobs/*/tasks.jsonl")).open()][2]
    assert "1 cancelled" in lines.mmdpo("cancel", str(lines.folder), last).stdout
    assert f"{array}_2" not in lines.cluster.job_states(array)  # SLURM forgets it, and accounting shows it as pending
    assert f"cancelled  {last}: cancelled by " in lines.mmdpo("status", str(lines.folder), check=False).stdout
    assert "1 submitted" in lines.mmdpo("retry", str(lines.folder)).stdout
    assert "3 cancelled" in lines.mmdpo("cancel", str(lines.folder)).stdout
    states = lines.wait_for_end()
    assert set(states.values()) == {"CANCELLED"}
    shown = lines.mmdpo("status", str(lines.folder), check=False).stdout
    assert shown.count("cancelled") >= 3
    assert "3 submitted" in lines.mmdpo("retry", str(lines.folder)).stdout
    assert "1 cancelled" in lines.mmdpo("cancel", str(lines.folder), lines.points()[0].name).stdout
    lines.mmdpo("cancel", str(lines.folder))
    lines.wait_for_end()


def test_the_same_command_run_twice_at_once_is_submitted_once(lines: Lines):
    line = (*MEASURED, "bench.seed=0,1")
    both = [lines.launching(*line) for _ in range(2)]
    output = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    assert sorted(re.findall(r"(\d) to submit", "".join(output))) == ["0", "2"]
    assert len(lines.jobs()) == 1
    assert [lines.status(point.name)["attempts"] for point in lines.points()] == [1, 1]


def test_jobs_continue_after_ctrl_c(lines: Lines):
    process = lines.launching(*MEASURED, "bench.seed=0")
    lines.cluster.wait_for(
        lambda: re.search(r"^1 (pending|running)$", process.output(), re.M), 60, "a state of its job"
    )
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "the jobs continue" in output
    assert "python -m mmdpo status" in output
    assert process.returncode == 0
    assert set(lines.wait_for_end().values()) == {"COMPLETED"}
    assert lines.status()["state"] == "done"


@pytest.mark.parametrize("moment", ["between", "during", pytest.param("after", marks=pytest.mark.exhaustive)])
def test_a_command_killed_around_sbatch_loses_and_doubles_nothing(moment: str, lines: Lines, tmp_path: Path):
    real = lines.cluster.run("which", "sbatch").stdout.strip()
    kill, call = "kill -9 $PPID; sleep 1", f'{real} "$@" > {tmp_path}/output; cat {tmp_path}/output'
    steps = {
        "during": f'{real} "$@" > {tmp_path}/output; {kill}; exit 1',
        "after": f"{call}; sleep 3; {kill}",
        "between": f"[ -e {tmp_path}/output ] || {{ {call}; exit; }}; {kill}; exit 1",
    }[moment]
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/bash\ncase "$*" in *--test-only*) exec {real} "$@";; esac\n{steps}\n')
    fake.chmod(fake.stat().st_mode | stat.S_IEXEC)
    line = (*SMALL, "beta=0.1,0.2", "stage=train") if moment == "between" else (*MEASURED, "bench.seed=0,1")
    path = f"{fake.parent}:{lines.cluster.environment['PATH']}"
    killed = Lines(lines.cluster, lines.out, {"PATH": path}).launching(*line)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    again = lines.launch(*line)
    to_submit = {"between": 2, "during": 0, "after": 0}[moment]
    done_or_live = 2 - to_submit
    found = re.search(r"2 points: (\d) done, (\d) queued or running, (\d) to submit", again.stdout)
    assert found
    assert int(found[3]) == to_submit
    assert int(found[1]) + int(found[2]) == done_or_live
    assert [lines.status(point.name)["attempts"] for point in lines.points()] == [1, 1]
    assert len([job for job in lines.jobs() if job]) == (2 if moment == "between" else 1)  # prepared once
    completed = ["COMPLETED"] * (3 if moment == "between" else 2)
    lines.cluster.wait_for(lambda: list(lines.accounted().values()) == completed, 60, "both tasks in sacct")


def test_the_controller_restarts_while_a_sweep_runs(lines: Lines):
    process = lines.launching(*MEASURED, "bench.seed=0,1")
    lines.cluster.wait_for(lines.points, 90, "a point that runs")
    lines.cluster.restart_controller()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert {lines.status(point.name)["state"] for point in lines.points()} == {"done"}


def test_a_sweep_larger_than_an_array_may_be_is_split(lines: Lines):
    lines.cluster.restart_controller(max_array_size=2)
    try:
        done = lines.launch(*MEASURED, "bench.seed=0,1,2", "cluster.array_parallelism=1", check=False)
    finally:
        lines.cluster.restart_controller(max_array_size=1001)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = lines.jobs()
    assert list(lines.accounted()) == [f"{first}_0", f"{first}_1", f"{second}_0"]
    assert {lines.status(point.name)["state"] for point in lines.points()} == {"done"}


def test_without_accounting_a_cancelled_job_has_ended(slurm_without_accounting: Cluster, tmp_path: Path):
    lines = Lines(slurm_without_accounting, tmp_path)
    process = lines.launching(*MEASURED, "bench.seed=0,1", "bench.items=240", "cluster.array_parallelism=1")
    lines.wait_for_attempt(1)
    lines.cluster.run("scancel", lines.status()["job_id"])
    output, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "cancelled" in output
    states = sorted(lines.status(point.name)["state"] for point in lines.points())
    assert states == ["done", "interrupted"]


def test_out_of_memory_is_named_and_retried_only_with_more(tmp_path: Path):
    require()
    watching = "JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=2"
    with cluster(accounting="none", extra=f"{watching}\nJobAcctGatherParams=OverMemoryKill") as slurm:
        lines = Lines(slurm, tmp_path)
        done = lines.launch(*MEASURED, "bench.seed=0", "cluster.mem=100M", check=False)
        assert done.returncode != 0
        assert "cluster.max_attempts.out_of_memory=1); raise cluster.mem=" in done.stdout
        assert [entry["cause"] for entry in lines.status()["interruptions"]] == ["out_of_memory"]
        assert list(lines.wait_for_end().values()) == ["FAILED"]
        assert "1 submitted" in lines.mmdpo("retry", str(lines.folder), "cluster.mem=8G").stdout
        lines.wait_for_end()
        assert (lines.status()["state"], lines.status()["attempts"]) == ("done", 2)


def test_a_folder_missing_on_the_nodes_is_named(lines: Lines):
    line = (*MEASURED, "bench.seed=0", "cluster.wait=false")
    lines.launch(*line, "+cluster.additional_parameters.hold=true")
    (job,) = lines.jobs()
    assert f"type scontrol release {job}_0" in lines.mmdpo("status", str(lines.folder)).stdout
    hidden = lines.folder.rename(lines.out / "hidden")
    lines.cluster.run("scontrol", "release", job)
    lines.cluster.wait_for_state(job, "FAILED")
    hidden.rename(lines.folder)
    shown = lines.mmdpo("status", str(lines.folder), check=False)
    assert shown.returncode == 1
    assert "may not be on a disk which the nodes share; type out=FOLDER" in shown.stdout
    lines.launch(*line)
    lines.wait_for_end()
    assert lines.status()["state"] == "done"


def test_a_command_in_the_shell_of_another_job_is_a_sweep_of_its_own(slurm: Cluster, tmp_path: Path):
    shell = {"SLURM_JOB_ID": "1", "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "2", "SLURM_NTASKS": "1"}
    asked = {"SLURM_MEM_PER_CPU": "100", "SLURM_GPUS_PER_TASK": "1", "SBATCH_PARTITION": "nowhere"}
    lines = Lines(slurm, tmp_path, {**shell, **asked, "SBATCH_TIMELIMIT": "1"})
    lines.launch(*SMALL, "beta=0.1", "cluster.mem=4G", "cluster.partition=main", "cluster.timeout_min=30")
    assert {lines.status(point.name)["state"] for point in lines.points()} == {"done"}
    prepare, array = lines.jobs()
    assert lines.status("beta")["job_id"].startswith(f"{array}_")
    job = slurm.job(f"{array}_0")
    assert (job["TimeLimit"], job["Partition"]) == ("00:30:00", "main")
    assert slurm.job(prepare)["JobName"] == "mmdpo:s:prepare"


@pytest.mark.exhaustive
def test_optuna_searches_with_jobs(lines: Lines):
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"]
    search += ["hydra.sweeper.n_jobs=2", "beta=interval(0.05,0.5)"]
    refused = lines.launch(*SMALL, *search, "cluster.wait=false", check=False)
    assert refused.returncode != 0
    assert "this sweeper chooses points by scores; type cluster.wait=true" in refused.stderr
    done = lines.launch(*SMALL, *search)
    assert "4 points: 0 done, 0 queued or running, 4 to submit" in done.stdout  # two trials at once, two baselines
    betas = {json.loads(file.read_text())["axes"]["beta"] for file in lines.folder.glob("dpo-*/result.json")}
    assert len(betas) == 2
    assert all(0.05 <= beta <= 0.5 for beta in betas)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cluster.partition=nowhere", "invalid partition"),
        ("cluster.gpus_per_node=64", "the largest node of partition main has 4"),
        ("cluster.timeout_min=9999", "type cluster.timeout_min=1440"),
        ("+cluster.additional_parameters.nodelist=nobody", "nvalid node name"),
    ],
)
def test_a_rejection_is_shown_in_slurms_words_and_leaves_nothing(override: str, message: str, lines: Lines):
    done = lines.launch(*MEASURED, override, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(lines.folder.glob("jobs/*/submission.json"))


def test_an_account_of_others_is_rejected_in_slurms_words(tmp_path: Path):
    require()
    with cluster(extra="AccountingStorageEnforce=associations") as slurm:
        slurm.run("sacctmgr", "-i", "add", "account", "lab")
        slurm.run("sacctmgr", "-i", "add", "user", getpass.getuser(), "account=lab")
        lines = Lines(slurm, tmp_path)
        line = (*MEASURED, "bench.seed=0", "cluster.wait=false")
        shown = lines.launch(*line, "cluster.account=nobody", "dry_run=true")
        assert "SLURM would reject this" in shown.stdout
        assert "nvalid account" in shown.stdout
        done = lines.launch(*line, "cluster.account=nobody", check=False)
        assert done.returncode != 0
        assert "Invalid account or account/partition combination" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(lines.folder.glob("jobs/*/submission.json"))
        lines.launch(*line, "cluster.account=lab")
        lines.wait_for_end()
        assert lines.status()["state"] == "done"
        assert slurm.run("sacct", "-X", "-n", "-P", "-o", "Account").stdout.split() == ["lab"]


def test_a_dry_run_shows_the_scripts_and_submits_nothing(lines: Lines):
    done = lines.launch(*SMALL, "beta=0.1,0.2", "dry_run=true", "cluster.minutes_per_point=30")
    assert "#SBATCH --array=0-3%4" in done.stdout
    assert "4 points without GPUs x 30.0 min (cluster.minutes_per_point): 2.0 hours" in done.stdout
    assert not lines.folder.exists() or not list(lines.folder.glob("jobs/*"))


def test_a_machine_without_sbatch_names_cluster_local(lines: Lines, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = Lines(lines.cluster, lines.out, {"PATH": str(empty)}).launch(*MEASURED, check=False)
    assert done.returncode != 0
    assert "cluster=local" in done.stderr


def test_a_service_judges_on_the_login_node_or_in_a_job_of_its_own(slurm: Cluster, tmp_path: Path):
    """Only this command has the key: the job of the point would fail if it asked the judge."""
    with fake_openai() as server:
        judge = ("bench.judge=openai", "bench.judge.model=rehearsal", f"bench.judge.base_url={server.url}")
        key = {"OPENAI_API_KEY": "sk-rehearsal-0123456789abcdef"}
        detached = Lines(slurm, tmp_path)
        detached.launch(*MEASURED, *judge, "cluster.wait=false", "stage=evaluate")
        detached.wait_for_end()
        assert not server.answered
        done = Lines(slurm, tmp_path, key).launch(*MEASURED, *judge)
        assert "1 to judge" in done.stdout
        assert len(detached.jobs()) == 1
        (result,) = tmp_path.glob("s/*/result.json")
        assert json.loads(result.read_text())["labels"]["text"]["served"] == ["rehearsal-001"]
        in_job = Lines(slurm, tmp_path, key, study="in-job")
        in_job.launch(*MEASURED, *judge, "bench.seed=1", "cluster.judge=job")
        array, judging = in_job.jobs()
        assert in_job.accounted() == {f"{array}_0": "COMPLETED", judging: "COMPLETED"}
        assert len(list(tmp_path.glob("in-job/*/result.json"))) == 1
