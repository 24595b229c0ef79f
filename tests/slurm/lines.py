"""launch.py and python -m mmdpo on the tests' SLURM, with the smallest settings of the miniature."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.program import Program, completed, start_program
from tests.support.slurm.cluster import Cluster

SMALL = (
    "cluster=slurm",
    "cluster.gpus_per_node=0",
    "cluster.cpus_per_task=1",
    "tracking=none",
    "data.prompts=60",
    "bench.items=4",
    "bench.tasks=[text]",
)
LONG = (*SMALL, "train.num_train_epochs=30", "train.save_steps=1000", "beta=0.1", "stage=train")
"""A training that is long enough to be interrupted, and saves only when it is asked to."""


@dataclass
class Lines:
    """Commands of one user on one cluster; studies are in `out`."""

    cluster: Cluster
    out: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    study: str = "s"

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.out / self.study

    def launch(self, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `launch.py -m OVERRIDES` to its end."""
        return self._run(self._line(overrides), check)

    def launching(self, *overrides: str) -> Program:
        """Start `launch.py -m OVERRIDES`; its standard error goes to standard output."""
        return start_program(*self._line(overrides), environment=self._environment(), merge=True)

    def mmdpo(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `python -m mmdpo WORDS` to its end."""
        return self._run(["-m", "mmdpo", *words], check)

    def points(self) -> list[Path]:
        """Return the folders of the study's points."""
        return sorted(file.parent for file in self.folder.glob("*/status.json"))

    def status(self, piece: str = "") -> dict[str, Any]:
        """The status.json of the only point with this piece in its name; empty if there is none."""
        found = [point for point in self.points() if piece in point.name]
        assert len(found) < 2, found
        return json.loads((found[0] / "status.json").read_text()) if found else {}

    def losses(self, piece: str = "") -> list[float]:
        """Read the logged losses of a point's steps."""
        files = [point / "metrics.jsonl" for point in self.points() if piece in point.name]
        text = files[0].read_text() if files and files[0].exists() else ""
        return [json.loads(line)["loss"] for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def jobs(self) -> list[str]:
        """Return the SLURM ids of all parts of all submissions."""
        files = sorted(self.folder.glob("jobs/*/submission.json"))
        return [part["job"] for file in files for part in json.loads(file.read_text())["parts"]]

    def accounted(self) -> dict[str, str]:
        """The states of the study's jobs in sacct."""
        jobs = [job for job in self.jobs() if job]
        return self.cluster.accounted(",".join(jobs)) if jobs else {}

    def wait_for_steps(self, count: int, seconds: float = 120) -> None:
        """Wait until the study's only point has logged `count` steps."""
        self.cluster.wait_for(lambda: len(self.losses()) >= count, seconds, f"{count} steps")

    def wait_for_attempt(self, number: int) -> None:
        """Wait until the study's only point has started attempt `number`."""
        self.cluster.wait_for(lambda: self.status().get("attempts") == number, 120, f"attempt {number}")

    def wait_for_interruptions(self, count: int) -> None:
        """Wait until `count` attempts of the study's only point were interrupted."""
        self.cluster.wait_for(lambda: len(self.status()["interruptions"]) == count, 90, f"interruption {count}")

    def wait_for_end(self, seconds: float = 240) -> dict[str, str]:
        """Wait until no job of the study waits or runs, and return their states in SLURM."""

        def ended() -> dict[str, str]:
            states = self.cluster.run("squeue", "-h", "-r", "-t", "all", "-o", "%i %T", "-j", ",".join(self.jobs()))
            found = dict(line.split() for line in states.stdout.splitlines())
            live = {"PENDING", "RUNNING", "COMPLETING", "REQUEUED", "CONFIGURING", "SIGNALING"}
            return {} if live & set(found.values()) else found

        return self.cluster.wait_for(ended, seconds, "the end of all jobs")

    def _line(self, overrides: tuple[str, ...]) -> list[str]:
        return ["launch.py", "-m", f"out={self.out}", f"study={self.study}", *overrides]

    def _environment(self) -> dict[str, str]:
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        return {**self.cluster.environment, "OMP_NUM_THREADS": threads, **self.environment}

    def _run(self, arguments: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        done = completed(start_program(*arguments, environment=self._environment()))
        assert done.returncode == 0 or not check, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done
