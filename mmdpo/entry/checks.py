"""Check the whole config of a point before the first point of a command starts.

Ranges and choices stand beside the schema's fields and are checked in one walk (mmdpo/config/field_checks.py). The
checks between fields are in one file per idea: method, data, sampling,
judge, servers, cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.cluster_checks import combination_problems
from mmdpo.config.field_checks import field_problems, unknown_choice
from mmdpo.config.schema import BenchConfig, Config, DataConfig, ModelConfig
from mmdpo.entry.bench_checks import bench_problems
from mmdpo.entry.data_checks import data_file_problems, data_settings_problems
from mmdpo.entry.halving import search_problems
from mmdpo.entry.judge_checks import judge_problems
from mmdpo.entry.method_checks import method_problems
from mmdpo.entry.plan_checks import plan_problems
from mmdpo.entry.sampling_checks import generator_problems, pairs_problems
from mmdpo.entry.server_checks import engine_problems
from mmdpo.entry.shard_checks import shard_problems
from mmdpo.entry.start_checks import halving_problems, rounds_problems, start_problems
from mmdpo.env_secrets import refuse_secrets, texts
from mmdpo.errors import UserError
from mmdpo.models.paths import resolve_path, templates

POLYNOMIAL_END = 1e-7
"""The learning rate at which transformers' polynomial schedule ends; it refuses a smaller one to start with."""


def check(config: Config) -> None:
    """Raise UserError naming every problem of this point, each with the override to type.

    A value that holds a secret comes first: the other messages quote values.
    """
    judges = [*config.judge.api_key, *config.bench.judge.api_key]
    refuse_secrets(texts(config), [*judges, *config.generator.api_key, *config.bench.server.api_key])
    _raise(
        *field_problems(config),
        *method_problems(config),
        *_model(config.model),
        *start_problems(config),
        *rounds_problems(config),
        *halving_problems(config),
        *_schedule(config),
        *_study(config),
        *data_settings_problems(config.data),
        *data_file_problems(config.data),
        *judge_problems(config),
        *bench_problems(config),
        *shard_problems(config),
        *generator_problems(config.generator),
        *engine_problems(config),
        *pairs_problems(config.pairs, config.judge.rubric),
        *combination_problems(config.cluster),
        *plan_problems(config),
        *search_problems(config.search),
    )


def check_data(data: DataConfig) -> None:
    """Raise UserError naming every wrong setting of the data; files may be missing."""
    _raise(*field_problems(data, "data."), *data_settings_problems(data))


def check_bench(bench: BenchConfig) -> None:
    """Raise UserError for every wrong setting of the benchmarks; files may be missing."""
    _raise(*field_problems(bench, "bench."))


def _raise(*problems: str) -> None:
    if problems:
        raise UserError("\n".join(problems))


def _model(model: ModelConfig) -> Iterator[str]:
    if model.chat_template and model.chat_template not in templates():
        yield unknown_choice("model.chat_template", model.chat_template, [*templates(), "null"])
    for key in ("path", "before_visual_tuning"):
        try:
            if path := getattr(model, key):
                resolve_path(path)
        except UserError as error:
            yield str(error).replace("model.path=", f"model.{key}=")


def _schedule(config: Config) -> Iterator[str]:
    if config.train.lr_scheduler_type == "polynomial" and config.lr <= POLYNOMIAL_END:
        yield f"lr={config.lr}: train.lr_scheduler_type=polynomial ends at {POLYNOMIAL_END}; type a larger lr="


def _study(config: Config) -> Iterator[str]:
    tasks = config.bench.tasks
    if not tasks:
        yield "bench.tasks=[]: name at least one, as in bench.tasks=[text]"
    elif config.objective.split("/")[0] not in tasks:
        yield f"objective={config.objective}: bench.tasks={tasks} has no such score"
    for key, value in {"study": config.study, "out": config.out}.items():
        if not value.strip():
            yield f"{key}: must not be empty; type {key}=NAME"
    if Path(config.study).name != config.study or config.study.startswith("."):
        yield f"study={config.study}: must be a plain folder name; choose another place with out=FOLDER"
