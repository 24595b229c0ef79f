"""AlpacaEval's judge: a request with both outputs by alpaca_eval's prompt, and the preference in a reply.

A preference is 1 for the reference, 2 for the model, and 1.5 for a draw, as in alpaca_eval.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from math import fsum
from pathlib import Path
from typing import Any

from mmdpo.clients.answers import ParseFailure
from mmdpo.clients.request import Message
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, find_file, require_file
from mmdpo.evaluation.bench_rows import read_text
from mmdpo.evaluation.length_controlled import GAMED, read_gamed, upstream_values
from mmdpo.evaluation.repeats import values_of_runs
from mmdpo.evaluation.task import Item, Judge, JudgeReply, JudgeRequest, Response, Verdict
from mmdpo.files import file_fingerprint
from mmdpo.records import Prompt

REFERENCE = "reference"
"""Key of `Prompt.facts`: the output that the model's is compared with."""
DRAW = 1.5
FIRST, SECOND = "first", "second"
"""Places at which the model's output is presented."""
EXCHANGED = "exchanged"
"""The part of the request in the other order, with bench.both_orders=true."""
LONGEST_LIST = 10_000  # characters of a reply that are read as a Python list

JUDGE_PROMPT = BenchFile(
    "alpaca_eval_prompt",
    "alpaca_eval/alpaca_eval_gpt4/alpaca_eval.txt",
    "tatsu-lab/alpaca_eval, src/alpaca_eval/evaluators_configs/alpaca_eval_gpt4/alpaca_eval.txt",
    "Apache-2.0",
    editions={"cf4bace43fa6ac71944b9ca2506587ad7c509478a219e98a3950abf9d5b42a98": "alpaca_eval_gpt4"},
)
FIELDS = ("instruction", "output_1", "output_2")
FIELD = re.compile(r"\{(\w+)\}")
CHAT_PART = re.compile(r"<\|im_start\|>(\w+)[^\n]*\n(.*?)<\|im_end\|>", re.DOTALL)


def judge_pairs(items: Sequence[Item], judge: Judge, bench: BenchConfig) -> list[Verdict]:
    """Compare each answer with the reference: 0 for a loss, 50 for a draw, 100 for a win.

    Equal texts are a draw without a request. A pair is judged in upstream's seeded order, `bench.repeats` times; with
    `bench.both_orders` also in the other order, and the score is the mean of the two.
    """
    template = read_template(require_file(bench, JUDGE_PROMPT))
    requests = [
        pair_request(*item, part, repeat, template)
        for item in items
        for part in _orders(item, bench)
        for repeat in range(bench.repeats)
    ]
    replies = iter(judge.ask(requests))
    table = find_file(bench, GAMED)
    gamed = read_gamed(table, file_fingerprint(table)) if table else {}
    verdicts = []
    for item in items:
        found = {part: [next(replies) for _ in range(bench.repeats)] for part in _orders(item, bench)}
        verdicts.append(_verdict(item, found, upstream_values(gamed.get(item[0].id, ()))))
    return verdicts


def _orders(item: Item, bench: BenchConfig) -> tuple[str, ...]:
    prompt, response = item
    if response.answer == prompt.facts[REFERENCE]:
        return ()
    return ("", EXCHANGED) if bench.both_orders else ("",)


def pair_request(
    prompt: Prompt, response: Response, part: str, repeat: int, template: Sequence[Message]
) -> JudgeRequest:
    """Build the request for a pair of outputs, as alpaca_eval does.

    Args:
        prompt: The sample with its reference.
        response: The model's output.
        part: Empty for upstream's order, EXCHANGED for the other one.
        repeat: The number of the repeated judgment, from 0.
        template: The messages of the prompt.

    Returns:
        The request. Its `parse` returns the preference whatever the order is.
    """
    switched = is_switched(prompt.question) is not (part == EXCHANGED)
    outputs = (prompt.facts[REFERENCE], response.answer)
    first, second = reversed(outputs) if switched else outputs
    values = {"instruction": prompt.question, "output_1": first, "output_2": second}
    messages = tuple(Message(one.role, _filled(one.text, values)) for one in template)
    return JudgeRequest(prompt.id, part, repeat, messages, partial(read_preference, switched), max_output_tokens=100)


def is_switched(instruction: str) -> bool:
    """Return whether alpaca_eval presents the model's output first."""
    return random.Random(f"is_switched_outputs{instruction}0").choices([False, True])[0]


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of the fields as they are: they may hold braces and quotes."""
    return FIELD.sub(lambda field: values.get(field[1], field[0]), text)


def read_template(path: Path) -> tuple[Message, ...]:
    """Read a prompt of alpaca_eval with its chat parts.

    Raises:
        UserError: It cannot be read, has no chat parts or other fields, or asks for no ranks.
    """
    key = f"bench.files.{JUDGE_PROMPT.key}"
    text = read_text(path, key)
    messages = tuple(Message(role, content.strip()) for role, content in CHAT_PART.findall(text))
    if not messages or messages[-1].role != "user":
        raise UserError(f"{key}={path}: its last <|im_start|> part must be the user's; name alpaca_eval_gpt4's prompt")
    found = {field for message in messages for field in FIELD.findall(message.text)}
    if found != set(FIELDS):
        raise UserError(
            f"{key}={path}: has the fields {', '.join(sorted(found)) or 'none'}; it must have {', '.join(FIELDS)}"
        )
    if "rank" not in text:
        raise UserError(f"{key}={path}: asks for no 'rank' of the models; name alpaca_eval_gpt4's prompt")
    return messages


def read_preference(switched: bool, text: str) -> float | ParseFailure:
    """Read the ranks of both models from a reply, which may have other text around its list.

    Args:
        switched: Whether the model's output was presented first.
        text: The reply.

    Returns:
        1 if the reference is better and 2 if the model is; a failure without two models on ranks 1 and 2.
    """
    start, end = text.find("["), text.rfind("]")
    if not 0 <= start < end:
        return ParseFailure("no_list")
    ranks = _ranks(text[start : end + 1])
    if ranks is None:
        return ParseFailure("no_list")
    if sorted(ranks) != ["model_1", "model_2"] or sorted(ranks.values(), key=str) != [1, 2]:
        return ParseFailure("wrong_ranks")
    return _unswitched(float(ranks["model_1"]), switched)


def read_as_upstream(switched: bool, text: str) -> float | None:
    """Read a reply as alpaca_eval does: the rank of model_1 in a reply that is a Python list and nothing else."""
    ranks = _ranks(text)
    rank = ranks.get("model_1") if ranks else None
    return _unswitched(float(rank), switched) if rank in (1, 2) else None


def _ranks(text: str) -> dict[str, Any] | None:
    """Parse a list of models and ranks; None for anything else."""
    if len(text) > LONGEST_LIST:
        return None
    try:
        rows = ast.literal_eval(text.strip())
        pairs = [(row["model"], row["rank"]) for row in rows]
        return dict(reversed(pairs)) if all(isinstance(name, str) for name, _ in pairs) else None
    except (ValueError, SyntaxError, TypeError, KeyError, IndexError, MemoryError, RecursionError):
        return None


def _unswitched(rank: float, switched: bool) -> float:
    return 3 - rank if switched else rank


def _verdict(item: Item, replies: Mapping[str, Sequence[JudgeReply]], gamed: Mapping[str, float]) -> Verdict:
    prompt, response = item
    length, reference = len(response.answer), len(prompt.facts[REFERENCE])
    upstream = {"characters": float(length), "reference_characters": float(reference), **gamed}
    if replies:
        means = [_mean([reply.value for reply in group if reply.value is not None]) for group in replies.values()]
        seen = replies[""][0]
        rows = [_upstream_preference(prompt, row) for row in (seen, *seen.others)]
        upstream |= {f"preference_{number}": value for number, value in enumerate(rows) if value is not None}
        for part, group in replies.items():
            place = FIRST if is_switched(prompt.question) is not (part == EXCHANGED) else SECOND
            values = [reply.value for reply in group if reply.value is not None]
            upstream |= {f"{run}/{place}": float(value) for run, value in enumerate(values)}
    else:
        means, upstream["preference_0"] = [DRAW], DRAW
    scored = [mean for mean in means if mean is not None]
    if len(scored) < len(means):
        reasons = [reply.reason for group in replies.values() for reply in group if reply.value is None]
        return Verdict(None, reason=reasons[0], upstream=upstream)
    preference = fsum(scored) / len(scored)
    parts = {
        "win": float(preference > DRAW),
        "loss": float(preference < DRAW),
        "draw": float(preference == DRAW),
        "characters": float(length),
        "longer_by": float(length - reference),
    }
    return Verdict(100 * (preference - 1), parts, upstream=upstream)


def readings_of(upstream: Mapping[str, float]) -> Mapping[str, list[float]]:
    """Return the preferences of the single replies by the place at which the model's output was presented."""
    return {place: values_of_runs(place)(upstream)[""] for place in (FIRST, SECOND)}


def _mean(values: Sequence[float]) -> float | None:
    return fsum(values) / len(values) if values else None


def _upstream_preference(prompt: Prompt, reply: JudgeReply) -> float | None:
    if reply.upstream is not None:
        return float(reply.upstream)
    return None if reply.text is None else read_as_upstream(is_switched(prompt.question), reply.text)
