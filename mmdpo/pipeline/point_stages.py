"""What each `stage=` does with one point, from data to scores; each can run alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mmdpo import provenance
from mmdpo.config.choices import Stage, TrainOn
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.errors import UserError
from mmdpo.files import fingerprint, read_json, write_json
from mmdpo.pipeline.data_stages import (
    DATA_STAGES,
    before,
    check_stage,
    made,
    outcome,
    pipeline,
    require,
    retried,
)
from mmdpo.pipeline.training_sets import training_set
from mmdpo.points.identity import Role, flatten
from mmdpo.points.point import Point
from mmdpo.points.records import identity_of
from mmdpo.signals import raise_if_asked
from mmdpo.tracking import Tracker

if TYPE_CHECKING:
    from mmdpo.training.run import TrainSummary


def experiment(p: Point) -> None:
    """Train, where the point is trained and this is not done yet, and measure."""
    started = time.monotonic()
    with _tracker(p) as tracker:
        training = _trained(p, tracker) if p.role is Role.trained else None
        raise_if_asked()
        scores = measure(p)
        result = {
            "point": p.name,
            "identity": identity_of(p.folder) or p.identity.hex,
            "study": p.config.study,
            "role": p.role.value,
            "axes": p.axes,
            "scores": scores,
            "training": training,
            "judge": p.config.bench.judge,
            "fingerprints": _fingerprints(p, training),
            "versions": provenance.versions(),
            "git": provenance.git_commit(),
            "seconds": round(time.monotonic() - started, 1),
        }
        write_json(p.folder / "result.json", result)
        tracker.summary({name: value["value"] for name, value in scores.items()})


def train(p: Point) -> None:
    """Train the adapter of a point, where this is not done yet."""
    with _tracker(p) as tracker:
        _trained(p, tracker)


def _tracker(p: Point) -> Tracker:
    return Tracker(
        p.folder,
        p.config.tracking,
        run_id=fingerprint([p.config.study, p.name]),
        name=p.name,
        study=p.config.study,
        job_type="train" if p.role is Role.trained else "evaluate",
        tags=[p.role.value, p.config.method.name, p.config.model.name, p.config.data.name],
        config=flatten(p.config),
    )


def train_nonzero_rank(p: Point) -> None:
    """The part of a process that trains together with others and is not the first of them."""
    _train(p, lambda metrics, step: None, lambda step: None)


def _trained(p: Point, tracker: Tracker) -> dict[str, Any]:
    """How the training went; it is done now where it is not yet."""
    done = p.folder / "training.json"
    if not done.exists():
        summary, counts = _train(p, tracker.log, tracker.resumed)
        dropped = {f"data/dropped/{reason}": count for reason, count in summary.dropped.items()}
        too_long = {"data/too_long": summary.lengths["over"]}
        tracker.summary({"data/examples": summary.examples, **too_long, **dropped})
        write_json(done, {**asdict(summary), "data": counts})
    return read_json(done)


def _train(
    p: Point, log: Callable[[dict[str, float], int], None], resumed: Callable[[int], None]
) -> tuple[TrainSummary, dict[str, int]]:
    """Train the point's adapter; also says what became of the rows of the data set."""
    from mmdpo.training.reference import reference
    from mmdpo.training.run import train as train_adapter
    from mmdpo.training_data.subset import flip, limited, subset

    config = p.config
    provenance.set_threads(config.cluster.threads)
    data = training_set(config)
    seed = config.data.seed
    examples: Any = limited(data.examples, config.data_limit, seed)
    known = None
    if config.method.train_on is TrainOn.pairs:  # of all of them: shared by every data_scale
        known = reference(config, examples, data.image_root)
    examples = subset(examples, config.data_scale, seed)
    if not examples:
        raise UserError(
            f"data_scale={config.data_scale}: leaves none of {len(data.examples)} examples; raise data_scale "
            "or data.prompts"
        )
    if known:
        examples = flip(examples, config.label_noise, seed)
    summary = train_adapter(config, examples, data.image_root, p.folder, log, resumed, known)
    return summary, data.counts


def measure(p: Point) -> dict[str, Any]:
    """The scores of a point's model, with its adapter where it is trained."""
    from mmdpo.evaluation.run import evaluate
    from mmdpo.models.adapter import merged
    from mmdpo.models.device import on_device
    from mmdpo.models.loading import load_model, load_processor

    provenance.set_threads(p.config.cluster.threads)
    model = p.config.model
    loaded = merged(model, p.folder / "adapter") if p.role is Role.trained else load_model(model.path, model.dtype)
    scores = evaluate(p.config, on_device(loaded), load_processor(model), p.folder)
    return {name: asdict(value) for name, value in scores.items()}


def export(p: Point) -> None:
    """Write the trained point's model, adapter merged, as a Hugging Face folder."""
    from mmdpo.training.export import export as write

    folder = p.folder / "merged"
    if not folder.exists():
        write(p.config.model, p.folder / "adapter", folder)
    print_line(f"{folder}: AutoModelForImageTextToText.from_pretrained({str(folder)!r}) loads it")


def _fingerprints(p: Point, training: dict[str, Any] | None) -> dict[str, Any]:
    from mmdpo.models.fingerprints import processor_fingerprint, weights_fingerprint

    path = p.config.model.path
    data = {} if training is None else {"data": training.get("data_fingerprint")}
    return {"model": weights_fingerprint(path), "processor": processor_fingerprint(p.config.model), **data}


def run_data_stage(config: Config, stage: Stage) -> None:
    """Run a stage that makes data, alone: what it reads must be there."""
    check_stage(config, stage)
    for earlier in before(config, stage):
        require(config, earlier)
    if stage is Stage.reference:
        _reference_alone(config)
    else:
        folder = retried(config, stage) if stage in (Stage.annotate, Stage.teacher) else made(config, stage)
        if stage is Stage.annotate:
            from mmdpo.analysis.annotation import report

            report(folder)
        for line in (*outcome(folder), f"{DATA_STAGES[stage].kind}: {folder}{_next(config, stage)}"):
            print_line(line)


def _next(config: Config, stage: Stage) -> str:
    """What to type after a data stage of the method."""
    if config.data.path is not None:
        return ""
    order = [*pipeline(config), Stage.experiment]
    return f"  ·  next: stage={order[order.index(stage) + 1].value}"


def prepare(config: Config) -> None:
    """Make what the points of a sweep share: their training set and, of pairs, the reference log-probs."""
    if config.method.train_on is TrainOn.pairs:
        _reference_alone(config)
    else:
        training_set(config)


def _reference_alone(config: Config) -> None:
    from mmdpo.training.reference import reference
    from mmdpo.training_data.subset import limited

    provenance.set_threads(config.cluster.threads)
    data = training_set(config)
    examples: Any = data.examples
    pairs = limited(examples, config.data_limit, config.data.seed)
    known = reference(config, pairs, data.image_root)
    print_line(f"reference log-probs of {len(known.ids)} pairs are in the cache")
