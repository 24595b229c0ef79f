"""Time commands apart from their work: `python benchmarks/launch.py`.

First `--cfg job`, alternating with a bare Hydra application. Then, on the tests' SLURM (.ci/install_slurm) with jobs
that end at once: plan and submission of 1,000 and 10,000 points, and their status. Last, a command over 100 finished,
synthetic points, which draws their figures, and the same command again, which finds them drawn.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mmdpo.entry.compose import compose_config  # noqa: E402
from mmdpo.points.identity import Role  # noqa: E402
from mmdpo.points.point import Point, baselines, point  # noqa: E402
from mmdpo.points.records import write_record  # noqa: E402
from tests.support.slurm.cluster import Cluster, cluster  # noqa: E402
from tests.support.studies import make_point  # noqa: E402

BARE = """\
import hydra


@hydra.main(config_path=None, version_base="1.3")
def main(config):
    pass


main()
"""
JOBS = [
    "cluster=slurm",
    "cluster.gpus_per_node=0",
    "cluster.cpus_per_task=1",
    "cluster.wait=false",
    "cluster.setup=[exit]",
]


def seconds(*arguments: object, environment: Mapping[str, str] | None = None, allowed: int = 0) -> float:
    """Run `python ARGUMENTS` and return its wall time, start included.

    Args:
        *arguments: The command line.
        environment: Environment variables; None for this process's.
        allowed: Exit code that is accepted besides 0.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, allowed):
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - start


def of_startup(folder: Path, runs: int) -> dict[str, float]:
    """Measure the median seconds of `--cfg job`, of a bare application and ours."""
    bare = folder / "bare.py"
    bare.write_text(BARE)
    scripts = {"bare": bare, "launch": ROOT / "launch.py"}
    times: dict[str, list[float]] = {name: [] for name in scripts}
    for _ in range(runs):
        for name, script in scripts.items():
            times[name].append(seconds(script, "--cfg", "job"))
    return {name: statistics.median(values) for name, values in times.items()}


def of_submission(running: Cluster, out: Path, points: int) -> tuple[float, float]:
    """Measure the seconds to submit jobs for a number of points, and to show their status."""
    line = ["-m", f"seed=range({points})", *JOBS, f"out={out}", f"study=of_{points}"]
    submitted = seconds("launch.py", *line, environment=running.environment)
    status = ["-m", "mmdpo", "status", out / f"of_{points}"]  # 1: the jobs that did nothing have failed
    looked = seconds(*status, environment=running.environment, allowed=1)
    return submitted, looked


def of_finished(out: Path, points: int) -> tuple[float, float]:
    """Measure the seconds of a command whose points are done, and of the same command again."""
    line = [f"out={out}", "study=finished"]
    configs = [compose_config([*line, f"seed={seed}"]) for seed in range(points)]
    for p in [*map(point, configs), *baselines(configs[0])]:
        finished(p)
    first, second = (seconds("launch.py", "-m", f"seed=range({points})", *line) for _ in range(2))
    return first, second


def finished(p: Point) -> None:
    """Write the folder of a synthetic finished point, with the config that a run would write."""
    role = "trained" if p.role is Role.trained else p.role.value
    made_up = make_point(p.study, {"seed": p.config.seed}, role=role, n=p.config.bench.items)
    made_up.rename(p.folder)
    OmegaConf.save(OmegaConf.structured(p.config), p.folder / "config.yaml")
    write_record(p.folder, p.identity)


def main(runs: int = 11) -> None:
    """Measure; print a table and, last, one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        startup = of_startup(folder, runs)
        drawing, second = of_finished(folder, 100)
        with cluster(extra="MaxJobCount=30000") as running:
            of_1000, status = of_submission(running, folder, 1000)
            of_10000, _ = of_submission(running, folder, 10_000)
    figures = {
        "bare": startup["bare"],
        "launch": startup["launch"],
        "more": startup["launch"] - startup["bare"],
        "submit_1000": of_1000,
        "submit_10000": of_10000,
        "status_1000": status,
        "drawing_100": drawing,
        "second_line_100": second,
    }
    print(f"--cfg job: bare Hydra application   {figures['bare']:.2f} s, median of {runs}")
    print(f"           launch.py                {figures['launch']:.2f} s, {figures['more']:.2f} s more")
    print(f"plan and submission of  1,000 points {of_1000:5.1f} s")
    print(f"plan and submission of 10,000 points {of_10000:5.1f} s")
    print(f"status of 1,000 points               {status:5.1f} s")
    print(f"command over 100 finished points     {drawing:5.1f} s, drawing their figures")
    print(f"the same command again               {second:5.1f} s")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
