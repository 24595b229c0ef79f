"""Compare the winner of halving with that of the full grid: `python benchmarks/halving.py OUT [SEEDS]`.

The paper's grid on the miniature with larger learning rates, once per seed. Every point is trained to the end and
measured on dev at each rung, so that halving's decisions can be made from the same files: a survivor is bit-equal to
the point run alone. OUT keeps what is done; rerun the command to continue.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path

RUNGS = (0.25, 0.5)
GRID = list(itertools.product((0.1, 0.2, 0.3), (2e-4, 5e-5), (False, True)))


def regret(out: str, seed: int) -> tuple[float, float, float]:
    """Run what is missing of one seed's grid; return the best score, the winner's of halving, and the training's share.

    Args:
        out: The folder of the studies.
        seed: The seed of the trainings.
    """
    from mmdpo.config.choices import Stage
    from mmdpo.entry.compose import compose_config
    from mmdpo.models.model_cache import use_model_cache
    from mmdpo.points.point import points_of
    from mmdpo.points.results import read_result
    from mmdpo.points.rungs import read_rung
    from mmdpo.points.search_record import FILE
    from mmdpo.points.status import is_done
    from mmdpo.sweep.halving import not_pruned_before
    from mmdpo.sweep.run_point import run_point, run_rung
    from mmdpo.sweep.rung_decisions import decide_rung

    common = ("sweep=beta_lr_grid", "search=halving", "tracking=none", "bench.split=dev", "bench.tasks=[text]")
    assumed = "search.correlation=0.9"  # as in a search that has no finished points
    whole = dataclasses.replace(compose_config((*common, assumed)), out=out, study=f"seed-{seed}", seed=seed)
    points = points_of(dataclasses.replace(whole, beta=b, lr=lr, logprob_avg=avg) for b, lr, avg in GRID)
    with use_model_cache():
        for p in points:
            for share in RUNGS:
                if read_rung(p.folder, share) is None:
                    run_rung(p, share)
            if not is_done(p.folder):
                run_point(p, Stage.experiment)
    (points[0].study / FILE).unlink(missing_ok=True)  # decide as this version does
    cost, last = 0.0, 0.0
    for share in RUNGS:
        alive = not_pruned_before(points, share)
        cost, last = cost + len(alive) * (share - last), share
        decide_rung(alive, share)
    survivors = not_pruned_before(points, 1.0)
    scores = {p.name: float(read_result(p.folder)["scores"]["text"]["value"]) for p in points}
    cost += len(survivors) * (1 - last)
    return max(scores.values()), max(scores[p.name] for p in survivors), cost / len(points)


def main(out: str, seeds: int) -> None:
    """Print a line per seed and, last, one JSON object."""
    losses, costs = [], []
    for seed in range(seeds):
        best, found, cost = regret(str(Path(out).resolve()), seed)
        losses.append(best - found)
        costs.append(cost)
        print(f"seed {seed}: best {best:.3f}, halving {found:.3f}, {100 * cost:.0f} % of the training", flush=True)
    figures = {
        "seeds": seeds,
        "mean_loss": sum(losses) / seeds,
        "largest_loss": max(losses),
        "cost": sum(costs) / seeds,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20)
