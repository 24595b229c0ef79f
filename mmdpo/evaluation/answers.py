"""Answers to the sample sets of a point: `answers/<set>.jsonl`, each with a sidecar that names what it was made of.

A file is used again only if its sidecar names the same samples, solver, decoding and model, and the content that
the file has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdpo.activity import report_saved
from mmdpo.config.choices import AnswerEngine
from mmdpo.config.schema import BenchConfig
from mmdpo.console import progress
from mmdpo.errors import UserError
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.task import Response
from mmdpo.files import file_fingerprint, read_json, write_json
from mmdpo.models.requests import Engine, GenerationRequest
from mmdpo.records import Completion, read_records, write_records
from mmdpo.signals import raise_if_asked

ANSWERS = "answers"


@dataclass(frozen=True)
class EngineInference:
    """An engine with the image root of a task's samples."""

    engine: Engine
    image_root: Path
    advance: Callable[[int], None] = lambda count: None

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Return one answer per request, in their order."""
        answers: dict[int, Completion] = {}
        for index, answer in self.engine.answer(requests, self.image_root):
            answers[index] = answer
            self.advance(1)
        return [answers[index] for index in range(len(requests))]


def write_answers(
    sets: Sequence[SampleSet],
    make_engine: Callable[[], Engine],
    made_of: Mapping[str, Any],
    bench: BenchConfig,
    folder: Path,
) -> None:
    """Generate the answers to every set that has no valid answers yet.

    Args:
        sets: The point's sample sets.
        make_engine: Return what answers, such as the loaded model; it is not called if nothing is missing.
        made_of: Fingerprints of the model, for the sidecars.
        bench: The decoding settings.
        folder: The point's folder.
    """
    missing = [one for one in sets if differences(one, made_of, bench, folder)]
    if not missing:
        return
    engine = make_engine()
    with progress("evaluating", sum(len(one.asked) for one in missing)) as advance:
        for one in missing:
            raise_if_asked()
            responses = one.task.solver(EngineInference(engine, one.image_root, advance), one.asked)
            path = folder / ANSWERS / f"{one.file}.jsonl"
            write_records(path, _as_in_the_task(one, responses))
            write_json(_sidecar(path), {**_key(one, made_of, bench), "content": file_fingerprint(path)})
            report_saved(f"{ANSWERS}/{one.file}", 1)


def read_answers(one: SampleSet, made_of: Mapping[str, Any], bench: BenchConfig, folder: Path) -> list[Response]:
    """Read the answers to a set, in the order of its samples.

    Args:
        one: The sample set.
        made_of: The fingerprints that the answers must have; those that are left out are not compared.
        bench: The decoding settings that the answers must have.
        folder: The point's folder.

    Raises:
        UserError: There are no answers, or they were made of something else.
    """
    path = folder / ANSWERS / f"{one.file}.jsonl"
    if changed := differences(one, made_of, bench, folder):
        reason = f"was made with another {' and '.join(changed)}" if path.exists() else "is missing"
        raise UserError(f"{path} {reason}: rerun the same command with stage=evaluate")
    return list(read_records(path, Response))


def made_with(one: SampleSet, folder: Path) -> dict[str, Any]:
    """Return the sidecar of a set's answers, which names what they were made of; empty if there is none."""
    try:
        content = read_json(_sidecar(folder / ANSWERS / f"{one.file}.jsonl"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def differences(one: SampleSet, made_of: Mapping[str, Any], bench: BenchConfig, folder: Path) -> list[str]:
    """List the ways in which a set's answers differ from those that would be written now; empty for valid ones."""
    path = folder / ANSWERS / f"{one.file}.jsonl"
    known = made_with(one, folder)
    expected = _key(one, made_of, bench)
    changed = [name for name, value in expected.items() if known.get(name) != value]
    if not path.exists() or known.get("content") != file_fingerprint(path):
        changed.append("content")
    return changed


def _key(one: SampleSet, made_of: Mapping[str, Any], bench: BenchConfig) -> dict[str, Any]:
    return {
        "task": one.name,
        "samples": one.asked_fingerprint,
        "solver": f"{one.task.solver.__module__}.{one.task.solver.__qualname__}",
        "decoding": {"max_new_tokens": bench.max_new_tokens, "temperature": 0.0},
        **({} if bench.engine is AnswerEngine.model else {"engine": bench.engine.value}),
        **made_of,
    }


def _as_in_the_task(one: SampleSet, responses: Sequence[Response]) -> list[Response]:
    """Put the tasks' own questions in place of those that ask for ratings, so that points can be compared."""
    pairs = zip(one.prompts, responses, strict=True)
    return [replace(response, question=prompt.question) for prompt, response in pairs]


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
