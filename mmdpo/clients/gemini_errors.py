"""Errors of Google's Gemini API, the same for both of its SDKs."""

from __future__ import annotations

import json
import re
from typing import Any

from mmdpo.clients.answers import DayIsOver, Declined, NoAnswer, Temporary
from mmdpo.clients.keys import without_key
from mmdpo.clients.refusals import seconds_to_wait, setting_to_change
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError


def no_answer(code: int, details: Any, judge: JudgeConfig, has_image: bool) -> NoAnswer | UserError:
    """Translate an error of the API.

    Args:
        code: The HTTP status.
        details: The JSON of the reply.
        judge: The judge whose call failed; its key is removed from the message.
        has_image: Whether an image was sent.
    """
    error = details.get("error", details) if isinstance(details, dict) else details
    error = error if isinstance(error, dict) else {"message": error or ""}
    message = without_key(str(error.get("message", "")), judge.api_key)[:300]
    listed = _objects(error.get("details"))
    reasons = {str(entry.get("reason")) for entry in listed}
    if code == 429:
        quotas = [violation for entry in listed for violation in _objects(entry.get("violations"))]
        if any("PerDay" in str(quota.get("quotaId")) for quota in quotas):
            return DayIsOver("quota_of_the_day")
        return Temporary("throttled", _delay(listed))
    if code in (401, 403) or "API_KEY_INVALID" in reasons:
        return UserError(f"Gemini refuses the key: {message}. Set the environment variable to another key.")
    if code == 404:
        return UserError(f"judge.model={judge.model}: Gemini has no such model ({message}); type judge.model=NAME")
    if code == 400 and has_image and "image" in message.lower():
        return Declined("image_refused")
    if code == 400:
        advice = setting_to_change("judge", message) or f"Check judge.model={judge.model} and judge.*"
        return UserError(f"Gemini refuses the request: {message}. {advice}")
    return Temporary(f"server error {code}", _delay(listed))


def check_body(body: bytes | None) -> None:
    """Raise Temporary for a reply of status 200 that is no reply: the SDKs read an empty one into it."""
    try:
        reply = json.loads((body or b"").decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise Temporary(f"garbled reply ({type(error).__name__})") from None
    candidates = reply.get("candidates") if isinstance(reply, dict) else None
    if not isinstance(reply, dict) or (reply.get("error") and not candidates):
        raise Temporary("error in a reply of status 200")
    if candidates is not None and len(_objects(candidates)) != len(candidates):
        raise Temporary("odd reply (candidates)")


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _delay(details: list[dict[str, Any]]) -> float | None:
    """Return the seconds of a RetryInfo, such as "17.5s"."""
    for entry in details:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(entry.get("retryDelay", "")))
        if found:
            return seconds_to_wait(found[1])
    return None
