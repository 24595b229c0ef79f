"""contamination.json of a trained point: what its training data share with the benchmarks that it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.evaluation.overlap import overlaps
from mmdpo.evaluation.samples import SampleSet
from mmdpo.files import write_json
from mmdpo.pipeline.data_stages import find_existing
from mmdpo.pipeline.training_sets import training_set
from mmdpo.points.results import CONTAMINATION
from mmdpo.points.rounds import is_ready, resolved


def write_overlap(config: Config, sets: Sequence[SampleSet], folder: Path) -> None:
    """Write the overlap of a point's training data with the tasks that are read from files.

    The miniature's items and its training data are made apart, and are not compared. The comparison is computed once
    for all points of the same data and tasks. Nothing is written where the training set is not on this machine: it is
    not made again for this.

    Args:
        config: The config of a trained point.
        sets: Its sample sets.
        folder: The point's folder.
    """
    real = [one for one in sets if one.task.bench_files and not one.variant]
    if real and (config.data.is_own or (is_ready(config) and find_existing(resolved(config), Stage.build))):
        data = training_set(resolved(config))
        found = overlaps(data.examples, data.image_root, real)
        write_json(folder / CONTAMINATION, {name: asdict(overlap) for name, overlap in found.items()})
