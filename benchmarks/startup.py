"""What `launch.py --cfg job` costs beside a bare Hydra application: python benchmarks/startup.py

Both answer the same question in turns; the medians' difference is what mmdpo adds.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BARE = """\
import hydra


@hydra.main(config_path=None, version_base="1.3")
def main(config):
    pass


main()
"""


def seconds(script: Path) -> float:
    """Wall time of one `--cfg job`."""
    start = time.perf_counter()
    command = [sys.executable, str(script), "--cfg", "job"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(runs: int = 11) -> None:
    """Time both in turns and print a table and, last, one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        scripts = {"bare Hydra application": bare, "launch.py": ROOT / "launch.py"}
        times: dict[str, list[float]] = {name: [] for name in scripts}
        for _ in range(runs):
            for name, script in scripts.items():
                times[name].append(seconds(script))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(
            f"{name:<24} median {medians[name]:.2f} s   {min(values):.2f} to {max(values):.2f} s, {runs} runs"
        )
    bare_seconds, launch_seconds = medians.values()
    print(json.dumps({"bare": bare_seconds, "launch": launch_seconds, "more": launch_seconds - bare_seconds}))


if __name__ == "__main__":
    main()
