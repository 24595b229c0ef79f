"""Time the main job cold, warm and repeated: `python benchmarks/sweep.py`.

Runs `launch.py -m method=dpo beta=0.1,0.2,0.3` with an empty cache, with a filled cache and an empty outputs folder,
and again with all points done. Figures are also given relative to the repeated run, to compare machines.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def seconds(cache: str, out: str) -> float:
    """Run the main job and return its wall time."""
    command = [sys.executable, "launch.py", "-m", "method=dpo", "beta=0.1,0.2,0.3", f"out={out}"]
    start = time.perf_counter()
    environment = {**os.environ, "MMDPO_CACHE": cache}
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def main() -> None:
    """Print a table and, last, one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        cache = f"{folder}/cache"
        figures = {
            "cold": seconds(cache, f"{folder}/first"),
            "warm": seconds(cache, f"{folder}/second"),
            "repeated": seconds(cache, f"{folder}/second"),
        }
    for name, value in figures.items():
        print(f"{name:<9} {value:6.1f} s   {value / figures['repeated']:5.1f} x a repeated run")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
