"""The stages that make data: prompts, completions, annotations, a teacher's answers, a training set.

Each makes one folder of the cache from the folders of the stages before it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmdpo.config import RULE_JUDGES, Config, Stage, TrainOn
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.records import (
    Annotation,
    Completion,
    PreferencePair,
    Prompt,
    SftExample,
    read_records,
    write_records,
)
from mmdpo.store import cache_root, cached, cached_path, source_fingerprint


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
        "processor": processor_fingerprint(config.model),
        "dtype": config.model.dtype,
        "sampling": sampling,
    }


def _make_completions(config: Config, folder: Path) -> None:
    from mmdpo.provenance import set_threads
    from mmdpo.sampling import sample

    set_threads(config)
    made_prompts = list(_prompts(config))
    write_records(folder / "completions.jsonl", sample(config, made_prompts, made(config, Stage.prompts)))


def _judge_key(config: Config) -> dict[str, Any]:
    """What of a judge its ratings depend on: not its limits, prices and patience."""
    from mmdpo.judge.annotate import identity

    judge = config.judge
    return {**identity(judge), "seed": judge.seed, "repeat": judge.repeat}


def _annotate_key(config: Config) -> dict[str, Any]:
    return {
        "completions": fingerprint(_sample_key(config)),
        "judge": _judge_key(config),
        "code": source_fingerprint("mmdpo.judge"),
    }


def _make_annotations(config: Config, folder: Path) -> None:
    from mmdpo.judge.annotate import by_prompt
    from mmdpo.judge.stage import write_annotations

    def items() -> Iterator[tuple[Prompt, Sequence[Completion]]]:
        return by_prompt(_prompts(config), _completions(config))

    total = sum(1 for _ in _prompts(config))
    write_annotations(folder, items, total, made(config, Stage.prompts), config.judge)


def _teacher_key(config: Config) -> dict[str, Any]:
    return {
        "prompts": fingerprint(_prompts_key(config)),
        "judge": _judge_key(config),
        "code": source_fingerprint("mmdpo.judge"),
    }


def _make_teacher_answers(config: Config, folder: Path) -> None:
    from mmdpo.judge.stage import write_teacher_answers

    total = sum(1 for _ in _prompts(config))
    write_teacher_answers(folder, lambda: _prompts(config), total, made(config, Stage.prompts), config.judge)


def _build_key(config: Config) -> dict[str, Any]:
    train_on = config.method.train_on
    source = _teacher_key(config) if train_on is TrainOn.teacher else _annotate_key(config)
    margin = {"margin": config.method.pair_margin} if train_on is TrainOn.pairs else {}
    return {
        "train_on": train_on.value,
        "source": fingerprint(source),
        "code": source_fingerprint("mmdpo.methods"),
        **margin,
    }


def _make_training_set(config: Config, folder: Path) -> None:
    write_records(folder / "examples.jsonl", _examples(config))


def _examples(config: Config) -> Iterable[PreferencePair] | Iterable[SftExample]:
    """What the method is trained on, out of what the stages before have made."""
    from mmdpo.methods.dpo import make_pairs
    from mmdpo.methods.rated import rated
    from mmdpo.methods.rejection_sampling import best_completions
    from mmdpo.methods.sft import teacher_answers
    from mmdpo.methods.steerlm import rated_completions

    train_on = config.method.train_on
    if train_on is TrainOn.teacher:
        answers = read_records(made(config, Stage.teacher) / "answers.jsonl", Completion)
        return teacher_answers(_prompts(config), answers)
    annotations = read_records(made(config, Stage.annotate) / "annotations.jsonl", Annotation)
    items = rated(_prompts(config), _completions(config), annotations)
    if train_on is TrainOn.pairs:
        return make_pairs(items, config.method.pair_margin, config.data.seed)
    return best_completions(items) if train_on is TrainOn.best_completion else rated_completions(items)


def _prompts(config: Config) -> Iterator[Prompt]:
    return read_records(made(config, Stage.prompts) / "prompts.jsonl", Prompt)


def _completions(config: Config) -> Iterator[Completion]:
    return read_records(made(config, Stage.sample) / "completions.jsonl", Completion)


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
    Stage.teacher: DataStage("teacher", _teacher_key, _make_teacher_answers),
    Stage.build: DataStage("training_set", _build_key, _make_training_set),
}


def pipeline(config: Config) -> list[Stage]:
    """The data stages of the method, in their order."""
    if config.method.train_on is TrainOn.teacher:
        return [Stage.prompts, Stage.teacher, Stage.build]
    return [Stage.prompts, Stage.sample, Stage.annotate, Stage.build]


def check_stage(config: Config, stage: Stage) -> None:
    """Raise UserError for a stage that the point's method or data does not have."""
    method, own_pairs = config.method, config.data.path is not None
    if stage in DATA_STAGES and own_pairs:
        raise UserError(
            f"stage={stage.value}: data={config.data.name} brings its own pairs; nothing is to be made"
        )
    if stage in DATA_STAGES and stage not in pipeline(config):
        stages = ", ".join(step.value for step in pipeline(config))
        raise UserError(
            f"stage={stage.value}: the data of method={method.name} is made by the stages {stages}"
        )
    if stage is Stage.reference and method.train_on is not TrainOn.pairs:
        raise UserError(f"stage=reference: method={method.name} has no reference model")


def made(config: Config, stage: Stage) -> Path:
    """The folder that a data stage makes; made now where it is absent."""
    step = DATA_STAGES[stage]
    return cached(step.kind, step.key(config), lambda folder: step.make(config, folder))


def before(config: Config, stage: Stage) -> list[Stage]:
    """The data stages that come before a stage."""
    order = pipeline(config)
    return order[: order.index(stage)] if stage in order else order


def require(config: Config, stage: Stage) -> None:
    """Raise UserError where a data stage has not been run."""
    step = DATA_STAGES[stage]
    if config.data.path is None and not cached_path(step.kind, step.key(config)).exists():
        raise UserError(
            f"there are no {step.kind} for these settings yet: run the same line with stage={stage.value}"
        )


def describe_data(config: Config, stage: Stage) -> Iterator[str]:
    """A line for each data stage up to this one: where its result lies, or that it would be made."""
    check_stage(config, stage)
    if config.data.path is not None or config.is_base:
        return
    order = pipeline(config)
    for step in [*before(config, stage), *([stage] if stage in order else [])]:
        kind, key = DATA_STAGES[step].kind, DATA_STAGES[step].key(config)
        path = cached_path(kind, key)
        yield f"{kind}: {path}" if path.exists() else f"{kind}: would be made (stage={step.value})"
        if step is Stage.annotate and not path.exists() and config.judge.name not in RULE_JUDGES:
            yield from _cost_of_annotating(config)


def _cost_of_annotating(config: Config) -> Iterator[str]:
    """Calls, tokens, money and time; from the completions where they are there already."""
    from mmdpo.judge.annotate import by_prompt, request_of
    from mmdpo.judge.estimate import assumed, estimate
    from mmdpo.judge.journal import journal
    from mmdpo.judge.judges import journal_of

    step = DATA_STAGES[Stage.prompts]
    prompts = cached_path(step.kind, step.key(config))
    if not prompts.exists():
        yield "cost: known when the prompts are there (stage=prompts)"
        return
    completions: Iterable[Completion]
    if cached_path(DATA_STAGES[Stage.sample].kind, _sample_key(config)).exists():
        completions = _completions(config)
    else:
        sampling = config.data.sampling
        completions = assumed(_prompts(config), sampling.completions, sampling.max_new_tokens)
    path = journal_of(config.judge)
    items = by_prompt(_prompts(config), completions)
    with journal(path if path is not None and path.exists() else None) as known:
        requests = (request_of(item, prompts, config.judge) for item in items)
        yield from estimate(requests, known, config.judge).lines(config.judge)


@dataclass(frozen=True)
class TrainingSet:
    """Examples, where their images lie, and what became of the rows they were made of."""

    examples: Sequence[PreferencePair] | Sequence[SftExample]
    image_root: Path
    counts: dict[str, int]


def training_set(config: Config) -> TrainingSet:
    """All examples of the method, before `data_limit`, `data_scale` and `label_noise`.

    SteerLM's ask for their own rating, in the form that the model's config names.
    """
    data, train_on = config.data, config.method.train_on
    if data.path is not None:
        return _of_own_pairs(_own_pairs(data.path, data.image_root, data.on_bad_row), train_on)
    images = made(config, Stage.prompts)
    file = made(config, Stage.build) / "examples.jsonl"
    if train_on is TrainOn.pairs:
        pairs = list(read_records(file, PreferencePair))
        return TrainingSet(pairs, images, {"prompts": data.prompts, "pairs": len(pairs)})
    examples = list(read_records(file, SftExample))
    if train_on is TrainOn.rated_completions:
        from mmdpo.methods.steerlm import steered

        examples = [steered(example, config.model.attribute_template) for example in examples]
    return TrainingSet(examples, images, {"prompts": data.prompts, "examples": len(examples)})


def _of_own_pairs(own: TrainingSet, train_on: TrainOn) -> TrainingSet:
    from mmdpo.methods.sft import chosen_answers

    if train_on is TrainOn.pairs:
        return own
    chosen = list(chosen_answers(pair for pair in own.examples if isinstance(pair, PreferencePair)))
    return replace(own, examples=chosen)


@functools.cache
def _own_pairs(path: str, image_root: str | None, on_bad_row: Any) -> TrainingSet:
    """The user's file, read once a process: its images are all opened, which takes time."""
    from mmdpo.sources.pairs import read_pairs

    embedded = cache_root() / "embedded" / file_fingerprint(Path(path))
    read = read_pairs(Path(path), Path(image_root) if image_root else None, on_bad_row, embedded)
    counts = {"rows": read.read, "pairs": len(read.pairs)}
    counts |= {f"dropped: {reason}": count for reason, count in read.dropped.items()}
    return TrainingSet(read.pairs, read.image_root, counts)
