"""A rubric: the attributes that completions are rated by, the prompt that asks for them, and the reply's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.config.choices import RUBRICS
from mmdpo.judge.parsing import LABELS, ParsedRatings, RatingFormat, parse_ratings
from mmdpo.records import Prompt


@dataclass(frozen=True)
class Rubric:
    """One rubric. A file of mmdpo/judge/rubrics defines one as `RUBRIC`.

    A rubric with another prompt or reply format overrides `prompt_text`, `schema` and `parse` in a subclass.

    Args:
        name: The file's name.
        attributes: What each completion is rated by.
        scale: Lowest and highest rating, whole numbers.
        aggregate: The attributes of which more is better; their sum ranks completions, unless `pairs.aggregate`
            names others.
        instructions: The guide for the judge, which opens the prompt.
        task: Closes the prompt; `%s` in it becomes the labels of the completions.
        reminder: Added when a reply cannot be parsed; `%s` in it becomes the reason.
        spellings: Regular expressions for attributes that judges also write otherwise, by name.
    """

    name: str
    attributes: tuple[str, ...]
    scale: tuple[int, int]
    aggregate: tuple[str, ...]
    instructions: str = field(repr=False)
    task: str = field(repr=False)
    reminder: str = field(repr=False)
    spellings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def reply_tokens(self) -> tuple[int, int]:
        """Guess of a reply's length in tokens: a constant part, and a part per completion."""
        return 150, 150

    def prompt_text(self, prompt: Prompt, texts: Sequence[str]) -> str:
        """Return the text that asks for ratings.

        Args:
            prompt: The question, with the turns and the system turn before it.
            texts: The completions, in presentation order.
        """
        earlier = "".join(f"\nUser: {turn.question}\nAssistant: {turn.answer}" for turn in prompt.history)
        parts = [
            self.instructions,
            f"# Instruction to the assistant\n{prompt.system}\n" if prompt.system else "",
            f"# Conversation so far\n{earlier.strip()}\n" if earlier else "",
            f"# Question\n{prompt.question}\n",
            *(f"# Completion {label}\n{text}\n" for label, text in zip(LABELS, texts, strict=False)),
            f"# Your task\n{self.task.replace('%s', ', '.join(LABELS[: len(texts)]))}",
        ]
        return "\n".join(part for part in parts if part)

    def schema(self, count: int) -> dict[str, Any]:
        """Return the JSON schema of a reply that rates `count` completions."""
        label = {"type": "string", "enum": list(LABELS[:count])}
        number = {"type": "integer", "minimum": self.scale[0], "maximum": self.scale[1]}

        def each(**fields: Any) -> dict[str, Any]:
            item = {
                "type": "object",
                "properties": {"label": label, **fields},
                "required": ["label", *fields],
                "additionalProperties": False,
            }
            return {"type": "array", "items": item, "minItems": count, "maxItems": count}

        return {
            "type": "object",
            "properties": {
                "reviews": each(reasoning={"type": "string"}),
                "calibration": {"type": "string"},
                "ratings": each(**dict.fromkeys(self.attributes, number)),
            },
            "required": ["reviews", "calibration", "ratings"],
            "additionalProperties": False,
        }

    def parse(self, text: str, count: int) -> ParsedRatings | ParseFailure:
        """Parse a raw reply that rates `count` completions; see parse_ratings."""
        form = RatingFormat(self.attributes, self.scale, tuple(self.spellings.items()))
        return parse_ratings(text, count, form)


def load_rubric(name: str) -> Rubric:
    """Return the rubric of a file in mmdpo/judge/rubrics. Raises UserError naming the choices."""
    rubric: Rubric = RUBRICS.load(name)
    return rubric
