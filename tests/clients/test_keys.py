"""API keys: read from the environment, checked, and never shown."""

from __future__ import annotations

import pytest

from mmdpo.clients.keys import api_key, without_key
from mmdpo.errors import UserError

NAMES = ["FIRST_KEY", "SECOND_KEY"]


def test_the_first_that_is_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND_KEY", "two")
    assert api_key(NAMES, "judge=x", None) == "two"
    monkeypatch.setenv("FIRST_KEY", " one\n")
    assert api_key(NAMES, "judge=x", None) == "one"


def test_a_missing_key_names_its_variables_and_another_endpoint_needs_none() -> None:
    with pytest.raises(UserError, match=r"judge=x needs a key: .*FIRST_KEY or SECOND_KEY"):
        api_key(NAMES, "judge=x", None)
    assert api_key(NAMES, "judge=x", "http://localhost") == "none"


@pytest.mark.parametrize("key", ["a key", "schlüssel", "a\x01b"])
def test_what_cannot_be_sent_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("FIRST_KEY", key)
    with pytest.raises(UserError, match="FIRST_KEY holds no valid key") as raised:
        api_key(NAMES, "judge=x", None)
    assert key not in str(raised.value)


def test_a_message_that_repeats_the_key_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND_KEY", "sk-1234")
    assert without_key("the key sk-1234 is wrong", NAMES) == "the key *** is wrong"
