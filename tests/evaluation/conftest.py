"""A stand-in for generation that records its prompts."""

import pytest


class FakeGenerate:
    """Stand-in that answers with `reply(prompt)`; `questions` and `image_roots` are those of all calls."""

    def __init__(self):
        self.questions: list[str] = []
        self.reply = lambda prompt: "Yes."

    def __call__(self, model, processor, prompts, image_root, decoding, advance=lambda count: None):
        self.questions += [prompt.question for prompt in prompts]
        return [self.reply(prompt) for prompt in prompts]


@pytest.fixture
def generation(monkeypatch):
    fake = FakeGenerate()
    monkeypatch.setattr("mmdpo.models.generate.generate", fake)
    return fake
