"""Points of a sweep at a rung: trained to it and measured there, in turn or several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from mmdpo.config.choices import Runner, Stage
from mmdpo.errors import Outstanding
from mmdpo.models.model_cache import use_model_cache
from mmdpo.points.point import Point
from mmdpo.sweep.parallel import run_parallel
from mmdpo.sweep.run_point import run_rung
from mmdpo.sweep.stops import raise_stopped
from mmdpo.training.distributed import world_size

Prune = Callable[[Sequence[Point]], tuple[list[Point], dict[Path, str]]]
"""Function that trains points to rungs; it returns those to run to the end, and the reasons of failed ones."""


def run_to_rung(points: Sequence[Point], share: float) -> dict[Path, str]:
    """Train points to a rung and measure them there.

    Args:
        points: Trained points of one command.
        share: The rung, as a share of a point's optimizer steps.

    Returns:
        The reasons of the points that failed, by their folders.
    """
    if points and points[0].config.cluster.runner is Runner.parallel:
        return run_parallel(points, Stage.experiment, share)
    errors, stops = {}, []
    with use_model_cache() if world_size() == 1 else nullcontext():
        for p in points:
            try:
                if error := run_rung(p, share):
                    errors[p.work_folder] = error
            except Outstanding as stop:  # the others submit their batch jobs before anyone waits
                stops.append(stop)
    raise_stopped(stops)
    return errors
