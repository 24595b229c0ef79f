"""The stages of one point, from data to scores; each can run alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo import provenance
from mmdpo.activity import report_saved
from mmdpo.analysis.study import read_scores
from mmdpo.analysis.warning_lines import warnings_of
from mmdpo.config.choices import Stage, TrainOn
from mmdpo.config.judging_place import is_judged_apart
from mmdpo.config.schema import Config
from mmdpo.console import print_line
from mmdpo.dashboard.summaries import score_summary
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.locks import hold_lock
from mmdpo.models.fingerprints import adapter_fingerprint
from mmdpo.models.libraries import prepare_libraries
from mmdpo.models.model_files import model_shape
from mmdpo.pipeline import evaluating
from mmdpo.pipeline.counts import describe_counts
from mmdpo.pipeline.data_stages import (
    CARD,
    DATA_STAGES,
    check_stage,
    get_or_make,
    pipeline,
    require,
    rerun_unscored,
    upstream,
    write_words,
)
from mmdpo.pipeline.merging import merged_folder
from mmdpo.pipeline.other_batches import batches_notice
from mmdpo.pipeline.training_sets import check_mixture, check_selection, selection_of, training_set
from mmdpo.points import commands
from mmdpo.points.hints import hint
from mmdpo.points.identity import Role, flatten
from mmdpo.points.naming import run_name, without_seed
from mmdpo.points.point import Point, baselines
from mmdpo.points.records import identity_of
from mmdpo.points.results import RESULT, TRAINING, read_training
from mmdpo.points.reuse import known_training, take_training
from mmdpo.points.rounds import resolved
from mmdpo.points.run_config import run_config
from mmdpo.records import ANSWER_WORDS
from mmdpo.signals import raise_if_asked
from mmdpo.timings import PREPARE, timed, timings_of
from mmdpo.tracking import Tracker
from mmdpo.training.announcement import announce_training, withdraw_training
from mmdpo.training.libraries import import_training_libraries

if TYPE_CHECKING:
    from mmdpo.training.run import TrainSummary
    from mmdpo.training.rungs import Rung
    from mmdpo.training.settings import TrainingSettings

POINT_STAGES = (Stage.train, Stage.evaluate, Stage.judge, Stage.experiment)
"""The stages that a point runs under its lock and with a status."""


def experiment(p: Point) -> None:
    """Train, evaluate and judge a point, as far as this is not done yet.

    A SLURM job does not judge if the judge is a service: its node may have no network.
    """
    started = time.monotonic() - _trained_seconds(p)
    with tracker_of(p) as tracker:
        if p.role is Role.trained:
            _trained(p, tracker)
        raise_if_asked()
        evaluating.answer_tasks(p)
        raise_if_asked()
        if is_judged_apart(p.config.bench.judge.client, p.config.cluster.runner):
            print_line(f"{p.name} is answered; cluster.judge={p.config.cluster.judge} judges it")
            return
        _judge(p, tracker, started)


def evaluate(p: Point) -> None:
    """Write the answers of a point's model, if this is not done yet; they are scored by `judge`."""
    take_known_training(p)
    evaluating.answer_tasks(p)


def judge(p: Point) -> None:
    """Score the answers of a point and write its result."""
    take_known_training(p)
    started = time.monotonic() - _trained_seconds(p)
    with tracker_of(p) as tracker:
        tracker.replay()
        _judge(p, tracker, started)


def work_of(stage: Stage) -> Callable[[Point], None]:
    """Return the function that runs one of `POINT_STAGES` for a point."""
    return {Stage.train: train, Stage.evaluate: evaluate, Stage.judge: judge, Stage.experiment: experiment}[stage]


def _trained_seconds(p: Point) -> float:
    """Return the seconds of a training that an earlier command has finished: they belong to the point's run time."""
    return float((read_training(p.folder) or {}).get("seconds") or 0.0)


def _judge(p: Point, tracker: Tracker, started: float) -> None:
    with timed(evaluating.judging_kind(p.config.bench)) as block:
        judged = evaluating.judge_answers(p)
        block.amounts |= judged["amounts"]
        _write_result(p, judged, started)
        tracker.summary(score_summary(read_scores(judged["scores"])))
        _warn(p, tracker)


def _write_result(p: Point, judged: dict[str, Any], started: float) -> None:
    training = read_training(p.folder) if p.role is Role.trained else None
    data = {} if training is None else {"data": training.get("data_fingerprint")}
    result = {
        "point": p.name,
        "identity": identity_of(p.folder) or p.identity.hex,
        "study": p.config.study,
        "role": p.role.value,
        "axes": p.axes,
        "scores": judged["scores"],
        "upstream": judged["upstream"],
        "labels": judged["labels"],
        "training": training,
        "judge": judged["judge"],
        "fingerprints": {**judged["fingerprints"], **data},
        "versions": provenance.versions(),
        "git": provenance.git_commit(),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(p.folder / RESULT, result)


def _warn(p: Point, tracker: Tracker) -> None:
    """Print the warnings of a trained point, and give them to W&B."""
    if p.role is not Role.trained:
        return
    try:
        base = baselines(p.config)[0].folder
    except UserError:  # judging runs where the model's files may be absent
        return
    found = warnings_of(p.folder, base, p.config.bench.confidence)
    for warning in found:
        print_line(f"warning: {warning}")
    if found:
        tracker.summary({"warnings": "; ".join(found)})


def train(p: Point) -> None:
    """Train the adapter of a point, if this is not done yet."""
    with tracker_of(p) as tracker:
        _trained(p, tracker)
        _warn(p, tracker)


def tracker_of(p: Point) -> Tracker:
    """Return the metrics of a point's run, a context manager."""
    tracking = p.config.tracking
    labels = [p.config.method.name, p.config.data.name] if p.role is Role.trained else []
    name = run_name(p.config, p.name, p.identity)
    return Tracker(
        p.folder,
        mode=tracking.mode.value,
        project=tracking.project,
        entity=tracking.entity,
        run_id=None,
        name=name,
        study=p.config.study,
        job_type="train" if p.role is Role.trained else "evaluate",
        tags=[p.role.value, *labels, p.config.model.name, *tracking.tags],
        config=run_config(flatten(p.config), p.role, p.name, without_seed(name, p.config.seed)),
        host=tracking.host,
    )


def answer_nonzero_rank(p: Point) -> None:
    """Answer a share of a point's samples together with other processes, as one that is not the first of them."""
    evaluating.answer_nonzero_rank(p)


def train_nonzero_rank(p: Point) -> None:
    """Train a point together with other processes, as one that is not the first of them."""
    _train(p, lambda metrics, step: None, lambda step: None)


def _trained(p: Point, tracker: Tracker) -> dict[str, Any]:
    """Train the point, if this is not done yet or its adapter is damaged, and return the summary of the training."""
    done = finished_training(p)
    if done is None and take_known_training(p):
        done = finished_training(p)
    if done is None:
        if (p.folder / TRAINING).exists():
            print_line(f"{TRAINING} or the adapter of {p.folder} is damaged; the point is trained again")
        announce_training(p.folder)
        summary, counts = _train(p, tracker.log, tracker.resumed)
        withdraw_training(p.folder)
        if notice := batches_notice(p.study, summary):
            print_line(notice)
        dropped = {f"data/dropped/{reason}": count for reason, count in summary.dropped.items()}
        changed = {f"data/changed/{way}": count for way, count in summary.changed.items()}
        too_long = {"data/too_long": summary.lengths["over"]}
        tracker.summary({"data/examples": summary.examples, **too_long, **dropped, **changed})
        done = {**asdict(summary), "data": counts, "adapter": adapter_fingerprint(p.folder / "adapter")}
        write_json(p.folder / TRAINING, done)
        report_saved("training", 1)
    else:
        tracker.replay()
    return done


def take_known_training(p: Point) -> bool:
    """Take over the training of a point with the same model, if there is one and this point has none of its own."""
    if p.role is not Role.trained or finished_training(p) is not None:
        return False
    source = known_training(p.study, p.identity)
    if source is None:
        return False
    with hold_lock(p.folder / ".training.lock", "takes over the same training"):
        if finished_training(p) is None:
            take_training(p.folder, source)
    print_line(f"the training is known from {source.parent.name}/{source.name}: {p.name} uses its adapter")
    return True


def finished_training(p: Point) -> dict[str, Any] | None:
    """Return the summary of a point's finished training; None if there is none, or its adapter has changed since."""
    done = read_training(p.folder)
    if done is None or done.get("adapter") in (None, adapter_fingerprint(p.folder / "adapter")):
        return done  # earlier versions noted no fingerprint
    return None


def train_to_rung(p: Point, rung: Rung, tracker: Tracker | None = None) -> TrainSummary:
    """Train a point to a rung, from its last checkpoint; a process that is not the first of several has no tracker."""
    if tracker is None:
        return _train(p, lambda metrics, step: None, lambda step: None, rung)[0]
    announce_training(p.folder)
    summary, _ = _train(p, tracker.log, tracker.resumed, rung)
    withdraw_training(p.folder)
    return summary


def _train(
    p: Point,
    log: Callable[[dict[str, float], int], None],
    resumed: Callable[[int], None],
    rung: Rung | None = None,
) -> tuple[TrainSummary, dict[str, int]]:
    """Train the point's adapter, to a rung or to the end; also returns the counts of the data set's rows."""
    config = resolved(p.config)
    prepare_libraries(config.cluster.threads)
    import_training_libraries()
    with timed(PREPARE, trainings=1) as block:
        summary, counts = _train_on_selected(config, p, log, resumed, rung)
        block.amounts["rows"] = float(summary.examples)
    return summary, counts


def _train_on_selected(
    config: Config,
    p: Point,
    log: Callable[[dict[str, float], int], None],
    resumed: Callable[[int], None],
    rung: Rung | None,
) -> tuple[TrainSummary, dict[str, int]]:
    from mmdpo.training.reference import reference
    from mmdpo.training.run import train_adapter
    from mmdpo.training_data.mixture import count_text_only
    from mmdpo.training_data.subset import flip

    data = training_set(config)
    seed = config.data.seed
    check_selection(config, data.examples)
    selection, counts = selection_of(config), dict(data.counts)
    if config.data_limit is not None and config.data_limit > len(data.examples):
        print_line(f"data_limit={config.data_limit}: there are only {len(data.examples)} examples")
    shared: Any = selection.candidates(data.examples)
    examples = selection.select(shared)
    if config.data.text_share is not None:
        counts["text_only"] = count_text_only(examples)
    reference_logps = None
    if config.method.train_on is TrainOn.pairs:  # of all of them: shared by every data_scale and text_share
        reference_logps = reference(config.model, config.train, shared, data.image_root, config.method.reference)
    if config.method.train_on in (TrainOn.pairs, TrainOn.labelled):
        examples = flip(examples, config.label_noise, seed)
    settings = training_settings(config)
    summary = train_adapter(settings, examples, data.image_root, p.folder, log, resumed, reference_logps, rung)
    return summary, counts


def training_settings(config: Config) -> TrainingSettings:
    """Return the part of a point's config that its training depends on."""
    from mmdpo.training.settings import TrainingSettings

    return TrainingSettings(
        method=config.method,
        model=config.model,
        train=config.train,
        lr=config.lr,
        beta=config.beta,
        logprob_avg=config.logprob_avg,
        seed=config.seed,
    )


def export(p: Point) -> None:
    """Write the trained point's model, adapter merged, as a Hugging Face folder."""
    take_known_training(p)
    evaluating.adapter_of(p)
    folder = merged_folder(p)
    print_line(f"{folder}: AutoModelForImageTextToText.from_pretrained({str(folder)!r}) loads it")


def run_data_stage(config: Config, stage: Stage) -> None:
    """Run a data stage on its own. Raises UserError if the stage before it was not run."""
    config = resolved(config)
    check_stage(config, stage)
    for earlier in upstream(config, stage):
        require(config, earlier)
    commands.begin(Path(config.out, config.study))
    if stage is Stage.reference:
        with timings_of(model_shape(config.model), config.study):
            _reference_alone(config)
    else:
        with timings_of(model_shape(config.model), config.study):
            judged = stage in (Stage.annotate, Stage.teacher)
            folder = rerun_unscored(config, stage) if judged else get_or_make(config, stage)
        if stage is Stage.annotate:
            from mmdpo.analysis.annotation import write_annotation_report

            write_annotation_report(folder)
            _audit(config, folder)
        facts = read_json(folder / CARD)["facts"]
        for line in (*describe_counts(facts), f"{DATA_STAGES[stage].kind}: {folder}{_next(config, stage)}"):
            print_line(line)


def _audit(config: Config, folder: Path) -> None:
    """Write the audit of a judge's ratings, and print its findings and where it is."""
    from mmdpo.analysis.audit.write import write_annotations_audit

    if not (folder / ANSWER_WORDS).exists():  # made by an earlier version
        write_words(config, folder)
    audit, place = write_annotations_audit(folder)
    for line in audit.finding_lines():
        print_line(line)
    print_line(f"audit of the judge: {place / 'audit.md'}  ·  tables: python -m mmdpo audit {folder}")


def _next(config: Config, stage: Stage) -> str:
    """Name the stage that follows a data stage of the method."""
    if config.data.is_own or config.judge.share < 1:
        return ""
    order = [*pipeline(config), Stage.experiment]
    following = f"stage={order[order.index(stage) + 1].value}"
    words = commands.typed_words()
    return f"  ·  next: {hint(words, following) if words else following}"


def make_shared_data(config: Config) -> None:
    """Make what the points of a sweep share: the training set and, for pairs, the reference log-probs."""
    config = resolved(config)
    with timings_of(model_shape(config.model), config.study):
        if config.method.train_on is TrainOn.pairs:
            _reference_alone(config)
        else:
            training_set(config)


def _reference_alone(config: Config) -> None:
    from mmdpo.training.reference import reference

    prepare_libraries(config.cluster.threads)
    data = training_set(config)
    examples: Any = data.examples
    check_mixture(config, examples)
    pairs = selection_of(config).candidates(examples)
    reference_logps = reference(config.model, config.train, pairs, data.image_root, config.method.reference)
    print_line(f"reference log-probs of {len(reference_logps.ids)} pairs are in the cache")
