"""Markers that stand beside the schema's fields: ranges, choices, texts of several lines, fields without a result.

Ranges are those of annotated-types (Gt, Ge, Lt, Le, Interval). mmdpo/config/field_checks.py enforces ranges and
choices; mmdpo/points/identity.py leaves out fields marked `NO_RESULT`. This module must stay light: `launch.py --cfg
job` loads it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annotated_types import Ge, Gt, Interval


@dataclass(frozen=True)
class OneOf:
    """A field whose value must be one of `choices`; in a list or dictionary, each entry must be.

    Choices that depend on which files exist are given as a function that returns them.
    """

    choices: Sequence[object] | Callable[[], Sequence[object]]


@dataclass(frozen=True)
class NoResult:
    """A field or group of fields that changes no result, and so is not part of a point's identity."""


@dataclass(frozen=True)
class SeveralLines:
    """A text, or a list of texts, that may hold line breaks and tabs."""


POSITIVE = Gt(0)
NOT_NEGATIVE = Ge(0)
AT_LEAST_ONE = Ge(1)
SHARE = Interval(ge=0, le=1)
SEED = Interval(ge=0, lt=2**32)
NO_RESULT = NoResult()
SEVERAL_LINES = SeveralLines()
