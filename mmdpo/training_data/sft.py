"""Standard SFT on a teacher's own answer to each prompt (the paper's baseline)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmdpo.records import Completion, PreferencePair, Prompt, SftExample, context


def teacher_answers(prompts: Iterable[Prompt], answers: Iterable[Completion]) -> Iterator[SftExample]:
    """Yield an example for each prompt that the teacher answered, in the order of the answers."""
    by_id = {prompt.id: prompt for prompt in prompts}
    for answer in answers:
        prompt = by_id[answer.prompt_id]
        yield SftExample(prompt.id, prompt.question, answer.text, **context(prompt))


def chosen_answers(pairs: Iterable[PreferencePair]) -> Iterator[SftExample]:
    """Yield the preferred answers of the user's own pairs."""
    for pair in pairs:
        yield SftExample(pair.id, pair.question, pair.chosen, **context(pair))
