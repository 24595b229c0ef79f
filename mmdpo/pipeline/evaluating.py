"""Evaluation of a point in two steps: a model's answers (GPU, no network), and their judgments (no GPU)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdpo import provenance
from mmdpo.config.choices import AnswerEngine, Stage
from mmdpo.config.schema import BenchConfig, Config
from mmdpo.errors import UserError
from mmdpo.evaluation.answers import answer_share, made_with, take_answers, write_answers
from mmdpo.evaluation.judgments import bench_judge, write_judgments
from mmdpo.evaluation.peers import Peers
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.score_labels import judge_label
from mmdpo.evaluation.service_judge import close_jobs
from mmdpo.evaluation.statistics import score_json
from mmdpo.models.requests import Engine
from mmdpo.pipeline.contamination import write_overlap
from mmdpo.pipeline.engines import engine_of
from mmdpo.pipeline.point_samples import sample_sets_of
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, require_stage
from mmdpo.points.results import read_training
from mmdpo.points.reuse import same_model
from mmdpo.timings import timed
from mmdpo.training.announcement import launch_id
from mmdpo.training.distributed import rank, world_size

ANSWERING = "answers"
"""The kind of work around the answers to all tasks, for its time."""


def answer_tasks(p: Point) -> None:
    """Write the answers of the point's model to its tasks, or store those of a share, if they do not exist yet."""
    peers = _peers(p)
    if p.shard is not None:
        share = peers.part_of(p.shard, 0) if peers else p.shard
        answer_share(*_to_answer(p), share, p.shard.label)
        return
    to_answer = _to_answer(p)
    with _timed_around(to_answer[0]):
        write_answers(*to_answer, lambda: same_model(p.study, p.identity), peers)
        if p.role is Role.trained:
            write_overlap(p.config, to_answer[0], p.folder)


def answer_alone(p: Point) -> None:
    """Write the answers of a model to its tasks in this process, without those of other points or processes."""
    to_answer = _to_answer(p)
    with _timed_around(to_answer[0]):
        write_answers(*to_answer)


def _timed_around(sets: Sequence[SampleSet]) -> AbstractContextManager[object]:
    """Time what is done with answers besides giving them: images are fingerprinted and files written."""
    return timed(ANSWERING, sets=len(sets), answers=sum(len(one.asked) for one in sets))


def answer_nonzero_rank(p: Point) -> None:
    """Answer this process's share of a point's samples, as one that is not the first of several.

    An error is printed and does not end the others: the first process answers what this one leaves.
    """
    peers = _peers(p)
    if peers is None:
        return
    share, writer = peers.shard(rank()), peers.writer(rank())
    if p.shard is not None:
        share, writer = peers.part_of(p.shard, rank()), f"{p.shard.label}-{writer}"
    try:
        answer_share(*_to_answer(p), share, writer, peers.launch)
    except Exception:
        traceback.print_exc()


def _peers(p: Point) -> Peers | None:
    """Return the processes that answer together; None if one alone answers, or asks a server."""
    alone = world_size() == 1 or p.config.bench.engine is not AnswerEngine.model
    return None if alone else Peers(world_size(), launch_id())


def _to_answer(
    p: Point,
) -> tuple[list[SampleSet], Callable[[], Engine], dict[str, Any], BenchConfig, Path]:
    """Return what answers are made of: samples, engine, fingerprints, settings, and the point's folder."""
    config = p.config
    if config.bench.engine is not AnswerEngine.model:  # else when the model is loaded, if it is
        provenance.set_threads(config.cluster.threads)
    made_of = {**_model(config), "adapter": adapter_of(p)}
    return sample_sets_of(config), lambda: engine_of(p), made_of, config.bench, p.folder


def judge_answers(p: Point) -> dict[str, Any]:
    """Judge the point's answers and return scores, judge and fingerprints for its result, and amounts for its time.

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
    made_of = {"adapter": adapter_of(p)}
    take_answers(sets, made_of, config.bench, p.folder, lambda: same_model(p.study, p.identity))
    judged = write_judgments(sets, judge, made_of, config.bench, p.folder)
    if service.batch and not service.retry_unscored:  # a retry asks each item once, until all points are judged
        close_jobs(service, config.bench.tasks)
    origin = made_with(sets[0], p.folder)
    return {
        "scores": {name: score_json(score) for name, score in judged.scores.items()},
        "upstream": judged.upstream,
        "labels": judged.labels,
        "judge": judge_label(config.bench.judge),
        "fingerprints": {name: origin.get(name) for name in ("model", "processor")},
        "amounts": {"tasks": float(len(sets)), "answers": float(sum(len(one.asked) for one in sets))},
    }


def judging_kind(bench: BenchConfig) -> str:
    """Return the kind of work of judging by the judge of the benchmarks, for its time."""
    return f"judge/{bench.judge.client}"


def close_batch_jobs(configs: Iterable[Config]) -> None:
    """Note that the batch jobs of the points' judges are used, once all of these points are judged."""
    for config in configs:
        judge = config.bench.judge
        if judge.batch:
            close_jobs(judge, config.bench.tasks)


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
    """Return the fingerprint of the adapter of the point's model; None for a model without one.

    Raises UserError if the adapter is not the one that the training wrote. Earlier versions did not record it.
    """
    if p.adapter is None:
        return None
    from mmdpo.models.fingerprints import adapter_fingerprint

    found = adapter_fingerprint(p.adapter, "model.adapter")
    if p.role is not Role.trained:
        return found
    trained = (read_training(p.folder) or {}).get("adapter")
    if trained and found != trained:
        raise UserError(
            f"{p.folder / 'adapter'}: changed since it was trained. Restore it, or delete {p.folder} and rerun the "
            "same command to train it again"
        )
    return found
