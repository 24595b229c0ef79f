"""A part of a submission as an sbatch script, through submitit."""

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
from mmdpo.slurm.submission import PREPARE, TASKS, Part, Submission, comment

OF_THE_SITE = ("SLURM_CONF", "SLURM_CLUSTERS")
"""Variables that say which SLURM is asked."""

DEFAULTS = {
    "SBATCH_PARTITION": "partition",
    "SBATCH_ACCOUNT": "account",
    "SBATCH_QOS": "qos",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_EXPORT": "export",
}
"""Defaults that sites and users export, and the options that they stand for."""

GPUS_OF_GRES = re.compile(r"(?<![\w-])(gpu(?::[^:,]*[^:,\d][^:,]*)?):\d+")
"""GPUs and their number in a list of generic resources, as in gpu:4 or gpu:a100:4."""


class Executor(submitit.SlurmExecutor):
    """submitit's submission with a job of ours in place of its pickle.

    submitit's own job calls a failed point COMPLETED, keeps results in pickles that appear only after
    sbatch has answered, and lets only the first of several processes save when a time limit comes.
    """

    def __init__(self, folder: Path, text: str) -> None:
        super().__init__(folder=folder)
        self.text = text

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        return self.text

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        without = (word for name in foreign(self.text) for word in ("-u", name))
        return ["env", *without, *super()._make_submission_command(submission_file_path)]


def submit(folder: Path, text: str) -> str:
    """Give a script to sbatch; returns SLURM's id of the job or array.

    Raises UserError with SLURM's own words, and slurm.Unreachable where its controller does not answer.
    """
    try:
        job_id: str = Executor(folder, text)._submit_command("").job_id
    except FailedJobError as error:
        words = " ".join(str(error).split())
        raise (slurm.Unreachable if slurm.UNREACHABLE.search(words) else UserError)(words) from error
    return job_id


def script(submission: Submission, part: Part, cluster: ClusterConfig, dependency: str | None = None) -> str:
    """The script of a part: what is asked of SLURM, the user's set-up, and the supervisor of job.py."""
    words = [submission.python, "-u", "-P", "-m", "mmdpo.slurm.supervisor"]
    # exec: were it a child of the script's shell, SLURM would end the shell and might leave it behind
    command = "exec " + shlex.join([*words, str(submission.folder.absolute()), part.kind, str(part.first)])
    return _make_sbatch_string(
        command=command, folder=submission.folder, **parameters(submission, part, cluster, dependency)
    )


def parameters(submission: Submission, part: Part, cluster: ClusterConfig, dependency: str | None) -> dict[str, Any]:
    """What a job is given, by submitit's names."""
    alone = part.kind == PREPARE  # one process makes what all points share
    gpus = min(cluster.gpus_per_node, 1) if alone else cluster.gpus_per_node
    code = submission.folder.absolute().parent / submission.code
    log = "%A_%a" if part.kind == TASKS else "%j"
    return {
        "job_name": f"mmdpo:{submission.study.name}" + (":prepare" if alone else ""),
        "time": cluster.timeout_min,
        "nodes": 1 if alone else cluster.nodes,
        "ntasks_per_node": 1 if alone else cluster.processes_per_node,
        "cpus_per_task": cluster.cpus_per_task,
        "gpus_per_node": gpus if gpus and not cluster.gres else None,
        "gres": GPUS_OF_GRES.sub(r"\g<1>:1", cluster.gres) if cluster.gres and alone else cluster.gres,
        "mem": cluster.mem,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "exclude": cluster.exclude,
        "mail_type": cluster.mail_type,
        "mail_user": cluster.mail_user,
        "dependency": dependency,
        "comment": comment(submission, part),
        "signal_delay_s": cluster.signal_delay_s,
        "setup": [*cluster.setup, f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"],
        "wckey": None,
        "stderr_to_stdout": True,
        "use_srun": False,  # the supervisor calls srun
        "map_count": None if alone else part.count,
        "array_parallelism": cluster.array_parallelism or part.count,
        "additional_parameters": {
            "requeue": True,
            "chdir": submission.cwd,
            "output": str(submission.folder.absolute() / f"{log}.log"),
            **({"kill-on-invalid-dep": "yes"} if dependency else {}),
            **{
                key.replace("_", "-"): value.lower() == "true" or value
                for key, value in cluster.additional_parameters.items()
            },
        },
    }


def foreign(text: str) -> list[str]:
    """The variables of this shell that must not reach a job.

    Those of a job that this shell itself runs in: the new one would take them for its own. And sbatch's
    defaults that are stronger than what its script says, but for those on which the script is silent.
    """
    silent = {name for name, option in DEFAULTS.items() if f"#SBATCH --{option}=" not in text}
    ours = [name for name in os.environ if name.startswith("SLURM_") and name not in OF_THE_SITE]
    return ours + [name for name in os.environ if name.startswith("SBATCH_") and name not in silent]


def refused(text: str) -> str:
    """Why SLURM would not take a script as things are now; empty where it would."""
    unset: dict[str, Any] = dict.fromkeys(foreign(text))
    try:
        slurm.run("sbatch", "--test-only", given=text, **unset)
    except UserError as error:
        return str(error)
    return ""
