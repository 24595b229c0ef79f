"""The configs of a sweep's points, composed as seldom as can be.

Hydra needs some 40 ms to compose a point. Points that differ in axes alone are composed once, and the axes
are set on the result, unless something in the config refers to them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdpo.config.schema import AXES, Config
from mmdpo.entry.checks import check
from mmdpo.entry.compose import typed
from mmdpo.errors import UserError

REFERENCE = re.compile(rf"\$\{{[^}}]*(?<!\w)(?<!\w\.)({'|'.join(AXES)})(?![\w.])")
"""An interpolation of an axis, as in ${beta}, ${..beta} or ${oc.select:x,${beta}}, and not ${method.beta}."""


def compose_points(compose: Callable[[list[str]], DictConfig], points: Sequence[Sequence[str]]) -> Iterator[Config]:
    """The checked config of each point's overrides; `compose` is Hydra's, and knows the rest of the line."""
    parser = OverridesParser.create()
    known: dict[tuple[str, ...], tuple[DictConfig, Config]] = {}
    for overrides in points:
        axes = {_key(text): text for text in overrides if _is_plain(text)}
        rest = [text for text in overrides if not _is_plain(text)]
        others = (*rest, *axes)
        if others in known:
            yield _set(*known[others], axes, parser)
            continue
        node = compose([*overrides])
        config = typed(node)
        special = any(_key(text).lstrip("+~") in AXES for text in rest)
        if not special and not REFERENCE.search(OmegaConf.to_yaml(node)):
            known[others] = node, config
        yield config


def _set(node: DictConfig, config: Config, axes: dict[str, str], parser: OverridesParser) -> Config:
    """The config with other values on its axes; `node` knows their types."""
    values = {}
    for key, text in axes.items():
        try:
            OmegaConf.update(node, key, parser.parse_override(text).value())
            values[key] = node[key]
        except OmegaConfBaseException as error:
            raise UserError(f"{text}: {str(error).splitlines()[0]}") from error
    result = dataclasses.replace(config, **values)
    check(result)
    return result


def _is_plain(override: str) -> bool:
    """Whether it gives an axis a value and does no more, unlike +beta=1, ~beta and beta=${lr}."""
    return _key(override) in AXES and "${" not in override


def _key(override: str) -> str:
    return override.partition("=")[0]
