"""The terms of a search over points: `beta=0.1,0.2`, `model=llava*`, `train.num_train_epochs>=2`, `text>7.5`."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from mmdpo.analysis.study import POINT_AXES, Row
from mmdpo.analysis.varying import schema_defaults
from mmdpo.config.choices import BENCHMARKS
from mmdpo.config.keys import all_keys, exists, key_problem
from mmdpo.config.schema import GROUPS, Config
from mmdpo.errors import UserError
from mmdpo.points.identity import Role

TERM = re.compile(r"^([^=<>!]+?)\s*(<=|>=|!=|==|=|<|>)\s*(.*)$", re.DOTALL)
ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
OF_POINT = ("study", "point", "role", "state")
UNTRAINED = ("model", "bench", *OF_POINT)
"""The keys that mean something for a model that was not trained, with the axis data_scale."""

ABSENT = ("null", "none", "")
EXAMPLES = "beta=0.1,0.2, model=llava*, 'lr<=1e-5', 'text>7.5'"


class KeyKind(StrEnum):
    """The place of a key's value."""

    point = "point"
    axis = "axis"
    config = "config"
    score = "score"


@dataclass(frozen=True)
class Term:
    """A condition on one key of a point.

    Attributes:
        typed: The term as it was typed.
        key: The key in full: `model.name` for `model`.
        kind: The place of its value.
        comparison: `=`, `!=`, `<`, `>`, `<=` or `>=`.
        values: The values of which one must match; a single number for the last four.
    """

    typed: str
    key: str
    kind: KeyKind
    comparison: str
    values: tuple[str, ...]

    def value_of(self, row: Row) -> Any:
        """Return a point's value of the key; None if it has none."""
        if self.kind is KeyKind.score:
            score = row.scores.get(self.key)
            return None if score is None else score.value
        if self.kind is KeyKind.axis:
            return row.axes.get(self.key)
        if self.kind is KeyKind.point:
            return {"study": row.folder.parent.name, "point": row.point, "role": row.role, "state": row.state}[self.key]
        if row.role != Role.trained and not self.key.startswith(UNTRAINED):
            return None
        return _nested(row.config, self.key.split("."), schema_defaults().get(self.key))

    def matches(self, row: Row) -> bool:
        """Return whether a point meets the condition; one that has no such value meets none but `=null`."""
        return self.allows(self.value_of(row))

    def allows(self, value: Any) -> bool:
        """Return whether a value meets the condition."""
        if order := ORDERS.get(self.comparison):
            number = _number(value)
            return not math.isnan(number) and order(number, float(self.values[0]))
        if self.comparison == "!=":
            return value is not None and not any(_equal(value, one) for one in self.values)
        return any(_equal(value, one) for one in self.values)


def read_term(text: str) -> Term:
    """Read a term. Raises UserError for one that is none, and for an unknown key, with the nearest ones."""
    found = TERM.match(text)
    if found is None or not found[1].strip():
        raise UserError(f"{text!r}: type KEY=VALUE, as in {EXAMPLES}")
    key, kind = _resolved(found[1].strip().lstrip("+"))
    comparison = "=" if found[2] == "==" else found[2]
    values = tuple(part.strip().strip("'\"") for part in found[3].split(","))
    if comparison in ORDERS or kind is KeyKind.score:
        for value in values:
            if math.isnan(_number(value)):
                raise UserError(f"{text}: {value!r} is no number; type a number, as in 'text>7.5'")
        if comparison in ORDERS and len(values) > 1:
            raise UserError(f"{text}: {comparison} takes one number; type a term for each")
    return Term(text, key, kind, comparison, values)


def _resolved(typed: str) -> tuple[str, KeyKind]:
    """Return a key in full and its kind. Raises UserError for an unknown one."""
    if typed in OF_POINT:
        return typed, KeyKind.point
    if typed in POINT_AXES:
        return typed, KeyKind.axis
    if typed in GROUPS or typed == "bench.judge":
        return f"{typed}.name", KeyKind.config
    if typed.partition("/")[0] in BENCHMARKS.names():
        return typed, KeyKind.score
    if exists(typed.split("."), Config):
        return typed, KeyKind.config
    known = dict.fromkeys([*OF_POINT, *POINT_AXES, *BENCHMARKS.names(), *all_keys()])
    if near := difflib.get_close_matches(typed, known, n=3, cutoff=0.75):
        raise UserError(f"{typed}: unknown key; did you mean {' or '.join(near)}?")
    others = f"a search also knows {', '.join(OF_POINT)} and scores by their benchmark, such as text"
    raise UserError(f"{key_problem(typed) or typed} ({others})")


def _nested(config: Any, words: Sequence[str], default: Any) -> Any:
    for word in words:
        if not isinstance(config, dict) or word not in config:
            return default
        config = config[word]
    return config


def _equal(value: Any, wanted: str) -> bool:
    """Return whether a value is the one that was typed, as a number, a word, a pattern, or an entry of a list."""
    if value is None:
        return wanted.lower() in ABSENT
    if isinstance(value, list):
        return any(_equal(one, wanted) for one in value)
    if isinstance(value, bool):
        return wanted.lower() == str(value).lower()
    number = _number(wanted)
    if not math.isnan(number) and not math.isnan(own := _number(value)):
        return math.isclose(own, number, rel_tol=1e-9)
    return fnmatchcase(str(value), wanted)


def _number(value: Any) -> float:
    """Return a number, also one that is written as text; NaN for anything else."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan
