"""Settings that `train.fit` keeps because the user typed them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from mmdpo.config.choices import FITTED
from mmdpo.config.schema import Config


def keep_typed(config: Config, overrides: Iterable[str]) -> Config:
    """Return the config with the typed settings of `train.fit` in `train.fit_keeps`; those of presets are not typed.

    Args:
        config: A point's config.
        overrides: The overrides of its command.
    """
    keys = {text.partition("=")[0].lstrip("+") for text in overrides}
    typed = [name for name in FITTED if {f"train.{name}", f"method.{name}"} & keys]
    if not typed:
        return config
    kept = [*dict.fromkeys([*config.train.fit_keeps, *typed])]
    return dataclasses.replace(config, train=dataclasses.replace(config.train, fit_keeps=kept))
