"""A prompt rendered without a processor equals that of the processor, and a template's refusal is named."""

from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.models.chat import prompt_text
from mmdpo.models.loading import load_processor
from mmdpo.models.messages import to_messages
from mmdpo.models.paths import templates
from mmdpo.models.preview import chat_template, render, rendered_prompt
from mmdpo.records import ImagePosition, Prompt, Turn

PROMPT = Prompt(
    "x", "What?", ("a.png",), (Turn("Here: it is", "Yes."),), system="Be brief.", image_positions=(ImagePosition(0, 5),)
)


@pytest.mark.parametrize("template", [None, *templates()])
def test_the_preview_equals_the_prompt(template: str | None) -> None:
    model = compose_config([f"model.chat_template={template}"] if template else []).model
    expected = prompt_text(load_processor(model), to_messages(PROMPT))
    assert rendered_prompt(model, PROMPT) == expected
    assert "Be brief." in expected


def test_a_template_that_refuses() -> None:
    text = "{% generation %}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    with pytest.raises(UserError, match=r"model\.path=m: its chat template refuses these turns \(no system\)"):
        render(text, to_messages(PROMPT), {}, "model.path=m")
    assert render(text + "{{ bos_token }}hi", [{"role": "user", "content": "?"}], {"bos_token": "<s>"}, "x") == "<s>hi"


def test_a_model_that_is_not_on_this_disk(tmp_path: Path) -> None:
    assert chat_template(compose_config(["model.path=owner/name"]).model) is None
    assert chat_template(compose_config([f"model.path={tmp_path}"]).model) is None
