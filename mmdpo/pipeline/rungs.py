"""A point at a rung: trained to a share of its steps, answered and judged on the dev split.

Each step writes files and is done once: a killed command continues where it ended.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import asdict

from mmdpo.activity import report_saved
from mmdpo.analysis.warning_lines import chosen_below_reference
from mmdpo.config.choices import SearchKind, Split
from mmdpo.config.judging_place import is_judged_apart
from mmdpo.config.schema import BenchConfig, Config
from mmdpo.console import print_line
from mmdpo.files import fingerprint, write_json
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.pipeline import evaluating
from mmdpo.pipeline.point_stages import finished_training, take_known_training, tracker_of, train_to_rung
from mmdpo.points.identity import under
from mmdpo.points.point import Point
from mmdpo.points.results import ADAPTER, TRAINING, read_training
from mmdpo.points.rungs import RungScore, is_rung_trained, read_rung, rung_folder, rung_name, rung_tasks, write_rung
from mmdpo.signals import raise_if_asked
from mmdpo.timings import timed
from mmdpo.training.rungs import Rung

BENCH = frozenset(["bench", "nano.version"])
"""The settings of an identity that a measurement depends on."""


def run_to_rung(p: Point, share: float) -> RungScore | None:
    """Train a point to a rung and measure it there, as far as this is not done yet.

    Args:
        p: A trained point.
        share: The rung, as a share of the point's optimizer steps.

    Returns:
        The measurement; None for a point whose training is finished and was not measured at this rung.

    Raises:
        UserError: The rung cannot be reached, or the answers cannot be judged.
        Stopped: A limit of the judge ended the run.
    """
    train_to(p, share)
    raise_if_asked()
    return measure_rung(p, share)


def train_to(p: Point, share: float) -> None:
    """Train a point to a rung, unless it is trained to the end or the rung's adapter is there.

    The first of several processes calls this, and the others `follow_to`.
    """
    if is_rung_trained(p.folder, share) or finished_training(p) is not None or take_known_training(p):
        return
    folder = rung_folder(p.folder, share)
    with tracker_of(p) as tracker:
        summary = train_to_rung(p, _rung(p, share), tracker)
    write_json(folder / TRAINING, {**asdict(summary), "adapter": adapter_fingerprint(folder / ADAPTER)})
    report_saved(rung_name(share), summary.steps)


def follow_to(p: Point, share: float) -> None:
    """Train a point to a rung together with other processes, as one that is not the first of them."""
    train_to_rung(p, _rung(p, share))


def _rung(p: Point, share: float) -> Rung:
    """Return a rung with the settings to change if it cannot be reached: those of `search`, or else of the sweeper."""
    adapter = rung_folder(p.folder, share) / ADAPTER
    if p.config.search.kind is not SearchKind.none:
        return Rung(share, adapter)
    return Rung(share, adapter, "hydra.sweeper.rungs", "hydra/sweeper/pruner=none")


def measure_rung(p: Point, share: float) -> RungScore | None:
    """Answer and judge a trained rung, unless it has a valid measurement.

    Args:
        p: The point.
        share: The rung.

    Returns:
        The measurement; None for a point without an adapter at this rung, and for one that a service judges later.
    """
    if not is_rung_trained(p.folder, share):
        return None
    known = read_rung(p.folder, share)
    if known is not None and known.measured == measured_with(p):
        return known
    started = time.monotonic()
    answer_rung(p, share)
    raise_if_asked()
    if is_judged_apart(p.config.bench.judge.client, p.config.cluster.runner):
        print_line(f"{p.name} is answered at rung {share:g}; cluster.judge={p.config.cluster.judge} judges it")
        return None
    return judge_rung(p, share, time.monotonic() - started)


def answer_rung(p: Point, share: float) -> None:
    """Write the answers of a rung's adapter to the dev samples of the objective's benchmark."""
    evaluating.answer_alone(point_at(p, share))


def judge_rung(p: Point, share: float, seconds: float = 0.0) -> RungScore:
    """Judge the answers of a rung and write its measurement.

    Args:
        p: The point.
        share: The rung.
        seconds: The seconds that answering took.

    Returns:
        The measurement.
    """
    started = time.monotonic()
    with timed(evaluating.judging_kind(p.config.bench)) as block:
        judged = evaluating.judge_answers(point_at(p, share))
        block.amounts |= judged["amounts"]
    training = read_training(rung_folder(p.folder, share)) or {}
    step = int(training.get("steps", 0))
    score = RungScore(
        share=share,
        step=step,
        scores=judged["scores"],
        measured=measured_with(p),
        below_reference=chosen_below_reference(p.folder, step),
        seconds=round(float(training.get("seconds", 0.0)) + seconds + time.monotonic() - started, 3),
    )
    write_rung(p.folder, score)
    value = score.value(p.config.objective)
    shown = "no score" if value is None else f"{value:.4g}"
    print_line(f"{p.name}: {p.config.objective} {shown} on dev at rung {share:g} (step {step})")
    return score


def point_at(p: Point, share: float) -> Point:
    """Return a rung as a point of its own, whose folder is in that of the point, measured on dev samples."""
    config = dataclasses.replace(p.config, bench=rung_bench(p.config))
    return dataclasses.replace(p, config=config, name=f"{p.name}/{rung_name(share)}")


def rung_bench(config: Config) -> BenchConfig:
    """Return the settings of the measurement at rungs: the objective's benchmark, on its dev split."""
    chosen = rung_tasks(config.objective, config.bench.tasks)
    return dataclasses.replace(config.bench, tasks=chosen, split=Split.dev, shard=None)


def measured_with(p: Point) -> str:
    """Return a fingerprint of what a measurement at a rung depends on, besides the adapter."""
    settings = point_at(p, 0.5).identity.settings
    return fingerprint({key: value for key, value in settings.items() if under(key, BENCH)})
