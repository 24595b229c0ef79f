"""Markers that stand beside the schema's fields: allowed ranges, allowed choices, and "changes no result".

Ranges are those of annotated-types (Gt, Ge, Lt, Le, Interval). `mmdpo.entry.checks` enforces ranges and choices in
one place; `mmdpo.points.identity` leaves out what is marked `NO_RESULT`. This module must stay light: it is on the
path of `launch.py --cfg job`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annotated_types import Ge, Gt, Interval


@dataclass(frozen=True)
class OneOf:
    """A field that takes one of `choices`, or of what calling it returns; of a list, each of its entries."""

    choices: Sequence[object] | Callable[[], Sequence[object]]


@dataclass(frozen=True)
class NoResult:
    """A field, or group of fields, that changes no result: it is no part of a point's identity."""


POSITIVE = Gt(0)
NOT_NEGATIVE = Ge(0)
AT_LEAST_ONE = Ge(1)
SHARE = Interval(ge=0, le=1)
SEED = Interval(ge=0, lt=2**32)
NO_RESULT = NoResult()
