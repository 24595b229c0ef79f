"""A stand-in for an engine that records its prompts."""

from __future__ import annotations

from mmdpo.records import Completion


class FakeEngine:
    """Engine that answers with `reply(prompt)`; `questions` and `requests` are those of all calls."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.questions: list[str] = []
        self.requests = []
        self.reply = lambda prompt: "Yes."

    def __call__(self):
        """Return itself, as the function that makes an engine."""
        return self

    def answer(self, requests, image_root):
        for index, request in enumerate(requests):
            self.questions.append(request.prompt.question)
            self.requests.append(request)
            yield index, Completion(request.prompt.id, 0, self.reply(request.prompt), "stop")


ENGINE = FakeEngine()
