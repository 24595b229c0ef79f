"""Chat templates that fail, drop texts or never end."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from mmdpo.errors import UserError
from mmdpo.models import bounded
from mmdpo.models.chat import prompt_text, to_messages
from mmdpo.models.template_check import require_template
from mmdpo.records import Prompt
from tests.support.llama import llama_tokenizer
from tests.support.tiny import TEMPLATE

TEXTS = "{% for m in messages %}{{ m['content'][0]['text'] }}{% endfor %}"


def processor(template: str) -> Any:
    tokenizer = llama_tokenizer()
    tokenizer.chat_template = template
    return SimpleNamespace(
        tokenizer=tokenizer, apply_chat_template=tokenizer.apply_chat_template, chat_template=template
    )


@pytest.mark.parametrize("template", [TEMPLATE, TEXTS])
def test_templates_that_pass(template: str) -> None:
    require_template(processor(template), "model.path=FOLDER")
    require_template(processor(template), "model.path=FOLDER")


def test_a_template_that_writes_the_date_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    require_template(processor("{{ strftime_now('%d %b %Y') }}" + TEXTS), "model.path=FOLDER")
    assert "model.path=FOLDER: its chat template writes today's date" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in", "TemplateSyntaxError"),
        ("{{ nothing.of.this }}", "UndefinedError"),
        ("{{ raise_exception('only the system speaks') }}", "only the system speaks"),
        ("{% for m in messages %}{{ 'x' + m['content'] }}{% endfor %}", "TypeError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "RecursionError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("hello", "leaves out the text"),
        ("{{ messages[0]['content'][0]['text'] }}", "leaves out the text"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", r"more than 0\.3 seconds"),
        (
            "{% set n = namespace(a=['x']) %}{% for i in range(60) %}{% set n.a = n.a + n.a %}{% endfor %}",
            "MemoryError",
        ),
        (TEXTS + "{{ 'x' * 10 ** 10 }}", "MemoryError"),
    ],
)
def test_templates_that_are_refused(monkeypatch: pytest.MonkeyPatch, template: str, reason: str) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.3)
    monkeypatch.setattr(bounded, "BYTES", 100_000_000)
    with pytest.raises(UserError, match=rf"^model\.path=FOLDER: .*{reason}.*model\.chat_template="):
        require_template(processor(template), "model.path=FOLDER")


def test_a_conversation_that_the_template_refuses_names_the_override() -> None:
    alternate = "{% if messages | length > 1 %}{{ raise_exception('one turn only') }}{% endif %}"
    with pytest.raises(UserError, match=r"one turn only.*model\.chat_template="):
        prompt_text(processor(alternate + TEXTS), [*to_messages(Prompt("1", "a")), *to_messages(Prompt("2", "b"))])


def test_the_child_cannot_change_its_parent_nor_outlive_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[int] = []
    assert bounded.run_bounded(lambda: changed.append(1)) is None  # type: ignore[func-returns-value]
    assert not changed
    monkeypatch.setattr(bounded, "SECONDS", 0.01)  # 0.12 on the clock
    monkeypatch.setattr(bounded, "_set_limits", lambda: None)
    with pytest.raises(bounded.TooSlow):
        bounded.run_bounded(lambda: time.sleep(60))  # type: ignore[func-returns-value]
