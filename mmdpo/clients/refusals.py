"""Remedies for a service's refusal: a setting to change, or a time to wait."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SETTINGS: dict[str, dict[str, str]] = {
    "judge": {
        "temperature": "judge.temperature=null",
        "reasoning_effort": "judge.reasoning_effort=null",
        "reasoning": "judge.reasoning_effort=null",
        "response_format": "judge.structured=false",
        "json_schema": "judge.structured=false",
        "response_schema": "judge.structured=false",
        "responsejsonschema": "judge.structured=false",
        "max_completion_tokens": "judge.max_output_tokens=N with what it allows",
        "max_output_tokens": "judge.max_output_tokens=N with what it allows",
        "maxoutputtokens": "judge.max_output_tokens=N with what it allows",
    },
    "generator": {
        "temperature": "data.sampling.temperature=1",
        "top_p": "data.sampling.top_p=1",
        "max_tokens": "data.sampling.max_new_tokens=N with what it allows",
    },
    "bench.server": {
        "max_tokens": "bench.max_new_tokens=N with what it allows",
    },
}
"""The override that changes or drops a parameter, by the config's node and the parameter's name."""


def setting_to_change(key: str, message: str, parameter: object = None) -> str | None:
    """Return the advice for a refused parameter; None if the refusal names none that a setting changes.

    Args:
        key: The config's node, a key of `SETTINGS`.
        message: The service's message.
        parameter: The parameter that the service names, if it names one.
    """
    settings = SETTINGS[key]
    named = str(parameter or "").split(".", 1)[0].lower()
    if named not in settings:
        words = message.lower()
        named = next((name for name in settings if name in words), "")
    return f"Type {settings[named]}" if named else None


def seconds_to_wait(value: str | None) -> float | None:
    """Return the seconds of a Retry-After, a number or a date; None if it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
