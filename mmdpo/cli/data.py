"""Commands for data: doctor."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError

if TYPE_CHECKING:
    from mmdpo.sources.doctor_report import Renderer


def doctor(options: argparse.Namespace) -> int:
    """Report which files of a data set are there and usable. Returns 1 if something is missing or wrong."""
    from mmdpo.console import make_console
    from mmdpo.entry.compose import compose_data, compose_model
    from mmdpo.sources.doctor_report import print_report

    directory = Path(options.config_dir) if options.config_dir else None
    data, judge = compose_data(options.overrides, directory)
    words = [*(["--config-dir", options.config_dir] if directory else []), *options.overrides]
    renderer = _renderer(compose_model(options.overrides, directory))
    return 0 if print_report(data, judge, words, make_console(), renderer) else 1


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
