"""Data stages: prompts, completions, annotations, a teacher's answers, and the training set.

Each stage makes one folder of the cache from the folder of the stage before it, with a card that describes the
result. A folder is named by the stage's settings and by the content of its input, so equal results are made once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdpo.cache import cached, cached_path, is_as_made, source_fingerprint
from mmdpo.config.choices import EXAMPLE_FORMATS, NANO_RULES, RUBRICS, RULES, Stage, TrainOn
from mmdpo.config.schema import Config, SourceConfig
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, read_json, write_json
from mmdpo.models.libraries import prepare_libraries
from mmdpo.pipeline.cards import CARD, content_of, differs_from_card
from mmdpo.pipeline.counts import count_completions, count_cut, report_cut
from mmdpo.pipeline.own_pairs import own_pairs, rows_digest
from mmdpo.pipeline.prompt_parts import part_of, part_settings
from mmdpo.pipeline.stage_work import stage_amounts, stage_kind
from mmdpo.points.contents import source_contents
from mmdpo.records import ANSWER_WORDS, Annotation, Completion, Prompt, read_records, write_records
from mmdpo.timings import timed


def _prompts_settings(config: Config) -> dict[str, Any]:
    data, part = config.data, part_settings(config)
    if data.sources:
        sources = {name: _source_settings(name, source, data.seed) for name, source in data.sources.items()}
        return {"sources": sources, "seed": data.seed, "on_bad_row": data.on_bad_row.value, **part}
    from mmdpo.sources.formats import synthetic_prompts

    version = synthetic_prompts(data.format).version()
    text = {"text_prompts": data.text_prompts_made} if data.text_prompts_made else {}
    return {"format": data.format, "prompts": data.prompts, "seed": data.seed, "version": version, **text, **part}


def _source_settings(name: str, source: SourceConfig, seed: int) -> dict[str, Any]:
    contents = source_contents(name, source, seed)
    return {
        "format": source.format,
        "count": source.count,
        "offset": source.offset,
        "contents": [content.fingerprint for content in contents.values()],
    }


def _make_prompts(config: Config, folder: Path) -> dict[str, Any]:
    from mmdpo.sources.formats import synthetic_prompts
    from mmdpo.sources.prompts import gather_prompts

    data = config.data
    if data.sources:
        prompts, facts = gather_prompts(data, folder)
    else:
        synthetic = synthetic_prompts(data.format)
        prompts, facts = synthetic.generate(data.prompts, data.seed, folder), {}
        if data.text_prompts_made and synthetic.generate_text is not None:  # its absence is refused before
            prompts += synthetic.generate_text(data.text_prompts_made, data.seed)
    prompts = part_of(prompts, config)
    write_records(folder / "prompts.jsonl", prompts)
    return {"prompts": len(prompts), **facts, **part_settings(config)}


def _sample_settings(config: Config) -> dict[str, Any]:
    from mmdpo.pipeline.sampling import generator_identity

    return generator_identity(config)


def _make_completions(config: Config, folder: Path) -> dict[str, Any]:
    from mmdpo.pipeline.sampling import sample

    if config.generator.sampler == "model":
        prepare_libraries(config.cluster.threads)
    completions = sample(config, lambda: prompts_of(config), image_root_of(config), _unfinished(config))
    write_records(folder / "completions.jsonl", completions)
    return count_completions(read_records(folder / "completions.jsonl", Completion), config.data.sampling)


def _unfinished(config: Config) -> Path:
    """Return the file for completions until the stage is complete, beside its folder."""
    folder = cached_path(
        DATA_STAGES[Stage.sample].kind, _key(config, Stage.sample, [get_or_make(config, Stage.prompts)])
    )
    return folder.with_name(f".{folder.name}.sqlite")


def _judge_settings(config: Config) -> dict[str, Any]:
    """Return what a judge's replies and their parsing depend on; not its label, limits and prices."""
    from mmdpo.judge.rating_request import judge_identity

    code = [source_fingerprint("mmdpo.judge"), RUBRICS.fingerprint(config.judge.rubric)]
    if config.judge.client in RULES.names():
        code.append(file_fingerprint(Path(inspect.getfile(RULES.load(config.judge.client)))))
    return {**judge_identity(config.judge), "code": code}


def _annotate_settings(config: Config) -> dict[str, Any]:
    data, judge = config.data, config.judge
    own: dict[str, Any] = {"pairs": rows_digest(data), "format": data.format} if data.is_own else {}
    own |= {"fields": data.fields} if data.fields else {}
    own |= {"share": judge.share} if judge.share < 1 else {}
    return {**_judge_settings(config), "seed": judge.seed, "repeat": judge.repeat, **own}


def _make_annotations(config: Config, folder: Path) -> dict[str, Any]:
    from mmdpo.judge.stage import write_annotations

    items = items_of(config)
    total = sum(1 for _ in items())
    counts = write_annotations(folder, items, total, image_root_of(config), config.judge)
    write_words(config, folder)
    if config.data.is_own:
        from mmdpo.judge.differences import write_differences
        from mmdpo.judge.rubric import load_rubric

        write_differences(folder, config.data.seed, load_rubric(config.judge.rubric).attributes)
    if not config.data.is_own:
        counts["completions_cut"] = count_cut(_completions(config))
    return {**_of_judge(config), **counts}


def write_words(config: Config, folder: Path) -> None:
    """Write the number of words of each completion that a judge rates, for the audit of the judge."""
    words = {prompt.id: [len(one.text.split()) for one in completions] for prompt, completions in items_of(config)()}
    write_json(folder / ANSWER_WORDS, words)


def _make_teacher_answers(config: Config, folder: Path) -> dict[str, Any]:
    from mmdpo.judge.stage import write_teacher_answers

    total = sum(1 for _ in prompts_of(config))
    counts = write_teacher_answers(folder, lambda: prompts_of(config), total, image_root_of(config), config.judge)
    return {**_of_judge(config), **counts}


def _of_judge(config: Config) -> dict[str, Any]:
    judge = config.judge
    return {"judge": judge.client, "model": judge.model, "rubric": judge.rubric, "seed": judge.seed}


def _build_settings(config: Config) -> dict[str, Any]:
    train_on = config.method.train_on
    rule: dict[str, Any] = {}
    if train_on is TrainOn.labelled and config.pairs.desirable is not None:
        rule = {"desirable": config.pairs.desirable}
    elif train_on in (TrainOn.pairs, TrainOn.labelled):
        rule = {"margin": config.pairs.margin, "rule": config.pairs.rule.value, "seed": config.data.seed}
    if train_on in (TrainOn.pairs, TrainOn.labelled, TrainOn.best_completion):
        rule["aggregate"] = _aggregate(config)
    if train_on is not TrainOn.teacher:
        rule["cut"] = config.pairs.cut.value
    return {"train_on": train_on.value, "code": source_fingerprint("mmdpo.training_data"), **rule}


def _make_training_set(config: Config, folder: Path) -> dict[str, Any]:
    from mmdpo.training_data.build import write_training_set

    method = folder, config.method.train_on, config.pairs, _aggregate(config), config.data.seed
    if config.method.train_on is TrainOn.teacher:
        source = read_records(get_or_make(config, Stage.teacher) / "answers.jsonl", Completion)
        return write_training_set(*method, prompts_of(config), answers=source)
    annotations = read_records(get_or_make(config, Stage.annotate) / "annotations.jsonl", Annotation)
    made = write_training_set(*method, prompts_of(config), completions=_completions(config), annotations=annotations)
    report_cut(made["counts"], config.data.sampling)
    return made


def _aggregate(config: Config) -> list[str]:
    """Return the attributes whose sum ranks completions: those of `pairs.aggregate` for pairs, else the rubric's."""
    from mmdpo.judge.rubric import load_rubric

    if config.method.train_on in (TrainOn.pairs, TrainOn.labelled) and config.pairs.aggregate is not None:
        return list(config.pairs.aggregate)
    return list(load_rubric(config.judge.rubric).aggregate)


def prompts_of(config: Config) -> Iterator[Prompt]:
    """Yield the prompts; make them first if they do not exist."""
    return read_records(get_or_make(config, Stage.prompts) / "prompts.jsonl", Prompt)


def image_root_of(config: Config) -> Path:
    """Return the folder that the prompts' images are relative to."""
    if config.data.is_own:
        return own_pairs(config.data).image_root
    return get_or_make(config, Stage.prompts)


def _completions(config: Config) -> Iterator[Completion]:
    return read_records(get_or_make(config, Stage.sample) / "completions.jsonl", Completion)


def items_of(config: Config) -> Callable[[], Iterator[tuple[Prompt, Sequence[Completion]]]]:
    """Return what a judge rates: each prompt with its completions, or the two answers of the user's own pairs.

    A share of them (`judge.share`) holds those that `judge.repeat` of the same share would rate twice.
    """
    from mmdpo.judge.items import by_prompt, repeated

    if config.data.is_own:
        from mmdpo.judge.differences import two_answers

        pairs: Any = own_pairs(config.data).examples

        def every() -> Iterator[tuple[Prompt, Sequence[Completion]]]:
            return two_answers(pairs, config.data.seed)
    else:

        def every() -> Iterator[tuple[Prompt, Sequence[Completion]]]:
            return by_prompt(prompts_of(config), _completions(config))

    share, seed = config.judge.share, config.judge.seed
    return every if share == 1 else lambda: repeated(every(), share, seed)


@dataclass(frozen=True)
class DataStage:
    """Kind of folder in the cache.

    Attributes:
        kind: Name of the kind, and of its folder in the cache.
        settings: Function that returns the settings which the result depends on.
        make: Function that fills a folder and returns facts for its card.
    """

    kind: str
    settings: Callable[[Config], Mapping[str, Any]]
    make: Callable[[Config, Path], dict[str, Any]]


DATA_STAGES = {
    Stage.prompts: DataStage("prompts", _prompts_settings, _make_prompts),
    Stage.sample: DataStage("completions", _sample_settings, _make_completions),
    Stage.annotate: DataStage("annotations", _annotate_settings, _make_annotations),
    Stage.teacher: DataStage("teacher", _judge_settings, _make_teacher_answers),
    Stage.build: DataStage("training_set", _build_settings, _make_training_set),
}


def pipeline(config: Config) -> list[Stage]:
    """List the data stages of the method in order."""
    if config.method.train_on is TrainOn.teacher:
        return [Stage.prompts, Stage.teacher, Stage.build]
    return [Stage.prompts, Stage.sample, Stage.annotate, Stage.build]


def check_stage(config: Config, stage: Stage) -> None:
    """Raise UserError if the point's method or data has no such stage."""
    method, data = config.method, config.data
    if data.is_own:
        if stage in DATA_STAGES and stage is not Stage.annotate:
            raise UserError(
                f"stage={stage.value}: data={data.name} has its own pairs; there is nothing to make. "
                "stage=annotate rates their two answers"
            )
        if stage is Stage.annotate and data.format in EXAMPLE_FORMATS.names():
            raise UserError(f"stage=annotate: data={data.name} has one answer per row; there is nothing to compare")
        if stage is Stage.annotate and config.judge.client in NANO_RULES.names():
            raise UserError(f"judge={config.judge.name}: rates the miniature only; choose judge=gemini or judge=openai")
    elif stage in DATA_STAGES and stage not in pipeline(config):
        stages = ", ".join(step.value for step in pipeline(config))
        raise UserError(f"stage={stage.value}: the data of method={method.name} is made by the stages {stages}")
    if stage is Stage.reference and method.train_on is TrainOn.labelled:
        raise UserError(
            f"stage=reference: method={method.name} compares with answers of other rows, which depend on the seed; its "
            "reference log-probs are computed when the training starts"
        )
    if stage is Stage.reference and method.train_on is not TrainOn.pairs:
        raise UserError(f"stage=reference: method={method.name} has no reference model")


def upstream(config: Config, stage: Stage) -> list[Stage]:
    """List the data stages before a stage."""
    if config.data.is_own:
        return []
    order = pipeline(config)
    return order[: order.index(stage)] if stage in order else order


def get_or_make(config: Config, stage: Stage, remake: bool = False) -> Path:
    """Return the folder of a data stage; make it if it does not exist or is damaged.

    Args:
        config: The point's config.
        stage: A data stage; the stages before it are made as well.
        remake: Whether an existing folder is made again.

    Returns:
        The folder in the cache.
    """
    folders = [get_or_make(config, earlier) for earlier in upstream(config, stage)[-1:]]
    step, key = DATA_STAGES[stage], _key(config, stage, folders)

    def make(folder: Path) -> None:
        with timed(stage_kind(config, stage), **stage_amounts(config, stage)):
            facts = step.make(config, folder)
        sources = [read_json(source / CARD) for source in folders]
        card = {"kind": step.kind, "content": content_of(folder, sources), "facts": facts, "made_of": sources}
        write_json(folder / CARD, card)

    return cached(step.kind, key, make, remake or differs_from_card(cached_path(step.kind, key)))


def find_existing(config: Config, stage: Stage) -> Path | None:
    """Return the folder of a data stage, or None if it or one before it does not exist or is damaged."""
    found = [find_existing(config, earlier) for earlier in upstream(config, stage)[-1:]]
    folders = [folder for folder in found if folder is not None]
    if len(folders) < len(found):
        return None
    path = cached_path(DATA_STAGES[stage].kind, _key(config, stage, folders))
    return path if is_as_made(path) and not differs_from_card(path) else None


def _key(config: Config, stage: Stage, folders: Sequence[Path]) -> dict[str, Any]:
    """Return the key of a stage in the cache; `folders` is its input: the stage before it, if any."""
    contents = [read_json(source / CARD)["content"] for source in folders]
    return {"made_of": contents, **DATA_STAGES[stage].settings(config)}


def rerun_unscored(config: Config, stage: Stage) -> Path:
    """Return the folder of a judge's stage; with `judge.retry_unscored` unscored prompts are rated again."""
    folder = find_existing(config, stage)
    unscored = folder is not None and (folder / "unscored.jsonl").stat().st_size > 0
    return get_or_make(config, stage, remake=unscored and config.judge.retry_unscored)


def require(config: Config, stage: Stage) -> None:
    """Raise UserError if a data stage has not been run."""
    if not config.data.is_own and find_existing(config, stage) is None:
        raise UserError(
            f"there are no {DATA_STAGES[stage].kind} for these settings yet: rerun the same command with "
            f"stage={stage.value}"
        )


def describe_data(config: Config, stage: Stage) -> Iterator[str]:
    """Yield a line per data stage up to this one: the folder of its result, or that it would be made."""
    check_stage(config, stage)
    if config.is_base or (config.data.is_own and stage is not Stage.annotate):
        return
    for step in [*upstream(config, stage), *([stage] if stage in DATA_STAGES else [])]:
        kind, path = DATA_STAGES[step].kind, find_existing(config, step)
        yield f"{kind}: {path}" if path else f"{kind}: would be made (stage={step.value})"
        if step in (Stage.annotate, Stage.teacher) and not path and config.judge.client not in RULES.names():
            yield from judging_lines(config, step)


def judging_lines(config: Config, stage: Stage, asked_again: bool = False) -> Iterator[str]:
    """Yield calls, tokens, money and time of a judge, estimated from the completions if they exist already.

    Args:
        config: The point's config.
        stage: The stage of the judge.
        asked_again: Whether other completions of the same prompts will be rated, so that no reply is known.
    """
    from mmdpo.clients.estimate import assumed, estimate
    from mmdpo.clients.request import Request
    from mmdpo.judge.items import by_prompt, repeated
    from mmdpo.judge.journals import known_replies
    from mmdpo.judge.teacher import teacher_request

    if not config.data.is_own and find_existing(config, Stage.prompts) is None:
        yield "cost: known after stage=prompts"
        return
    images, sampling = image_root_of(config), config.data.sampling
    items: Iterable[tuple[Prompt, Sequence[Completion]]]
    if config.data.is_own or find_existing(config, Stage.sample):
        items = items_of(config)()
    else:
        guessed = assumed(prompts_of(config), sampling.completions, sampling.max_new_tokens)
        items = repeated(by_prompt(prompts_of(config), guessed), config.judge.share, config.judge.seed)
    with known_replies(config.judge) as known:
        if stage is Stage.teacher:
            requests: Iterable[Request] = (
                teacher_request(prompt, images, config.judge) for prompt in prompts_of(config)
            )
        else:
            from mmdpo.judge.annotate import with_repeated

            requests = with_repeated(items, images, config.judge)
        is_answered = (lambda _: False) if asked_again else None
        yield from estimate(requests, known, config.judge, is_answered).lines(config.judge)
