"""Checks of the servers that answer benchmarks and prompts: what each way of asking needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmdpo.config.choices import AnswerEngine, Stage
from mmdpo.config.schema import Config, GeneratorConfig
from mmdpo.errors import UserError
from mmdpo.models.adapter_config import holds_modules
from mmdpo.models.server_command import command_problems, has_field


def engine_problems(config: Config) -> Iterator[str]:
    """Describe each setting that `bench.engine` needs."""
    server = config.bench.server
    if config.bench.engine is AnswerEngine.openai:
        if not server.base_url:
            yield (
                "bench.server.base_url is missing: bench.engine=openai asks a server that runs; type "
                "bench.server.base_url=http://HOST:8000/v1, or choose bench.engine=server"
            )
        if not server.model:
            yield "bench.server.model is missing: bench.engine=openai needs it; type bench.server.model={point}"
        elif "{point}" not in server.model and not _is_one_model(config):
            yield (
                f"bench.server.model={server.model}: the base and each trained point would be the same model; serve "
                "each under the name of its point, and type bench.server.model={point}"
            )
    if config.bench.engine is AnswerEngine.server:
        yield from command_problems("bench.server.command", server.command)


def _is_one_model(config: Config) -> bool:
    """Return whether a config measures the untrained model alone."""
    before = config.model.before_visual_tuning is not None and config.stage is Stage.experiment
    return config.is_base and not before


def started_generator_problems(generator: GeneratorConfig) -> Iterator[str]:
    """Describe what is wrong with the command of a server that answers the prompts, and with its adapter."""
    command, adapter = generator.command, generator.adapter
    yield from command_problems("generator.command", command)
    if not adapter or not command:
        return
    if not has_field(command, "adapter"):
        yield (
            f"generator.adapter={adapter}: generator.command has no {{adapter}}, so that the server would not get it; "
            "add --enable-lora --lora-modules {point}={adapter}"
        )
    elif _holds_modules(Path(adapter)):
        yield (
            f"generator.adapter={adapter}: it holds a trained projector, which is no LoRA; run stage=export for its "
            "point, drop generator.adapter=, and type model.path=outputs/STUDY/POINT/merged"
        )


def _holds_modules(adapter: Path) -> bool:
    try:
        return holds_modules(adapter)
    except UserError:
        return False  # other checks describe it
