"""The sbatch script of one part of a submission, written and submitted through submitit."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError
from submitit.slurm.slurm import _make_sbatch_string

from mmdpo.config.schema import ClusterConfig
from mmdpo.errors import UserError
from mmdpo.slurm import client as slurm
from mmdpo.slurm.paths import file_pattern
from mmdpo.slurm.submission import DECIDE, JUDGE, PREPARE, TASKS, Part, Submission, job_comment

SITE_VARIABLES = ("SLURM_CONF", "SLURM_CLUSTERS")
"""Variables that select the SLURM to use."""

SBATCH_DEFAULTS = {
    "SBATCH_PARTITION": "partition",
    "SBATCH_ACCOUNT": "account",
    "SBATCH_QOS": "qos",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_EXPORT": "export",
}
"""Default options that sites and users export, with the options they set."""

GPUS_OF_GRES = re.compile(r"(?<![\w-])(gpu(?::[^:,]*[^:,\d][^:,]*)?):\d+")
"""The GPUs in a list of generic resources, such as gpu:4 or gpu:a100:4."""


class ScriptExecutor(submitit.SlurmExecutor):
    """A submitit executor that submits a given script instead of a pickled function.

    submitit's own job reports a failed point as COMPLETED, keeps results in pickles that appear only after sbatch
    has answered, and lets only the first of several processes save at a time limit.
    """

    def __init__(self, folder: Path, text: str) -> None:
        """Prepare the submission of the script `text` from `folder`."""
        super().__init__(folder=folder)
        self.text = text

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        return self.text

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        unset = (argument for name in conflicting_variables(self.text) for argument in ("-u", name))
        return ["env", *unset, *super()._make_submission_command(submission_file_path)]


def submit_script(folder: Path, text: str) -> str:
    """Submit a script with sbatch and return SLURM's id of the job or array.

    Raises UserError with SLURM's own message, and slurm.Unreachable if the controller does not answer.
    """
    try:
        job_id: str = ScriptExecutor(folder, text)._submit_command("").job_id
    except FailedJobError as error:
        message = " ".join(str(error).split())
        raise (slurm.Unreachable if slurm.UNREACHABLE.search(message) else UserError)(message) from error
    return job_id


def script_text(submission: Submission, part: Part, cluster: ClusterConfig, dependency: str | None = None) -> str:
    """Compose the sbatch script of a part: options, the user's setup lines, and the supervisor's command.

    Args:
        submission: The submission, whose folder gets the logs and whose code snapshot the job runs.
        part: The job or array to submit.
        cluster: The settings of `cluster=`.
        dependency: A value for --dependency, such as afterok:12.

    Returns:
        The text of the script.
    """
    supervisor = "group_supervisor" if part.size > 1 else "supervisor"
    python = [submission.python, "-u", "-P", "-m", f"mmdpo.slurm.{supervisor}"]
    # exec: as a child of the script's shell, the supervisor could outlive the shell, which SLURM ends
    command = "exec " + shlex.join([*python, str(submission.folder.absolute()), part.kind, str(part.first)])
    parameters = submitit_parameters(submission, part, cluster, dependency)
    return _make_sbatch_string(command=command, folder=submission.folder, **parameters)


def submitit_parameters(
    submission: Submission, part: Part, cluster: ClusterConfig, dependency: str | None
) -> dict[str, Any]:
    """Return the parameters of a part's job by submitit's names.

    Args:
        submission: The submission that the part belongs to.
        part: The job or array to submit. The preparation gets one process and at most one GPU, the others none.
        cluster: The settings of `cluster=`.
        dependency: A value for --dependency; None for a job that waits for no other.

    Returns:
        Keyword arguments for submitit's function that writes the script.
    """
    is_single = part.kind != TASKS  # one process for all its lines
    gpus = {PREPARE: min(cluster.gpus_per_node, 1), JUDGE: 0, DECIDE: 0}.get(part.kind, cluster.gpus_per_node)
    gres = GPUS_OF_GRES.sub(r"\g<1>:1", cluster.gres) if cluster.gres and part.kind == PREPARE else cluster.gres
    if part.kind in (JUDGE, DECIDE):
        gres = ",".join(one for one in (gres or "").split(",") if not one.startswith("gpu")) or None
    code = submission.folder.absolute().parent / submission.code
    log = "%A_%a" if part.kind == TASKS else "%j"
    return {
        "job_name": f"mmdpo:{submission.study.name}" + ("" if part.kind == TASKS else f":{part.kind}"),
        "time": cluster.timeout_min,
        "nodes": 1 if is_single else cluster.nodes,
        "ntasks_per_node": 1 if is_single else cluster.processes_per_node,
        "cpus_per_task": cluster.cpus_per_task,
        "gpus_per_node": gpus if gpus and not cluster.gres else None,
        "gres": gres,
        "mem": cluster.mem,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "exclude": cluster.exclude,
        "mail_type": cluster.mail_type,
        "mail_user": cluster.mail_user,
        "dependency": dependency,
        "comment": job_comment(submission, part),
        "signal_delay_s": cluster.signal_delay_s,
        "setup": [*cluster.setup, f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"],
        "wckey": None,
        "stderr_to_stdout": True,
        "use_srun": False,  # the supervisor calls srun
        "map_count": None if is_single else part.jobs,
        "array_parallelism": cluster.array_parallelism or part.jobs,
        "additional_parameters": {
            "requeue": True,
            "chdir": submission.cwd,
            "output": f"{file_pattern(submission.folder.absolute())}/{log}.log",
            **({"kill-on-invalid-dep": "yes"} if dependency else {}),
            **{
                key.replace("_", "-"): value.lower() == "true" or value
                for key, value in cluster.additional_parameters.items()
            },
        },
    }


def conflicting_variables(text: str) -> list[str]:
    """Return the variables of this shell that must not reach a new job.

    These are the variables of a job in which this shell itself runs, and the defaults of sbatch that would
    override options of the script `text`. Defaults for options that the script does not set are kept.
    """
    kept = {name for name, option in SBATCH_DEFAULTS.items() if f"#SBATCH --{option}=" not in text}
    of_job = [name for name in os.environ if name.startswith("SLURM_") and name not in SITE_VARIABLES]
    return of_job + [name for name in os.environ if name.startswith("SBATCH_") and name not in kept]


def rejection_reason(text: str) -> str:
    """Return why SLURM would reject a script at the moment (sbatch --test-only); empty if it would accept it."""
    unset: dict[str, Any] = dict.fromkeys(conflicting_variables(text))
    try:
        slurm.run_command("sbatch", "--test-only", stdin_text=text, **unset)
    except UserError as error:
        return str(error)
    return ""
