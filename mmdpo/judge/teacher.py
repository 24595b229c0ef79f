"""A judge's own answers to the prompts, for the SFT baseline (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmdpo.clients.answers import Answer, ParseFailure
from mmdpo.clients.batches import make_runner
from mmdpo.clients.journal import Journal
from mmdpo.clients.replies import find_reply
from mmdpo.clients.request import Message, Request
from mmdpo.config.choices import TEACHER_RULES
from mmdpo.config.schema import JudgeConfig
from mmdpo.files import fingerprint
from mmdpo.judge.items import digest_of, images_of, with_image_marks
from mmdpo.judge.judges import client_of
from mmdpo.judge.rating_request import further_decoding, reply_settings
from mmdpo.records import Completion, Prompt, Unscored

TEACHER = "teacher"
"""Purpose of the requests for answers."""


def answers(
    prompts: Callable[[], Iterable[Prompt]],
    total: int,
    image_root: Path,
    judge: JudgeConfig,
    journal: Journal,
    advance: Callable[[int], None] = lambda count: None,
) -> Iterator[Completion | Unscored]:
    """Yield one answer per prompt, in their order, or the reason why there is none.

    Args:
        prompts: Returns the prompts; called twice, to ask and to read.
        total: Number of prompts, for messages.
        image_root: Folder of the prompts' images.
        judge: The teacher's settings.
        journal: Stores the replies.
        advance: Called with the number of prompts that were answered.

    Raises:
        Stopped: If a limit of the judge ends the run; the journal keeps what was answered.
    """
    if judge.client in TEACHER_RULES.names():
        reference_answer: Callable[[Prompt], str] = TEACHER_RULES.load(judge.client)
        for prompt in prompts():
            yield Completion(prompt.id, 0, reference_answer(prompt))
        return

    def requests() -> Iterator[Request]:
        for prompt in prompts():
            yield teacher_request(prompt, image_root, judge)

    make_runner(judge, client_of(judge), journal, text_parser, TEACHER).ask(requests(), total, advance)
    for request in requests():
        found = find_reply(journal, request, text_parser)
        if found is None or found.value is None:
            yield Unscored(request.record_id, found.reason if found else "not_asked")
        else:
            yield Completion(request.record_id, 0, found.value)


def teacher_request(prompt: Prompt, image_root: Path, judge: JudgeConfig) -> Request:
    """Return the request for an answer: the prompt as it is, after the system turn and the turns before it.

    A reply that cannot be used is asked for once more without a reminder.

    Args:
        prompt: The question.
        image_root: Folder of the prompt's images.
        judge: The teacher's settings.
    """
    shown, images = with_image_marks(prompt), images_of(prompt, image_root)
    system = f"{prompt.system}\n\n" if prompt.system else ""
    turns = [f"User: {turn.question}\nAssistant: {turn.answer}\n" for turn in shown.history]
    text = "".join([system, *turns, "User: " if turns else "", shown.question])
    key = {
        "teacher": [judge.client, judge.model, judge.base_url, judge.temperature, judge.max_output_tokens],
        "text": text,
        "image": digest_of(images),
        **further_decoding(judge),
    }
    return Request(
        key=fingerprint(key, length=32),
        record_id=prompt.id,
        purpose=TEACHER,
        messages=(Message("user", text),),
        images=images,
        settings=reply_settings(judge),
    )


def text_parser(request: Request, answer: Answer) -> str | ParseFailure:
    """Return the text of a reply; it fails if it is empty or ended at the token limit."""
    if answer.truncated:
        return ParseFailure("truncated")
    return answer.text if answer.text.strip() else ParseFailure("empty")
