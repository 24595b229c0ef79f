"""A real SLURM on this machine for the tests, with two simulated nodes and daemons of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from tests.support.slurm.configuration import NODES, Settings, free_ports, host, write_configuration
from tests.support.slurm.daemons import PATH, ClusterError, Daemons, found, last_words

PROGRAMS = "setpriv munged munge slurmctld slurmd sbatch srun squeue scontrol"
ACCOUNTING = "slurmdbd sacct sacctmgr mariadbd"
FOREIGN = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SACCT_", "SALLOC_")  # of a cluster around the tests
TABLES = Path("/usr/share/mysql")


def missing(accounting: Literal["dbd", "none"] = "dbd") -> str:
    """Return why no cluster can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root here"
    absent = [name for name in (PROGRAMS + " " + ACCOUNTING).split() if not found(name)]
    if accounting == "none":
        absent = [name for name in absent if name in PROGRAMS.split()]
    if absent:
        return f"{', '.join(absent)} not installed: .ci/install_slurm"
    for name in (host(), *NODES):
        try:
            here = socket.gethostbyname(name).startswith("127.")
        except OSError:
            here = False
        if not here:
            return f"the name {name} is not 127.0.0.1: .ci/install_slurm"
    return ""


@contextlib.contextmanager
def cluster(settings: Settings | None = None, **changes: Any) -> Iterator[Cluster]:
    """Start a cluster; at the end, or if it does not start, end all of its processes.

    Keywords are fields of Settings: `cluster(accounting="none", max_array_size=10)`.
    """
    folder = Path(tempfile.mkdtemp(prefix="mmdpo-slurm-"))  # short: sockets allow 107 characters
    running = Cluster(folder, replace(settings or Settings(), **changes))
    try:
        running.start()
        yield running
    finally:
        running.end()
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A running cluster. Its folder is separate from the folders of jobs."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self._ports = free_ports()
        self._variable = f"SLURM_CONF={folder}/slurm.conf"
        self._daemons = Daemons(folder, {"PATH": PATH, "SLURM_CONF": f"{folder}/slurm.conf"})

    # ---- asking it

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this process with SLURM_CONF, by which sbatch, squeue and sacct find the cluster."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {**own, "SLURM_CONF": f"{self.folder}/slurm.conf"}

    def run(
        self,
        *words: str | Path,
        check: bool = True,
        seconds: float = 60,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Raises AssertionError with its output if it fails, unless `check` is False."""
        done = subprocess.run(
            [str(word) for word in words],
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=None if "input" in options else subprocess.DEVNULL,
            **options,
        )
        assert done.returncode == 0 or not check, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def submit(self, script: str, *options: str | Path, folder: Path) -> str:
        """Submit a shell script that runs and writes its output in `folder`; returns the id of the job or array."""
        text = script if script.startswith("#!") else "#!/bin/bash\n" + script
        return self.run("sbatch", "--parsable", *options, input=text, cwd=folder).stdout.strip()

    def job_states(self, job_id: str | int) -> dict[str, str]:
        """Return the states of a job in the controller, without accounting: {"7": ...} or {"7_0": ..., "7_1": ...}."""
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i %T", "-j", str(job_id)).stdout
        return dict(line.split() for line in lines.splitlines())

    def job(self, job_id: str | int) -> dict[str, str]:
        """Return the fields of `scontrol show job` for a job or for one task of an array."""
        line = self.run("scontrol", "show", "job", "-o", str(job_id)).stdout
        return dict(word.split("=", 1) for word in line.split() if "=" in word)

    def accounted(self, job_id: str | int, *options: str) -> dict[str, str]:
        """Return the states of a job in sacct, without its steps: {"7_0": "COMPLETED", ...}. Needs accounting `dbd`."""
        lines = self.run("sacct", "-X", "-n", "-P", "-o", "JobID,State", "-j", str(job_id), *options).stdout
        return dict(line.split("|") for line in lines.splitlines())

    def wait_for(self, predicate: Callable[[], Any], seconds: float, what: str) -> Any:
        """Return the predicate's value when it becomes true. Raises AssertionError with the queue after `seconds`."""
        limit = time.monotonic() + seconds
        while not (value := predicate()):
            if time.monotonic() > limit:
                queue = self.run("squeue", "-r", "-t", "all", check=False).stdout
                raise AssertionError(f"not within {seconds} s: {what}\n{queue}\n{last_words(self.folder)}")
            time.sleep(0.1)
        return value

    def wait_for_state(self, job_id: str | int, state: str, seconds: float = 30) -> None:
        """Wait until a job, or every task of an array, is in a state."""
        self.wait_for(lambda: set(self.job_states(job_id).values()) == {state}, seconds, f"{job_id} {state}")

    def time_out(self, job_id: str | int, warned: bool = True) -> None:
        """Move a running job's time limit to 31 s from now, or 1 s without `warned`. Returns at once.

        slurmctld checks time limits every 30 s. With `warned` it sends the signal at the next check, in
        0 to 30 s, and SIGTERM 30 s later, or 60 s if it had checked within a second: within 62 s from here.
        Otherwise it sends both at the next check. SIGKILL follows after Settings.kill_wait.

        `--signal=USR2@S` goes to the tasks of all steps, `B:USR2@S` to the batch script alone; SIGTERM to
        all of them. The state is COMPLETING and then TIMEOUT; SLURM requeues no job for it.
        """
        end = datetime.now() + timedelta(seconds=31 if warned else 1)
        self.run("scontrol", "update", f"JobId={job_id}", f"EndTime={end:%Y-%m-%dT%H:%M:%S}")

    # ---- its daemons

    def start(self) -> None:
        """Start all daemons. Raises ClusterError with the ends of their logs."""
        if reason := missing(self.settings.accounting):
            raise ClusterError(reason)
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir(mode=0o700)
        write_configuration(self.folder, self.settings, self._ports)
        self._start_munge()
        if self.settings.accounting == "dbd":
            self._start_database()
            self._start_accounting()
        self.start_controller()
        for node in NODES:
            (self.folder / f"spool.{node}").mkdir()
            self._daemons.start(f"slurmd.{node}", "slurmd", "-D", "-N", node)
        self._daemons.wait(f"slurmd.{NODES[-1]}", self._busy_nodes)

    def end(self) -> None:
        """Kill the daemons, and the processes of jobs that are still there."""
        self._daemons.kill_all(self._variable)

    def start_controller(self) -> None:
        """Start slurmctld, from its saved state if there is one."""
        self._daemons.start("slurmctld", "slurmctld", "-D")
        self._daemons.wait("slurmctld", lambda: self._complaint("scontrol", "ping"))

    def kill_controller(self) -> None:
        """Send SIGKILL to slurmctld. Jobs keep running; squeue and sbatch fail after 9 s until `start_controller`.

        Its state is saved every few seconds: a job submitted just before is lost.
        """
        self._daemons.stop("slurmctld", signal.SIGKILL)

    def restart_controller(self, **changes: Any) -> None:
        """Stop slurmctld with SIGTERM and start it again; keywords change Settings permanently."""
        self._daemons.stop("slurmctld")
        self.settings = replace(self.settings, **changes)
        write_configuration(self.folder, self.settings, self._ports)
        self.start_controller()

    def _complaint(self, *words: str) -> str:
        """Return the error message of a command; empty if it succeeds."""
        try:
            done = self.run(*words, check=False, seconds=20)
        except subprocess.TimeoutExpired:
            return f"{words[0]} hangs"
        return (done.stderr or done.stdout).strip() or "fails" if done.returncode else ""

    def _busy_nodes(self) -> str:
        nodes = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T", check=False).stdout
        return "" if nodes.split()[1::2] == ["idle"] * len(NODES) else f"not idle: {nodes}"

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        own = {"key-file": key.name, "socket": "munge.socket", "pid-file": "munged.pid"}
        own |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        options = [f"--{name}={self.folder / file}" for name, file in own.items()]
        options += ["--force", "--num-threads=2"]  # force: also in a folder that only root can enter
        self._daemons.start("munged", "munged", "--foreground", *options)
        self._daemons.wait("munged", lambda: self._complaint("munge", "-n", f"-S{self.folder}/munge.socket"))

    def _start_database(self) -> None:
        """Start mariadbd on a socket, without durability, because its data are deleted with the cluster."""
        data, unix_socket = self.folder / "database", self.folder / "mariadb.socket"
        data.mkdir(mode=0o700)
        words = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-log-bin"]
        words += ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--key-buffer-size=1M"]
        words += [
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-innodb-doublewrite",
            "--performance-schema=OFF",
        ]
        # Debian's mariadb-install-db belongs to the client's package, which is not needed for anything else.
        tables = [TABLES / f"mysql_{name}.sql" for name in ("system_tables", "performance_tables")]
        tables += [TABLES / "mysql_system_tables_data.sql"]
        made = subprocess.run(
            [str(found(words[0])), *words[1:], "--bootstrap", "--enforce-storage-engine="],
            input="CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket='root';\n"
            + "\n".join(table.read_text() for table in tables)
            + "\nCREATE DATABASE slurm;\n",
            text=True,
            capture_output=True,
        )
        if made.returncode:
            raise ClusterError(f"no database could be made:\n{made.stderr[-2000:]}")
        self._daemons.start("mariadbd", *words, "--skip-networking", f"--socket={unix_socket}")
        self._daemons.wait("mariadbd", lambda: _deaf(unix_socket))

    def _start_accounting(self) -> None:
        unix_socket = str(self.folder / "mariadb.socket")
        self._daemons.start("slurmdbd", "slurmdbd", "-D", MYSQL_UNIX_PORT=unix_socket)
        self._daemons.wait("slurmdbd", lambda: self._complaint("sacctmgr", "-n", "list", "cluster"))
        self.run("sacctmgr", "-i", "add", "cluster", "tests")


def _deaf(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as probe:
        return "nobody listens" if probe.connect_ex(str(path)) else ""
