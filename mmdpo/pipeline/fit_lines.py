"""Preview of the plan that `train.fit` would choose, for a dry run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmdpo.config.choices import Runner
from mmdpo.config.schema import Config
from mmdpo.models.fingerprints import cached_snapshot
from mmdpo.models.paths import resolve_path
from mmdpo.points.identity import Role
from mmdpo.points.point import Point

DRIVER = Path("/proc/driver/nvidia/version")


def fit_lines(points: Sequence[Point]) -> Iterator[str]:
    """Yield a line for each model and setting of the optimization among points to train, where `train.fit` acts."""
    seen = set()
    for config in (p.config for p in points if p.role is Role.trained):
        key = repr((config.model, config.train, config.method.train_on, config.cluster.processes))
        if key not in seen:
            seen.add(key)
            yield from _lines(config)


def _lines(config: Config) -> Iterator[str]:
    train, cluster = config.train, config.cluster
    away = cluster.runner is Runner.slurm
    gpu = cluster.gpus_per_node > 0 if away else DRIVER.exists()
    if train.fit == "off" or not (gpu or train.memory_gib):
        return
    start = f"train.fit=auto, {config.model.name}: "
    folder = Path(resolve_path(config.model.path))
    if not folder.is_dir() and cached_snapshot(config.model.path) is None:
        yield f"{start}the plan is chosen by the job, as the model is not on this machine"
    elif train.max_text_tokens is None:
        yield f"{start}the plan is chosen by the job, as nothing limits the rows; type train.max_text_tokens="
    elif away and train.memory_gib is None:
        yield f"{start}the plan is chosen by the job; type train.memory_gib=80 to see that of a GPU with 80 GiB"
    else:
        yield start + _choice(config, gpu)


def _choice(config: Config, gpu: bool) -> str:
    from mmdpo.pipeline.point_stages import training_settings
    from mmdpo.training.fit.fitting import has_deepspeed, memory_limit, quantized, usable
    from mmdpo.training.fit.preview import preview

    train, settings = config.train, training_settings(config)
    if config.cluster.processes == 1:
        settings = dataclasses.replace(settings, train=dataclasses.replace(train, zero_stage=0))
    if settings.model.quantization is not None:
        return quantized(settings).reason
    if gpu and train.memory_gib is not None:
        limit: int | None = usable(train.memory_gib)
    else:
        limit = memory_limit(settings)
    if limit is None:
        return "no GPU can be used here"
    try:
        choice = preview(settings, limit, gpu, config.cluster.processes, has_deepspeed())
    except Exception as error:  # architectures fail without values in different ways
        return f"the plan cannot be predicted ({error})"
    return f"{choice}, for rows of {train.max_text_tokens} text tokens with an image each"
