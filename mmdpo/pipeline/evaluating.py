"""Evaluation of a point in two steps: a model's answers (GPU, no network), and their judgments (no GPU)."""

from __future__ import annotations

from typing import Any

from mmdpo import provenance
from mmdpo.config.choices import Stage
from mmdpo.config.schema import Config, JudgeConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.answers import made_with, write_answers
from mmdpo.evaluation.judgments import bench_judge, write_judgments
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.evaluation.statistics import score_json
from mmdpo.judge.rubric import load_rubric
from mmdpo.models.requests import Engine
from mmdpo.pipeline.overlap import write_overlap
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, require_stage
from mmdpo.points.results import read_training


def answer_tasks(p: Point) -> None:
    """Write the answers of the point's model to its tasks, if they do not exist yet."""
    config = p.config
    provenance.set_threads(config.cluster.threads)
    made_of = {**_model(config), "adapter": adapter_of(p)}
    sets = _sample_sets(config)
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
    sets = _sample_sets(config)
    judge = bench_judge(config.bench.judge)
    judged = write_judgments(sets, judge, {"adapter": adapter_of(p)}, config.bench, p.folder)
    origin = made_with(sets[0], p.folder)
    return {
        "scores": {name: score_json(score) for name, score in judged.scores.items()},
        "upstream": judged.upstream,
        "judge": judge_label(config.bench.judge),
        "fingerprints": {name: origin.get(name) for name in ("model", "processor")},
    }


def judge_label(judge: JudgeConfig) -> str:
    """Return the name of a judge for tables: that of the rules, or of the service's model."""
    return judge.model or judge.client


def _sample_sets(config: Config) -> list[SampleSet]:
    """Return the sample sets of a point; only a trained model is asked for ratings."""
    requested = {} if config.is_base else config.method.attributes
    rubric = load_rubric(config.judge.rubric)
    attributes = {name: requested[name] for name in rubric.attributes if name in requested}  # in the rubric's order
    return sample_sets(config.bench, attributes, config.model.attribute_template)


def _engine(p: Point) -> Engine:
    """Return what answers the benchmarks of a point: its model, with its adapter if it is trained."""
    from mmdpo.models.adapter import merged
    from mmdpo.models.device import on_device
    from mmdpo.models.engine import ModelEngine
    from mmdpo.models.loading import load_model, load_processor

    model, bench = p.config.model, p.config.bench
    loaded = merged(model, p.folder / "adapter") if p.role is Role.trained else load_model(model.path, model.dtype)
    return ModelEngine(on_device(loaded), load_processor(model), bench.batch_size, bench.max_new_tokens, bench.seed)


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
