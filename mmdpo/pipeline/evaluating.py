"""Evaluation of a point in two steps: a model's answers (GPU, no network), and their judgments (no GPU)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdpo import provenance
from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config
from mmdpo.errors import UserError
from mmdpo.evaluation.answers import made_with, write_answers
from mmdpo.evaluation.judgments import bench_judge, write_judgments
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.evaluation.score_labels import judge_label
from mmdpo.evaluation.service_judge import close_jobs
from mmdpo.evaluation.statistics import score_json
from mmdpo.judge.rubric import load_rubric
from mmdpo.models.requests import Engine
from mmdpo.pipeline.engines import engine_of
from mmdpo.pipeline.overlap import write_overlap
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, require_stage
from mmdpo.points.results import read_training


def answer_tasks(p: Point) -> None:
    """Write the answers of the point's model to its tasks, if they do not exist yet."""
    config = p.config
    provenance.set_threads(config.cluster.threads)
    made_of = {**_model(config), "adapter": adapter_of(p)}
    sets = sample_sets_of(config)
    write_answers(sets, lambda: _engine(p), made_of, config.bench, p.folder)
    if p.role is Role.trained:
        write_overlap(config, sets, p.folder)


def judge_answers(p: Point) -> dict[str, Any]:
    """Judge the point's answers and return scores, judge and fingerprints for its result.

    The answers are compared with the adapter and the samples as they are now. The base model's files are not: judging
    runs where they may be absent.

    Raises:
        UserError: There are no answers, or they were made of something else; the message names stage=evaluate.
        Stopped: A limit of the judge ended the run.
    """
    require_stage(p, Stage.judge)
    config = p.config
    sets = sample_sets_of(config)
    again = config.stage is Stage.judge and config.judge.retry_unscored  # both judges' settings ask again
    service = replace(config.bench.judge, retry_unscored=config.bench.judge.retry_unscored or again)
    judge = bench_judge(service)
    judged = write_judgments(sets, judge, {"adapter": adapter_of(p)}, config.bench, p.folder)
    if service.batch and not service.retry_unscored:  # a retry asks each item once, until all points are judged
        close_jobs(service, config.bench.tasks)
    origin = made_with(sets[0], p.folder)
    return {
        "scores": {name: score_json(score) for name, score in judged.scores.items()},
        "upstream": judged.upstream,
        "labels": judged.labels,
        "judge": judge_label(config.bench.judge),
        "fingerprints": {name: origin.get(name) for name in ("model", "processor")},
    }


def close_batch_jobs(configs: Iterable[Config]) -> None:
    """Note that the batch jobs of the points' judges are used, once all of these points are judged."""
    for config in configs:
        judge = config.bench.judge
        if judge.batch:
            close_jobs(judge, config.bench.tasks)


def sample_sets_of(config: Config, scratch: Path | None = None) -> list[SampleSet]:
    """Return the sample sets of a point; only a trained model is asked for ratings.

    New samples are written into `scratch` if it is given, and else into the cache.
    """
    requested = {} if config.is_base else config.method.attributes
    rubric = load_rubric(config.judge.rubric)
    attributes = {name: requested[name] for name in rubric.attributes if name in requested}  # in the rubric's order
    return sample_sets(config.bench, attributes, config.model.attribute_template, scratch)


def _engine(p: Point) -> Engine:
    """Return what answers the benchmarks of a point."""
    return engine_of(p)


def _model(config: Config) -> dict[str, Any]:
    """Fingerprint the base model, with the number format that it computes in."""
    from mmdpo.models.fingerprints import processor_fingerprint, weights_fingerprint

    model = config.model
    return {
        "model": weights_fingerprint(model.path),
        "processor": processor_fingerprint(model),
        "dtype": model.dtype,
    }


def adapter_of(p: Point) -> str | None:
    """Return the fingerprint of the point's adapter; None for a model that was not trained.

    Raises UserError if the adapter is not the one that the training wrote. Earlier versions did not record it.
    """
    if p.role is not Role.trained:
        return None
    from mmdpo.models.fingerprints import adapter_fingerprint

    found, trained = adapter_fingerprint(p.folder / "adapter"), (read_training(p.folder) or {}).get("adapter")
    if trained and found != trained:
        raise UserError(
            f"{p.folder / 'adapter'}: changed since it was trained. Restore it, or delete {p.folder} and rerun the "
            "same command to train it again"
        )
    return found
