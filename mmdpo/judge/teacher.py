"""Prompts -> Completions: the judge's own answers, for the SFT baseline (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmdpo.clients.answers import Answer
from mmdpo.clients.batches import make_runner
from mmdpo.clients.journal import Attempt, Journal
from mmdpo.config.schema import JudgeConfig
from mmdpo.files import fingerprint
from mmdpo.judge.annotate import image_of
from mmdpo.judge.judges import client_of
from mmdpo.judge.request import Request
from mmdpo.records import Completion, Prompt, Unscored


def _reference_answer(prompt: Prompt) -> str:
    """The miniature's right answer, as a whole sentence."""
    return str(prompt.facts["full"])


KNOWN: dict[str, Callable[[Prompt], str]] = {"oracle": _reference_answer}
"""The judges that know an answer without asking a service."""


def answers(
    prompts: Callable[[], Iterable[Prompt]],
    total: int,
    image_root: Path,
    judge: JudgeConfig,
    journal: Journal,
    advance: Callable[[int], None] = lambda count: None,
) -> Iterator[Completion | Unscored]:
    """One answer a prompt, in their order, or the reason why there is none.

    `prompts` is called twice. Raises Stopped where a limit of the judge ends the run.
    """
    if judge.name in KNOWN:
        for prompt in prompts():
            yield Completion(prompt.id, 0, KNOWN[judge.name](prompt))
        return

    def requests() -> Iterator[Request]:
        for prompt in prompts():
            yield request_of(prompt, image_root, judge)

    make_runner(judge, client_of(judge), journal, read_text).ask(requests(), total, advance)
    for request in requests():
        found = journal.find(request.key)
        if found is None or found.outcome != "scored":
            yield Unscored(request.prompt.id, found.reason or "" if found else "not_asked")
        else:
            yield Completion(request.prompt.id, 0, found.reply or "")


def request_of(prompt: Prompt, image_root: Path, judge: JudgeConfig) -> Request:
    """What the judge is asked: the prompt as it is, the turns before it in front of it."""
    turns = [f"User: {turn.question}\nAssistant: {turn.answer}\n" for turn in prompt.history]
    text = "".join([*turns, "User: " if turns else "", prompt.question])
    image = image_of(prompt, image_root)
    key = {
        "teacher": [judge.name, judge.model, judge.base_url, judge.temperature, judge.max_output_tokens],
        "text": text,
        "image": image and image[1],
    }
    return Request(fingerprint(key, length=32), prompt, (), (), text, image and image[0])


def read_text(answer: Answer, request: Request) -> Attempt:
    """Any text is an answer, if it is whole."""
    if answer.cut:
        return Attempt("unscored", reason="truncated")
    if not answer.text.strip():
        return Attempt("unscored", reason="empty")
    return Attempt("scored", step="text")
