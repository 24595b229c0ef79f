"""Commands for data and benchmarks: doctor."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.config.schema import BenchConfig, DataConfig, ModelConfig
from mmdpo.errors import UserError

if TYPE_CHECKING:
    from mmdpo.sources.doctor_report import Renderer


def doctor(options: argparse.Namespace) -> int:
    """Report which files of a data set or of benchmarks are there and usable.

    Returns:
        0, or 1 if something is missing or wrong.
    """
    from mmdpo.entry.compose import compose_bench, compose_data, compose_model

    directory = Path(options.config_dir) if options.config_dir else None
    words = [*(["--config-dir", options.config_dir] if directory else []), *options.overrides]
    of_bench = _name_group(options.overrides, "bench")
    of_data = not of_bench or _name_group(options.overrides, "data")
    bench = compose_bench(options.overrides, directory)[0] if of_bench else None
    good = [_examine_bench(bench, words)] if bench else []
    if of_data:
        data, judge = compose_data(options.overrides, directory)
        good.append(_examine_data(data, judge, words, compose_model(options.overrides, directory)))
        if bench and all(good):
            _examine_overlap(data, bench)
    return 0 if all(good) else 1


def _name_group(overrides: list[str], group: str) -> bool:
    """Return whether an override chooses this config group or changes one of its settings."""
    return any(word.lstrip("+~").startswith((f"{group}=", f"{group}.")) for word in overrides)


def _examine_bench(bench: BenchConfig, words: list[str]) -> bool:
    from mmdpo.console import make_console
    from mmdpo.evaluation.doctor_report import print_report

    return print_report(bench, words, make_console())


def _examine_data(data: DataConfig, judge: str, words: list[str], model: ModelConfig | None) -> bool:
    from mmdpo.console import make_console
    from mmdpo.sources.doctor_report import print_report

    return print_report(data, judge, words, make_console(), _renderer(model))


def _examine_overlap(data: DataConfig, bench: BenchConfig) -> None:
    """Print what the user's own training data share with the benchmarks."""
    from dataclasses import asdict

    from mmdpo.analysis.contamination_lines import overlap_line
    from mmdpo.console import print_line
    from mmdpo.evaluation.overlap import overlaps
    from mmdpo.evaluation.samples import sample_sets
    from mmdpo.pipeline.own_pairs import own_pairs

    sets = [one for one in sample_sets(bench, {}, "") if one.task.bench_files]
    if not data.is_own or not sets:
        return
    own = own_pairs(data)
    for task, found in overlaps(own.examples, own.image_root, sets).items():
        clean = f"contamination  {task}: none ({found.long_enough} of {found.items} items have 13 words or more)"
        print_line(overlap_line(task, asdict(found)) or clean)


def _renderer(model: ModelConfig | None) -> Renderer | None:
    """Return what renders a prompt by the model's chat template; None if the model is not on this disk."""
    from mmdpo.models.preview import chat_template, rendered_prompt
    from mmdpo.sources.doctor_report import Renderer

    try:
        if model is None or chat_template(model) is None:
            return None
    except (UserError, OSError, ValueError):  # a wrong path, or a damaged file: launch.py says so
        return None
    return Renderer(f"model={model.name}", lambda record: rendered_prompt(model, record))
