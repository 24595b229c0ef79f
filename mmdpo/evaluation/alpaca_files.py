"""alpaca_eval's files: reference outputs, a model's outputs, and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, require_file
from mmdpo.evaluation.bench_rows import Row, bench_rows
from mmdpo.evaluation.foreign_files import first_of, read_rows, text_of
from mmdpo.evaluation.rubrics.alpaca_eval import REFERENCE
from mmdpo.evaluation.task import Item, Response, StoredReply
from mmdpo.evaluation.win_rate import DRAW, LOSS, WIN
from mmdpo.files import write_json
from mmdpo.records import Prompt

GENERATOR = "reference_generator"
"""Key of `Prompt.facts`: the name of the model that wrote the reference output."""
DAVINCI = "text_davinci_003"
RIGHT, WRONG = 482.4, 308.0
"""Mean characters of text_davinci_003's outputs: of the reference, and of results/text_davinci_003, another run."""
TOLERANCE = 1.0
EDITIONS = {DAVINCI: "AlpacaEval 1", "gpt4_1106_preview": "AlpacaEval 2"}


def _edition(path: Path) -> str:
    """Name the edition of reference outputs by their model and their mean length."""
    try:
        rows = read_rows(path)
    except UserError:
        return ""
    generators = {str(row.get("generator")) for row in rows}
    if len(generators) != 1 or (name := generators.pop()) not in EDITIONS:
        return ""
    if name != DAVINCI:
        return f"{EDITIONS[name]} ({name})"
    length = _mean_length(rows)
    if abs(length - WRONG) < TOLERANCE:
        return f"results/{DAVINCI}, which is not the reference"
    return f"{EDITIONS[name]} ({name})" if abs(length - RIGHT) < TOLERANCE else ""


def _mean_length(rows: Sequence[Row]) -> float:
    return sum(len(str(row.get("output", ""))) for row in rows) / len(rows)


REFERENCE_OUTPUTS = BenchFile(
    "alpaca_eval_reference",
    "alpaca_eval/alpaca_eval.json",
    "the data set tatsu-lab/alpaca_eval: alpaca_eval.json (AlpacaEval 1) or alpaca_eval_gpt4_baseline.json "
    "(AlpacaEval 2)",
    "CC BY-NC 4.0",
    rows=805,
    recognize=_edition,
    also=("alpaca_eval/reference_text_davinci_003.json", "alpaca_eval/alpaca_eval_gpt4_baseline.json"),
)


def read_references(bench: BenchConfig) -> list[Prompt]:
    """Read the instructions with their reference outputs.

    Raises:
        UserError: The file is missing or damaged, an instruction is there twice, or it holds another run's outputs.
    """
    key = f"bench.files.{REFERENCE_OUTPUTS.key}"
    rows = bench_rows(bench, REFERENCE_OUTPUTS, "instruction")
    prompts: dict[str, Prompt] = {}
    for number, row in enumerate(rows):
        instruction, output = row["instruction"], row.get("output")
        if instruction in prompts:
            raise UserError(f"{key}: instruction {instruction!r:.60} is there twice; name another file")
        if not isinstance(output, str):
            raise UserError(f"{key}: row {number + 1} has no text `output`; name alpaca_eval's reference outputs")
        facts = {REFERENCE: output, GENERATOR: str(row.get("generator", ""))}
        prompts[instruction] = Prompt(str(number), instruction, category=str(row.get("dataset", "")), facts=facts)
    if {str(row.get("generator")) for row in rows} == {DAVINCI} and abs(_mean_length(rows) - WRONG) < TOLERANCE:
        raise UserError(
            f"{key}={require_file(bench, REFERENCE_OUTPUTS)}: these are the outputs of results/{DAVINCI} (mean "
            f"{_mean_length(rows):.1f} characters). The reference has {RIGHT}: alpaca_eval.json of the data set"
        )
    return list(prompts.values())


def write_answers(folder: Path, items: Sequence[Item], model: str) -> list[Path]:
    """Write answers as alpaca_eval's model_outputs.json."""
    path = folder / "alpaca_eval" / model.replace("/", "_") / "model_outputs.json"
    rows = [
        {
            "dataset": prompt.category,
            "instruction": prompt.question,
            "output": response.answer,
            "generator": model,
        }
        for prompt, response in items
    ]
    write_json(path, rows)
    return [path]


def read_answers(path: Path, prompts: Sequence[Prompt], bench: BenchConfig) -> list[Response]:
    """Read a model's outputs, from model_outputs.json or from annotations.

    Args:
        path: The file.
        prompts: The samples, joined by their instructions; outputs to other instructions are left out.
        bench: Not used.

    Returns:
        The responses to the samples that have one; of several to an instruction the last one.

    Raises:
        UserError: The file is damaged, or a row has no output.
    """
    outputs = {}
    for row in read_rows(path):
        column = next((name for name in ("output", "output_2") if name in row), None)
        if "instruction" not in row or column is None:
            raise UserError(
                f"{path}: a row has the fields {', '.join(row)}; allowed: alpaca_eval's model_outputs.json, with "
                "instruction and output"
            )
        outputs[row["instruction"]] = text_of(row[column])
    return [
        Response(prompt.id, prompt.question, outputs[prompt.question], prompt.category)
        for prompt in prompts
        if prompt.question in outputs
    ]


def read_model(path: Path) -> str:
    """Return the model of a file of outputs or annotations. Raises UserError if it holds several."""
    rows = read_rows(path)
    column = "generator" if "generator" in rows[0] else "generator_2"
    if len(models := _names(rows, column)) > 1:
        raise UserError(f"{path}: outputs of {', '.join(models)}; name a file of one model")
    return models[0]


def read_judgments(path: Path, prompts: Sequence[Prompt], model: str) -> list[StoredReply]:
    """Read annotations.json.

    Args:
        path: The file.
        prompts: The samples, joined by their instructions.
        model: The model, if the file holds several; empty if it must hold one.

    Returns:
        The preferences, with the raw replies where the file has them.

    Raises:
        UserError: The file is damaged, compares with another reference, or does not say which rows are the model's.
    """
    rows = read_rows(path)
    known = {prompt.question: prompt for prompt in prompts}
    for row in rows:
        if not {"instruction", "output_1", "output_2"} <= row.keys():
            raise UserError(
                f"{path}: a row has the fields {', '.join(row)}; allowed: alpaca_eval's annotations.json, with "
                "instruction, output_1, output_2 and preference"
            )
    models = _names(rows, "generator_2")
    if len(models) > 1 and model not in models:
        named = f"{model} is not among them" if model else "none is chosen"
        raise UserError(f"{path}: annotations of {', '.join(models)}; {named}. Give outputs with that generator")
    rows = [row for row in rows if len(models) == 1 or row.get("generator_2") == model]
    if len(judges := _names(rows, "annotator")) > 1:
        raise UserError(f"{path}: annotations of several annotators ({', '.join(judges)}); keep the rows of one")
    baselines, expected = _names(rows, "generator_1"), {str(prompt.facts[GENERATOR]) for prompt in prompts}
    if "" not in expected and not set(baselines) <= {*expected, ""}:
        raise UserError(
            f"{path}: compares with {', '.join(baselines)}, and bench.files.{REFERENCE_OUTPUTS.key} is of "
            f"{', '.join(sorted(expected))}; name the other reference"
        )
    return [_stored(row, known[row["instruction"]], path) for row in rows if row["instruction"] in known]


def _names(rows: Sequence[Row], column: str) -> list[str]:
    return list(dict.fromkeys(str(row.get(column) or "") for row in rows))


def _stored(row: Row, prompt: Prompt, path: Path) -> StoredReply:
    preference: Any = row.get("preference")
    if preference is not None and (isinstance(preference, bool) or not isinstance(preference, int | float)):
        raise UserError(f"{path}: preference {preference!r}; it must be a number from {LOSS} to {WIN}, or null")
    if preference == 0:
        preference = DRAW  # an old spelling
    raw = first_of(row, ("raw_completion",))
    # Weighted annotators, which read probabilities, store no list of ranks
    text = raw if isinstance(raw, str) and "rank" in raw else None
    valid = preference is not None and LOSS <= preference <= WIN
    return StoredReply(
        sample=prompt.id,
        part="",
        repeat=0,
        text=text,
        judge=str(row.get("annotator") or ""),
        value=float(preference) if valid else None,
        contains=tuple(str(row[name]) for name in ("instruction", "output_1", "output_2")),
    )
