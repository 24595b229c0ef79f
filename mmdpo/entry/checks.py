"""The checks between fields, made for every point of a sweep before the first one starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Formatter

from mmdpo.config.choices import (
    ATTRIBUTES,
    BENCHMARKS,
    DTYPES,
    FORMATS,
    LOSSES,
    READERS,
    RULE_JUDGES,
    SMOOTHED,
    TEACHERS,
    ZERO_STAGES,
    Stage,
    TrainOn,
)
from mmdpo.config.cluster_checks import problems as cluster_problems
from mmdpo.config.schema import AXES, Config, DataConfig, SourceConfig, methods_using, options
from mmdpo.errors import UserError
from mmdpo.judge.request import LABELS, rubrics
from mmdpo.models.paths import resolve_path, templates


def check(config: Config) -> None:
    """Raise UserError naming every problem of this point, each with the override to type."""
    problems = [
        *_ranges(config),
        *_axes(config),
        *_method(config),
        *_names(config),
        *_inputs(config),
        *_judge(config),
        *_generator(config),
        *_pairs(config),
        *cluster_problems(config.cluster),
    ]
    if problems:
        raise UserError("\n".join(problems))


def check_data(data: DataConfig) -> None:
    """Raise UserError naming every wrong setting of the data; files may be missing."""
    problems = [*_data_settings(data)]
    if problems:
        raise UserError("\n".join(problems))


def _ranges(config: Config) -> Iterator[str]:
    above_zero = {
        "lr": config.lr,
        "train.num_train_epochs": config.train.num_train_epochs,
        "train.per_device_train_batch_size": config.train.per_device_train_batch_size,
        "train.gradient_accumulation_steps": config.train.gradient_accumulation_steps,
        "train.precompute_ref_batch_size": config.train.precompute_ref_batch_size,
        "train.save_steps": config.train.save_steps,
        "train.logging_steps": config.train.logging_steps,
        "train.save_total_limit": config.train.save_total_limit,
        "train.max_grad_norm": config.train.max_grad_norm,
        "model.lora.r": config.model.lora.r,
        "model.lora.lora_alpha": config.model.lora.lora_alpha,
        "method.per_device_train_batch_size": config.method.per_device_train_batch_size,
        "method.gradient_accumulation_steps": config.method.gradient_accumulation_steps,
        "method.max_text_tokens": config.method.max_text_tokens,
        "data.prompts": config.data.prompts,
        "data.sampling.temperature": config.data.sampling.temperature,
        "data.sampling.max_new_tokens": config.data.sampling.max_new_tokens,
        "data.sampling.batch_size": config.data.sampling.batch_size,
        "bench.items": config.bench.items,
        "bench.batch_size": config.bench.batch_size,
        "bench.max_new_tokens": config.bench.max_new_tokens,
        "bench.resamples": config.bench.resamples,
    }
    if config.train.max_text_tokens is not None:
        above_zero["train.max_text_tokens"] = config.train.max_text_tokens
    if config.data_limit is not None:
        above_zero["data_limit"] = config.data_limit
    if config.method.fine_grained:
        above_zero["method.fine_grained_weight"] = config.method.fine_grained_weight
    if config.model.train_projector:
        above_zero["model.projector_lr"] = config.model.projector_lr
    if config.beta is not None:
        above_zero["beta"] = config.beta
    for key, value in above_zero.items():
        if not 0 < value < float("inf"):
            yield f"{key}={value}: must be above 0"
    shares = {
        "data_scale": config.data_scale,
        "label_noise": config.label_noise,
        "train.warmup_ratio": config.train.warmup_ratio,
        "data.sampling.top_p": config.data.sampling.top_p,
        "model.lora.lora_dropout": config.model.lora.lora_dropout,
        "bench.confidence": config.bench.confidence,
    }
    for key, value in shares.items():
        if not 0 <= value <= 1:
            yield f"{key}={value}: must lie between 0 and 1"
    for key, value in {
        "seed": config.seed,
        "bench.seed": config.bench.seed,
    }.items():
        if not 0 <= value < 2**32:
            yield f"{key}={value}: must lie between 0 and 2^32 - 1"
    for key, value in {
        "train.weight_decay": config.train.weight_decay,
        "train.dataloader_num_workers": config.train.dataloader_num_workers,
    }.items():
        if not 0 <= value < float("inf"):
            yield f"{key}={value}: must not be negative"
    if config.data.sampling.completions < 2:
        yield f"data.sampling.completions={config.data.sampling.completions}: a pair needs at least 2"


def _axes(config: Config) -> Iterator[str]:
    name = config.method.name
    defaults = {"data_scale": 1.0, "label_noise": 0.0, "seed": 0}
    for axis in AXES:
        used, value = axis in config.method.axes, getattr(config, axis)
        if not used and value != defaults.get(axis):
            yield (
                f"{axis}={value}: method={name} does not use {axis}; drop it, or choose "
                f"method={'|'.join(methods_using(axis))}"
            )
        if used and value is None and axis != "data_limit":  # which may be absent
            yield f"{axis} is missing: method={name} needs it; add {axis}=..."
    if "logprob_avg" in config.method.axes and config.logprob_avg and config.method.loss_type != "sigmoid":
        yield f"logprob_avg=true: method.loss_type={config.method.loss_type} has no such form; only sigmoid has"


def _method(config: Config) -> Iterator[str]:
    method = config.method
    if method.train_on is not TrainOn.pairs:
        if method.loss_type is not None:
            yield f"method.loss_type={method.loss_type}: method={method.name} is SFT; drop it, or choose method=dpo"
        if method.fine_grained:
            yield f"method.fine_grained=true: method={method.name} has no pairs; choose method=dpo"
    elif method.loss_type not in LOSSES:
        yield f"method.loss_type={method.loss_type}: unknown; allowed are {', '.join(LOSSES)}"
    elif method.fine_grained and method.loss_type != "sigmoid":
        yield f"method.fine_grained=true: method.loss_type={method.loss_type} has no such form; only sigmoid has"
    smoothing = method.label_smoothing
    if smoothing and method.loss_type not in SMOOTHED:
        yield f"method.label_smoothing={smoothing}: only the losses {', '.join(SMOOTHED)} use it"
    elif not 0 <= smoothing < 0.5 or (method.loss_type == "exo_pair" and not smoothing):
        least = "above 0" if method.loss_type == "exo_pair" else "at least 0"
        yield f"method.label_smoothing={smoothing}: must be {least} and below 0.5"
    yield from _attributes(config)
    own_pairs = config.data.path is not None
    if own_pairs and config.data.format == "llava_sft" and method.train_on is TrainOn.pairs:
        yield f"method={method.name}: data={config.data.name} has answers and no pairs; choose method=sft"
    if own_pairs and method.train_on in (TrainOn.best_completion, TrainOn.rated_completions):
        yield (
            f"method={method.name}: data={config.data.name} has no ratings; choose method=dpo, or method=sft "
            "for the chosen answers"
        )
    if not own_pairs and method.train_on is TrainOn.teacher and config.judge.name not in TEACHERS:
        yield (
            f"judge={config.judge.name}: has no answers of its own for method={method.name} to learn; choose "
            f"judge={'|'.join(TEACHERS)}"
        )


def _attributes(config: Config) -> Iterator[str]:
    method, template = config.method, config.model.attribute_template
    if method.train_on is not TrainOn.rated_completions:
        if method.attributes:
            yield f"method.attributes: method={method.name} asks for no ratings; choose method=steerlm"
        return
    if set(method.attributes) != set(ATTRIBUTES):
        yield f"method.attributes={method.attributes}: needs exactly {', '.join(ATTRIBUTES)}"
    for name, value in method.attributes.items():
        if not 0 <= value <= 4:
            yield f"method.attributes.{name}={value}: must lie between 0 and 4"
    allowed = ("question", "attributes", *ATTRIBUTES)
    try:
        template.format(question="", attributes="", **dict.fromkeys(ATTRIBUTES, 0))
        names = {name for _, name, _, _ in Formatter().parse(template)}
    except (LookupError, ValueError, AttributeError) as error:
        yield (
            f"model.attribute_template={template!r}: {error}; allowed are "
            f"{', '.join(f'{{{name}}}' for name in allowed)}"
        )
        return
    if "question" not in names:
        yield f"model.attribute_template={template!r}: has no {{question}}"
    if "attributes" not in names and not names >= set(ATTRIBUTES):
        yield f"model.attribute_template={template!r}: names neither {{attributes}} nor all five of them"


def _names(config: Config) -> Iterator[str]:
    if config.model.dtype not in DTYPES:
        yield f"model.dtype={config.model.dtype}: allowed are {', '.join(DTYPES)}"
    if config.train.zero_stage not in ZERO_STAGES:
        yield f"train.zero_stage={config.train.zero_stage}: allowed are {', '.join(map(str, ZERO_STAGES))}"
    if config.model.chat_template and config.model.chat_template not in templates():
        yield (
            f"model.chat_template={config.model.chat_template}: unknown; allowed are "
            f"{', '.join(templates())}, or null for the checkpoint's own"
        )
    for name in config.bench.tasks:
        if name not in BENCHMARKS.names():
            yield f"bench.tasks: {name} is unknown; allowed are {', '.join(BENCHMARKS.names())}"
    if config.judge.name not in options("judge"):
        yield f"judge.name={config.judge.name}: unknown; allowed are {', '.join(options('judge'))}"
    if config.bench.judge not in RULE_JUDGES:
        yield f"bench.judge={config.bench.judge}: unknown; allowed are {', '.join(RULE_JUDGES)}"
    if not config.bench.tasks:
        yield f"bench.tasks=[]: name at least one of {', '.join(BENCHMARKS.names())}"
    if config.objective.split("/")[0] not in config.bench.tasks:
        yield f"objective={config.objective}: bench.tasks={config.bench.tasks} has no such score"
    for name in (config.study, config.out):
        if not name.strip():
            yield "study and out must not be empty: type study=NAME, out=FOLDER"
    if Path(config.study).name != config.study or config.study.startswith("."):
        yield f"study={config.study}: a plain folder name is allowed; other places are out=FOLDER"


def _inputs(config: Config) -> Iterator[str]:
    data = config.data
    if data.name in FORMATS and data.path is None:
        yield f"data.path is missing: data={data.name} needs your file; add data.path=FILE"
    if data.path is not None and not Path(data.path).is_file():
        yield f"data.path={data.path}: there is no such file; type data.path=FILE"
    if data.image_root is not None and not Path(data.image_root).is_dir():
        yield f"data.image_root={data.image_root}: there is no such folder; type data.image_root=DIR"
    yield from _data_settings(data)
    for name, source in data.sources.items():
        yield from _source_files(f"data.sources.{name}", source)
    for key in ("path", "before_visual_tuning"):
        try:
            if path := getattr(config.model, key):
                resolve_path(path)
        except UserError as error:
            yield str(error).replace("model.path=", f"model.{key}=")


def _data_settings(data: DataConfig) -> Iterator[str]:
    if not 0 <= data.seed < 2**32:
        yield f"data.seed={data.seed}: must lie between 0 and 2^32 - 1"
    if data.format not in FORMATS:
        yield f"data.format={data.format}: unknown; allowed are {', '.join(FORMATS)}"
    for name, source in data.sources.items():
        yield from _source_settings(f"data.sources.{name}", source)


def _source_files(key: str, source: SourceConfig) -> Iterator[str]:
    if source.path is None or not Path(source.path).exists():
        yield f"{key}.path={source.path}: there is no such file or folder; type {key}.path=FILE"
    if source.image_root is not None and not Path(source.image_root).is_dir():
        yield f"{key}.image_root={source.image_root}: there is no such folder; type {key}.image_root=DIR"


def _source_settings(key: str, source: SourceConfig) -> Iterator[str]:
    if not Path(key.rpartition(".")[2]).name.isidentifier():
        yield f"{key}: a source's name is made of letters, digits and underscores"
    if source.reader not in READERS:
        yield f"{key}.reader={source.reader}: unknown; allowed are {', '.join(READERS)}"
    if source.count is not None and source.count < 1:
        yield f"{key}.count={source.count}: must be above 0, or null for all"
    if source.offset < 0:
        yield f"{key}.offset={source.offset}: must not be negative"


def _generator(config: Config) -> Iterator[str]:
    generator = config.generator
    for key, value in {"concurrency": generator.concurrency, "timeout": generator.timeout}.items():
        if not 0 < value < float("inf"):
            yield f"generator.{key}={value}: must be above 0"
    if generator.name not in options("generator"):
        yield f"generator.name={generator.name}: unknown; allowed are {', '.join(options('generator'))}"
    for key, given in {"model": generator.model, "base_url": generator.base_url}.items():
        if generator.name == "openai" and not given:
            yield f"generator.{key} is missing: generator=openai needs it; add generator.{key}=..."
    if generator.adapter and generator.name != "model":
        yield f"generator.adapter: generator={generator.name} takes none; choose generator=model"
    elif generator.adapter and not (Path(generator.adapter) / "adapter_config.json").is_file():
        yield (
            f"generator.adapter={generator.adapter}: holds no adapter_config.json; type "
            "generator.adapter=outputs/STUDY/POINT/adapter"
        )


def _pairs(config: Config) -> Iterator[str]:
    pairs = config.pairs
    if pairs.margin < 1:
        yield f"pairs.margin={pairs.margin}: must be at least 1"
    if not pairs.aggregate or len(set(pairs.aggregate)) < len(pairs.aggregate):
        yield f"pairs.aggregate={pairs.aggregate}: name each of its attributes once, one at least"
    for name in pairs.aggregate:
        if name not in ATTRIBUTES:
            yield f"pairs.aggregate: {name} is unknown; allowed are {', '.join(ATTRIBUTES)}"


def _judge(config: Config) -> Iterator[str]:
    judge, limits, price = config.judge, config.judge.limits, config.judge.price
    above_zero = {
        "judge.max_output_tokens": judge.max_output_tokens,
        "judge.batch_size": judge.batch_size,
        "judge.image_side": judge.image_side,
        "judge.timeout": judge.timeout,
        "judge.limits.requests_per_minute": limits.requests_per_minute,
        "judge.limits.tokens_per_minute": limits.tokens_per_minute,
        "judge.limits.requests_per_day": limits.requests_per_day,
        "judge.limits.concurrency": limits.concurrency,
        "judge.limits.budget": limits.budget,
        "judge.limits.max_attempts": limits.max_attempts,
        "judge.limits.backoff_seconds": limits.backoff_seconds,
        "judge.limits.backoff_longest": limits.backoff_longest,
    }
    for key, value in above_zero.items():
        if value is not None and not 0 < value < float("inf"):
            yield f"{key}={value}: must be above 0"
    if not 0 <= judge.repeat <= 1:
        yield f"judge.repeat={judge.repeat}: must lie between 0 and 1"
    if not 0 <= judge.temperature <= 2:
        yield f"judge.temperature={judge.temperature}: must lie between 0 and 2"
    for key, value in {"input": price.input, "output": price.output, "batch": price.batch}.items():
        if not 0 <= value < float("inf"):
            yield f"judge.price.{key}={value}: must not be negative"
    if judge.batch and judge.name != "gemini":
        yield f"judge.batch=true: judge={judge.name} has no batches; drop it, or choose judge=gemini"
    if limits.budget is not None and price.input == price.output == 0:
        yield "judge.limits.budget: needs prices; add judge.price.input= and judge.price.output="
    if config.data.sources and judge.name == "oracle":
        services = [name for name in options("judge") if name not in RULE_JUDGES]
        yield (
            f"judge=oracle: knows the miniature only, not data={config.data.name}; choose judge={'|'.join(services)}"
        )
    if judge.retry_unscored and config.stage not in (Stage.annotate, Stage.teacher):
        yield "judge.retry_unscored=true: goes with stage=annotate or stage=teacher"
    if judge.name not in RULE_JUDGES and not judge.model:
        yield f"judge.model is missing: judge={judge.name} needs one; add judge.model=..."
    if judge.rubric not in rubrics():
        yield f"judge.rubric={judge.rubric}: unknown; allowed are {', '.join(rubrics())}"
    if (count := config.data.sampling.completions) > len(LABELS):
        yield f"data.sampling.completions={count}: a judge is shown at most {len(LABELS)}"
