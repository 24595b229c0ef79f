"""The engine that answers the benchmarks of a point: its model in this process, or a server."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

from mmdpo.config.choices import AnswerEngine
from mmdpo.console import print_line
from mmdpo.models.adapter_config import holds_modules
from mmdpo.models.fingerprints import processor_fingerprint, weights_fingerprint
from mmdpo.models.libraries import prepare_libraries
from mmdpo.models.requests import Engine
from mmdpo.models.served_folder import served_folder
from mmdpo.models.server_command import has_field
from mmdpo.pipeline.merging import merged_folder
from mmdpo.points.identity import Role
from mmdpo.points.point import Point, takes_text_only

LOG = Path("logs", "server.log")
"""The log of a point's server, in the point's folder."""

_passed: dict[tuple[str, str, str, bool], dict[str, bool]] = {}
"""Results of an engine's tests of the architecture, by base model: an adapter does not change it."""


def engine_of(p: Point) -> Engine:
    """Return what answers the benchmarks of a point, as `bench.engine` says."""
    bench = p.config.bench
    if bench.engine is AnswerEngine.model:
        return _own_model(p)
    from mmdpo.models.served_engine import ServedEngine

    if bench.engine is AnswerEngine.openai:
        return ServedEngine(bench, (bench.server.model or "").replace("{point}", p.name))
    from mmdpo.models.server_process import start_server

    values = _command_values(p)
    _free_gpu_memory()
    process, model = start_server("bench.server", bench.server, values, p.folder / LOG)
    return ServedEngine(bench, model, process)


def is_text_only(p: Point) -> bool:
    """Return whether a point measures a language model without a part for images."""
    return p.role is Role.before_visual_tuning and takes_text_only(p.config.model.path)


def _own_model(p: Point) -> Engine:
    """Load the point's model, with its adapter if it is trained."""
    prepare_libraries(p.config.cluster.threads)
    from mmdpo.models.adapter import merged
    from mmdpo.models.device import on_device
    from mmdpo.models.engine import ModelEngine
    from mmdpo.models.loading import load_model, load_processor

    model, bench = p.config.model, p.config.bench
    loaded: Any
    processor: Any
    if is_text_only(p):
        from mmdpo.models.causal import load_causal_model, load_text_processor

        loaded, processor = load_causal_model(model.path, model.dtype), load_text_processor(model)
    elif p.adapter is not None:
        loaded, processor = merged(model, p.adapter), load_processor(model)
    else:
        loaded, processor = load_model(model.path, model.dtype), load_processor(model)
    base = weights_fingerprint(model.path), processor_fingerprint(model), model.dtype, is_text_only(p)
    passed = _passed.setdefault(base, {})
    return ModelEngine(on_device(loaded), processor, bench.batch_size, bench.max_new_tokens, bench.seed, passed)


def _command_values(p: Point) -> dict[str, str | None]:
    """Return the values of the fields of `bench.server.command` for a point, merging its model if that is needed."""
    values: dict[str, str | None] = {"point": p.name, "adapter": None}
    if p.adapter is not None:
        adapter = p.adapter.resolve()
        if has_modules := holds_modules(adapter):
            print_line(f"{p.name}: its projector was trained, which is no LoRA: the server gets the merged model")
        if has_modules or not has_field(p.config.bench.server.command or "", "adapter"):
            return {**values, "model": str(merged_folder(p))}  # with the processor of the training
        values["adapter"] = str(adapter)
    return {**values, "model": served_folder(p.config.model, is_text_only(p))}


def _free_gpu_memory() -> None:
    """Give the memory of a training in this process back to the GPU, for the server."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
