"""Compose the configs of a sweep's points, once per group of points that differ only in axes.

Hydra needs some 40 ms to compose a point. Points that differ only in axes are composed once, and their axes are set
on the result, unless something in the config refers to an axis.
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
from mmdpo.entry.fit_keeps import keep_typed
from mmdpo.entry.override_values import assignment_problem
from mmdpo.entry.overrides import check_overrides
from mmdpo.entry.typed_keys import TypedKeys
from mmdpo.errors import UserError

REFERENCE = re.compile(rf"\$\{{[^}}]*(?<!\w)(?<!\w\.)({'|'.join(AXES)})(?![\w.])")
"""Pattern of an interpolated axis, as in ${beta}, ${..beta} or ${oc.select:x,${beta}}, but not ${method.beta}."""


def compose_points(
    compose: Callable[[list[str]], DictConfig], points: Sequence[Sequence[str]], typed_keys: TypedKeys | None = None
) -> Iterator[Config]:
    """Compose and check the config of each point.

    Args:
        compose: Hydra's composition of a list of overrides.
        points: The overrides of each point.
        typed_keys: Collects the keys that the points set, and checks after the last point that they are read.

    Yields:
        The checked configs, in the order of the points.

    Raises:
        UserError: An override or a value is wrong; the message names it.
    """
    parser = OverridesParser.create()
    check_overrides(dict.fromkeys(text for overrides in points for text in overrides if not _is_plain(text)))
    composed: dict[tuple[str, ...], tuple[DictConfig, Config]] = {}
    for overrides in points:
        axes = {_key(text): text for text in overrides if _is_plain(text)}
        rest = [text for text in overrides if not _is_plain(text)]
        others = (*rest, *axes)
        if others in composed:
            node = composed[others][0]
            config = _with_axes(*composed[others], axes, parser)
        else:
            node = compose([*overrides])
            config = keep_typed(typed(node), rest)
            changes_axes = any(_key(text).lstrip("+~") in AXES for text in rest)
            if not changes_axes and not REFERENCE.search(OmegaConf.to_yaml(node)):
                composed[others] = node, config
        if typed_keys is not None:
            typed_keys.add(node, config, overrides)
        yield config
    if typed_keys is not None:
        typed_keys.check()


def _with_axes(node: DictConfig, config: Config, axes: dict[str, str], parser: OverridesParser) -> Config:
    """Return the config with other values on its axes; `node` holds their types."""
    values = {}
    for key, text in axes.items():
        try:
            OmegaConf.update(node, key, parser.parse_override(text).value())
            values[key] = node[key]
        except OmegaConfBaseException as error:
            reason = assignment_problem(key, parser.parse_override(text).value())
            raise UserError(reason or f"{text}: {str(error).splitlines()[0]}") from error
    result = dataclasses.replace(config, **values)
    check(result)
    return result


def _is_plain(override: str) -> bool:
    """Return whether an override gives an axis a value and nothing else, unlike +beta=1, ~beta and beta=${lr}."""
    return _key(override) in AXES and "${" not in override


def _key(override: str) -> str:
    return override.partition("=")[0]
