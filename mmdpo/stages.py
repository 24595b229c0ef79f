"""What each `stage=` does, from prompts to scores; each reads files, writes files, and can run alone."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmdpo import provenance
from mmdpo.config import Config, Stage
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint, read_json, write_json
from mmdpo.progress import say
from mmdpo.records import Annotation, Completion, PreferencePair, Prompt, read_records, write_records
from mmdpo.store import cache_root, cached, cached_path, source_fingerprint
from mmdpo.sweep.points import Point, Role, flatten
from mmdpo.tracking import Tracker

# The data stages: each makes one folder of the cache from the folder of the stage before it.


def _prompts_key(config: Config) -> dict[str, Any]:
    data = config.data
    return {
        "name": data.name,
        "prompts": data.prompts,
        "seed": data.seed,
        "code": source_fingerprint("mmdpo.nano"),
    }


def _make_prompts(config: Config, folder: Path) -> None:
    from mmdpo.sources import nano

    prompts = nano.prompts("preference", config.data.prompts, config.data.seed, folder)
    write_records(folder / "prompts.jsonl", prompts)


def _sample_key(config: Config) -> dict[str, Any]:
    from mmdpo.models.loading import processor_fingerprint, weights_fingerprint

    sampling = asdict(config.data.sampling)
    del sampling["batch_size"]  # it does not change the texts
    return {
        "prompts": fingerprint(_prompts_key(config)),
        "model": weights_fingerprint(config.model.path),
        "processor": processor_fingerprint(config.model.path),
        "dtype": config.model.dtype,
        "sampling": sampling,
    }


def _make_completions(config: Config, folder: Path) -> None:
    from mmdpo.sampling import sample

    source = made(config, Stage.prompts)
    prompts = list(read_records(source / "prompts.jsonl", Prompt))
    write_records(folder / "completions.jsonl", sample(config, prompts, source))


def _annotate_key(config: Config) -> dict[str, Any]:
    return {
        "completions": fingerprint(_sample_key(config)),
        "judge": asdict(config.judge),
        "code": source_fingerprint("mmdpo.judge"),
    }


def _make_annotations(config: Config, folder: Path) -> None:
    from mmdpo.judge.annotate import annotate

    prompts = read_records(made(config, Stage.prompts) / "prompts.jsonl", Prompt)
    completions = list(read_records(made(config, Stage.sample) / "completions.jsonl", Completion))
    write_records(folder / "annotations.jsonl", annotate(prompts, completions, config.judge.name))


def _build_key(config: Config) -> dict[str, Any]:
    return {
        "annotations": fingerprint(_annotate_key(config)),
        "margin": config.method.pair_margin,
        "code": source_fingerprint("mmdpo.methods"),
    }


def _make_pairs(config: Config, folder: Path) -> None:
    from mmdpo.methods.dpo import make_pairs

    pairs = make_pairs(
        read_records(made(config, Stage.prompts) / "prompts.jsonl", Prompt),
        list(read_records(made(config, Stage.sample) / "completions.jsonl", Completion)),
        list(read_records(made(config, Stage.annotate) / "annotations.jsonl", Annotation)),
        config.method.pair_margin,
        config.data.seed,
    )
    write_records(folder / "pairs.jsonl", pairs)


@dataclass(frozen=True)
class DataStage:
    """A kind of thing in the cache, what it depends on, and how it is made."""

    kind: str
    key: Callable[[Config], Mapping[str, Any]]
    make: Callable[[Config, Path], None]


DATA_STAGES = {
    Stage.prompts: DataStage("prompts", _prompts_key, _make_prompts),
    Stage.sample: DataStage("completions", _sample_key, _make_completions),
    Stage.annotate: DataStage("annotations", _annotate_key, _make_annotations),
    Stage.build: DataStage("pairs", _build_key, _make_pairs),
}


def made(config: Config, stage: Stage) -> Path:
    """The folder that a data stage makes; made now where it is absent."""
    step = DATA_STAGES[stage]
    return cached(step.kind, step.key(config), lambda folder: step.make(config, folder))


def _before(stage: Stage) -> list[Stage]:
    """The data stages that come before a stage."""
    order = list(DATA_STAGES)
    return order[: order.index(stage)] if stage in order else order


def _require(config: Config, stage: Stage) -> None:
    """Raise UserError where a data stage has not been run."""
    step = DATA_STAGES[stage]
    if config.data.path is None and not cached_path(step.kind, step.key(config)).exists():
        raise UserError(
            f"there are no {step.kind} for these settings yet: run the same line with stage={stage.value}"
        )


def describe_data(config: Config, stage: Stage) -> Iterator[str]:
    """A line for each data stage up to this one: where its result lies, or that it would be made."""
    if config.data.path is not None or config.is_base:
        return
    for step in [*_before(stage), *({stage} & DATA_STAGES.keys())]:
        kind, key = DATA_STAGES[step].kind, DATA_STAGES[step].key(config)
        path = cached_path(kind, key)
        yield f"{kind}: {path}" if path.exists() else f"{kind}: would be made (stage={step.value})"


@dataclass(frozen=True)
class PairSet:
    """Preference pairs, where their images lie, and what became of the rows they were made of."""

    pairs: Sequence[PreferencePair]
    image_root: Path
    counts: dict[str, int]


def pair_set(config: Config) -> PairSet:
    """All pairs of the data set, before `data_scale` and `label_noise`."""
    if config.data.path is not None:
        return _own_pairs(config.data.path, config.data.image_root, config.data.on_bad_row)
    images = made(config, Stage.prompts)
    pairs = list(read_records(made(config, Stage.build) / "pairs.jsonl", PreferencePair))
    return PairSet(pairs, images, {"prompts": config.data.prompts, "pairs": len(pairs)})


@functools.cache
def _own_pairs(path: str, image_root: str | None, on_bad_row: Any) -> PairSet:
    """The user's file, read once a process: its images are all opened, which takes time."""
    from mmdpo.sources.pairs import read_pairs

    embedded = cache_root() / "embedded" / file_fingerprint(Path(path))
    read = read_pairs(Path(path), Path(image_root) if image_root else None, on_bad_row, embedded)
    counts = {"rows": read.read, "pairs": len(read.pairs)}
    counts |= {f"dropped: {reason}": count for reason, count in read.dropped.items()}
    return PairSet(read.pairs, read.image_root, counts)


# The stages of one point.


def experiment(p: Point) -> None:
    """Train, where the point is trained and this is not done yet, and measure."""
    started = time.monotonic()
    with _tracker(p) as tracker:
        training = _trained(p, tracker) if p.role is Role.trained else None
        scores = measure(p)
        result = {
            "point": p.name,
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


def _trained(p: Point, tracker: Tracker) -> dict[str, Any]:
    """How the training went; it is done now where it is not yet."""
    from mmdpo.methods.subset import flip, subset
    from mmdpo.training.dpo import train as train_dpo
    from mmdpo.training.reference import reference

    done = p.folder / "training.json"
    if done.exists():
        return read_json(done)
    config = p.config
    provenance.set_threads(config)
    data = pair_set(config)
    known = reference(config, data.pairs, data.image_root)  # of all pairs: shared by every data_scale
    pairs = subset(data.pairs, config.data_scale, config.data.seed)
    if not pairs:
        raise UserError(
            f"data_scale={config.data_scale}: leaves none of {len(data.pairs)} pairs; raise data_scale "
            "or data.prompts"
        )
    pairs = flip(pairs, config.label_noise, config.data.seed)
    summary = train_dpo(config, pairs, data.image_root, p.folder, tracker.log, tracker.resumed, known)
    write_json(done, {**asdict(summary), "data": data.counts})
    return read_json(done)


def measure(p: Point) -> dict[str, Any]:
    """The scores of a point's model, with its adapter where it is trained."""
    from mmdpo.evaluation.run import evaluate
    from mmdpo.models.loading import load_model, load_processor
    from mmdpo.models.quiet import quiet

    provenance.set_threads(p.config)
    model = load_model(p.config.model.path, p.config.model.dtype)
    if p.role is Role.trained:
        with quiet():
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(p.folder / "adapter")).merge_and_unload()
    scores = evaluate(p.config, model.eval(), load_processor(p.config.model.path), p.folder)
    return {name: asdict(value) for name, value in scores.items()}


def _fingerprints(p: Point, training: dict[str, Any] | None) -> dict[str, Any]:
    from mmdpo.models.loading import processor_fingerprint, weights_fingerprint

    path = p.config.model.path
    data = {} if training is None else {"data": training.get("data_fingerprint")}
    return {"model": weights_fingerprint(path), "processor": processor_fingerprint(path), **data}


def run_data_stage(config: Config, stage: Stage) -> None:
    """Run a stage that makes data, alone: what it reads must be there."""
    if config.data.path is not None and stage in DATA_STAGES:
        raise UserError(
            f"stage={stage.value}: data={config.data.name} brings its own pairs; nothing is to be made"
        )
    for earlier in _before(stage):
        _require(config, earlier)
    if stage is Stage.reference:
        from mmdpo.training.reference import reference

        data = pair_set(config)
        reference(config, data.pairs, data.image_root)
        say(f"reference log-probs of {len(data.pairs)} pairs are in the cache")
    else:
        say(f"{DATA_STAGES[stage].kind}: {made(config, stage)}")
