"""Small files of our own in alpaca_eval's formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROMPT = """<|im_start|>system
Rank models.
<|im_end|>
<|im_start|>user
Give {'model': 'model_1', 'rank': 1} and so on.
Task: {instruction}
One: {output_1}
Two: {output_2}
<|im_end|>"""


def instruction(number: int) -> str:
    """The instruction of this number, with what a format string would trip over."""
    return f'Explain {{{number}}} and """{number}""".'


def write_alpaca_eval(root: Path, count: int = 4, generator: str = "made_up") -> Path:
    """Write reference outputs and the prompt of a judge."""
    folder = root / "alpaca_eval"
    rows = [
        {"instruction": instruction(n), "output": f"Reference {n}.", "generator": generator, "dataset": "ab"[n % 2]}
        for n in range(count)
    ]
    write_json(folder / "alpaca_eval.json", rows)
    prompt = folder / "alpaca_eval_gpt4" / "alpaca_eval.txt"
    prompt.parent.mkdir(exist_ok=True)
    prompt.write_text(PROMPT)
    return root


def write_json(path: Path, data: Any) -> Path:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def annotation(number: int, preference: float | None, **others: Any) -> dict[str, Any]:
    """A row of annotations of the model `m`."""
    row = {"instruction": instruction(number), "output_1": f"Reference {number}.", "generator_1": "made_up"}
    model = {"output_2": f"Mine {number}.", "generator_2": "m", "annotator": "alpaca_eval_gpt4"}
    return {**row, **model, "preference": preference, **others}
