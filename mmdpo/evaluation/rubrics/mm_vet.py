"""Requests of MM-Vet to a judge: a prompt with graded examples, then the row whose grade is to be completed."""

from __future__ import annotations

from mmdpo.clients.answers import ParseFailure

TEMPERATURE = 0.0
MAX_OUTPUT_TOKENS = 3
REMINDER = "Predict the correctness of the answer (digit): "

OWN_PROMPT = """\
You grade the answers of a model to questions about images. Each row of the table below holds a question, the ground \
truth, a model's prediction and the grade of that prediction.
In a ground truth, <AND> joins elements that must all be in the prediction, and <OR> separates alternatives of which \
one is enough. Another wording with the same meaning is right.
The grade is a number from 0.0 (wrong) over 0.1, 0.2 and so on to 1.0 (right). It is the share of the ground truth \
that the prediction has. Only the grade of the last row is missing: reply with that number and nothing else.

Question | Ground truth | Prediction | Grade
--- | --- | --- | ---
How many birds sit on the wire? | 4 | There are four of them. | 1.0
What is written on the two signs? | stop <AND> exit | One sign says "exit". | 0.5
Which month has the highest bar? | may | It is July. | 0.0
What does the man carry? | ladder <OR> steps | He carries a ladder up the stairs. | 1.0
Describe the kitchen. | red kettle <AND> gas stove <AND> open window <AND> cat on a chair | A cat lies on a chair. | 0.3
"""
"""The prompt without a file of upstream's: our own words, with the same reply."""


def request_text(prompt: str, question: str, truth: str, prediction: str) -> str:
    """Return the user's message as upstream builds it.

    Args:
        prompt: The text with the graded examples.
        question: The question.
        truth: The ground truth, with <AND> and <OR> as the file has them.
        prediction: The answer; neither its newlines nor its bars are escaped.
    """
    spaced = truth.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return prompt + "\n" + " | ".join([question, spaced, prediction, ""])


def parse(text: str) -> float | ParseFailure:
    """Read a grade from 0 to 1 at the beginning of a reply."""
    return _grade(text.split()[0] if text.strip() else "")


def parse_as_upstream(text: str) -> float:
    """Read a grade as upstream's evaluator does after its last attempt: an unreadable one is 0."""
    grade = _grade(text.split(" ")[0].strip())
    return 0.0 if isinstance(grade, ParseFailure) else grade


def _grade(word: str) -> float | ParseFailure:
    try:
        grade = float(word)
    except ValueError:
        return ParseFailure("no_grade")
    return grade if 0 <= grade <= 1 else ParseFailure("out_of_range")
