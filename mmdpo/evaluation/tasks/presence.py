"""Questions of the miniature about the presence of a thing in the image, in the manner of POPE."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.detectable import MINIATURE, Detectable
from mmdpo.evaluation.scorers import YES_NO_METRICS, yes_no
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import Task
from mmdpo.records import Prompt


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Make the questions and their images."""
    from mmdpo.nano.items import presence_items

    return presence_items(bench.items, bench.split.value, bench.seed, folder)


TASK = Task(
    label="presence (accuracy)",
    samples=samples,
    solver=single_turn,
    scorer=yes_no,
    metrics=YES_NO_METRICS,
    main_metric="accuracy",
    reads=("items",),
    detectable=Detectable(0.026, 240, MINIATURE),
    order=30,
    package="mmdpo.nano",
)
