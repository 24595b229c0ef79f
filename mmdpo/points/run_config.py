"""The config of a point's W&B run: nested as in the YAML files, without settings that mean nothing for the point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdpo.config.schema import AXES
from mmdpo.points.identity import Role, of_role

RESULT = "result"
"""The key of the name that runs share which differ only in their seed."""


def run_config(flat: Mapping[str, Any], role: str, point: str, result: str) -> dict[str, Any]:
    """Return the config of a run.

    Args:
        flat: The point's config by dotted keys.
        role: The point's role.
        point: The name of the point's folder.
        result: The name that the runs of all its seeds share.

    Returns:
        A nested dictionary. The axes of a trained point are those of its method; only a base has the axis
        `data_scale`, which is 0.
    """
    if role == Role.trained:
        used = flat.get("method.axes") or AXES
        kept = {key: value for key, value in flat.items() if key not in AXES or key in used}
    else:
        kept = of_role(dict(flat), Role.base)
        if role != Role.base:
            kept.pop("data_scale", None)
        if role == Role.start:
            kept["model.adapter"] = flat.get("model.adapter")
    nested: dict[str, Any] = {}
    for key, value in kept.items():
        *groups, last = key.split(".")
        group = nested
        for name in groups:
            group = group.setdefault(name, {})
        group[last] = value
    return {**nested, "point": point, RESULT: result, "role": str(role)}
