"""The space of a search with Optuna: what each swept override may be, and the overrides of a chosen point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mmdpo.config.group_aliases import spelled_out
from mmdpo.entry.override_values import kind_of
from mmdpo.errors import UserError

OBJECTIVE = "objective"
GRID_DIGITS = 12  # of a value on a grid of floats: 0.3 rather than 0.30000000000000004


@dataclass(frozen=True)
class SearchSpace:
    """The overrides of a search.

    Attributes:
        distributions: The distribution of each swept key.
        fixed: The overrides that all points share.
        objectives: The scores to search, as typed; empty if none is.
    """

    distributions: Mapping[str, BaseDistribution]
    fixed: tuple[str, ...]
    objectives: tuple[str, ...]

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides of the point with these values."""
        return [*self.fixed, *(f"{key}={self._text(key, value)}" for key, value in params.items())]

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Return whether the values are those of a point of this space."""
        return params.keys() == self.distributions.keys() and all(
            _holds(self.distributions[key], value) for key, value in params.items()
        )

    def grid(self) -> dict[str, list[Any]]:
        """Return the values of each key.

        Raises UserError for a key with an interval.
        """
        return {key: _values(key, one) for key, one in self.distributions.items()}

    def _text(self, key: str, value: Any) -> str:
        one = self.distributions[key]
        if isinstance(one, FloatDistribution):
            return repr(float(f"{value:.{GRID_DIGITS}g}") if one.step else float(value))
        return str(value)


def read_space(parser: OverridesParser, words: Iterable[str]) -> SearchSpace:
    """Read the overrides of a search.

    Args:
        parser: Hydra's parser of overrides.
        words: The overrides; of equal keys the last one counts.

    Returns:
        The space. `objective=A,B` searches both scores and is none of its keys.

    Raises:
        UserError: Nothing is swept, or an interval is empty.
    """
    overrides = {one.get_key_element(): one for one in parser.parse_overrides(spelled_out(words))}
    objective = overrides.pop(OBJECTIVE, None)
    swept = {key: one for key, one in overrides.items() if one.is_sweep_override()}
    fixed = [f"{key}={one.get_value_element_as_str()}" for key, one in overrides.items() if key not in swept]
    if not swept:
        raise UserError("hydra/sweeper=optuna: nothing is searched; type a range, as in 'beta=interval(0.05,0.5)'")
    return SearchSpace(
        {key: _distribution(one) for key, one in swept.items()},
        tuple(one for one in fixed if not one.startswith("~")) + tuple(_deletions(overrides)),
        tuple(_objectives(objective)),
    )


def _deletions(overrides: Mapping[str, Override]) -> Sequence[str]:
    return [str(one.input_line) for one in overrides.values() if one.is_delete()]


def _objectives(override: Override | None) -> list[str]:
    if override is None:
        return []
    found = [*override.sweep_string_iterator()] if override.is_sweep_override() else [str(override.value())]
    if len(set(found)) < len(found):
        raise UserError(f"{override.input_line}: names a score twice")
    return found


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _interval(override, value)
        if isinstance(value, RangeSweep) and not value.shuffle:
            return _range([*value.range()])
        return CategoricalDistribution([*override.sweep_string_iterator()])
    except (ValueError, AssertionError) as error:
        raise UserError(f"{override.input_line}: {str(error).splitlines()[0]}") from error


def _interval(override: Override, value: IntervalSweep) -> BaseDistribution:
    low, high, log = value.start, value.end, "log" in value.tags
    assert low is not None
    assert high is not None
    if kind_of(override.get_key_element().lstrip("+~")) is int or (isinstance(low, int) and isinstance(high, int)):
        if int(low) != low or int(high) != high:
            raise ValueError("must begin and end with whole numbers")
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _range(values: Sequence[Any]) -> BaseDistribution:
    """Return the distribution of a range, whose end is excluded as in Python."""
    if not values:
        raise ValueError("is empty")
    ordered = sorted(values)
    step = ordered[1] - ordered[0] if len(ordered) > 1 else 1
    if all(isinstance(value, int) for value in ordered):
        return IntDistribution(ordered[0], ordered[-1], step=step)
    low, high, step = (float(f"{value:.{GRID_DIGITS}g}") for value in (ordered[0], ordered[-1], step))
    return FloatDistribution(low, high, step=step)


def _holds(one: BaseDistribution, value: Any) -> bool:
    try:
        return bool(one._contains(one.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def _values(key: str, one: BaseDistribution) -> list[Any]:
    if isinstance(one, CategoricalDistribution):
        return [*one.choices]
    if isinstance(one, IntDistribution) and not one.log:
        return [*range(one.low, one.high + 1, one.step)]
    if isinstance(one, FloatDistribution) and one.step:
        count = round((one.high - one.low) / one.step)
        return [float(f"{one.low + index * one.step:.{GRID_DIGITS}g}") for index in range(count + 1)]
    raise UserError(f"hydra/sweeper/sampler=grid: {key} is an interval; list its values, as in {key}=range(A,B,STEP)")
