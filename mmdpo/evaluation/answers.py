"""Answers to the sample sets of a point: `answers/<set>.jsonl`, each with a sidecar that names what it was made of.

A file is used again only if its sidecar names the same samples, solver, decoding and model, and the content that
the file has. Until the answers to a set are complete, they are in the point's AnswerStore.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdpo.activity import report_saved
from mmdpo.config.choices import AnswerEngine
from mmdpo.config.schema import BenchConfig
from mmdpo.config.shard import Shard
from mmdpo.console import print_line, progress
from mmdpo.errors import UserError
from mmdpo.evaluation.answer_store import AnswerStore
from mmdpo.evaluation.peers import Peers
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.shares import share_of
from mmdpo.evaluation.stored_inference import LazyEngine, StoredInference
from mmdpo.evaluation.task import TURNS, Response
from mmdpo.files import file_fingerprint, read_json, write_json
from mmdpo.models.requests import Engine
from mmdpo.records import CUT, Prompt, read_records, write_records
from mmdpo.signals import raise_if_asked
from mmdpo.timings import timed

ANSWERS = "answers"
UPSTREAM = "upstream"
"""The folder below `answers` with the answers in the formats of other programs."""


def write_answers(
    sets: Sequence[SampleSet],
    make_engine: Callable[[], Engine],
    made_of: Mapping[str, Any],
    bench: BenchConfig,
    folder: Path,
    others: Callable[[], Sequence[Path]] = tuple,
    peers: Peers | None = None,
) -> None:
    """Generate the answers to every set that has no valid answers yet.

    Answers that an interrupted run or a share of the point (`answer_share`) has stored are taken as they are.

    Args:
        sets: The point's sample sets.
        make_engine: Return what answers, such as the loaded model; it is not called if nothing is missing.
        made_of: Fingerprints of the model, for the sidecars.
        bench: The decoding settings.
        folder: The point's folder.
        others: Return the folders of points with the same model; equal answers are copied from there.
        peers: The processes that answer with this one, which is the first of them; None if it is alone.
    """
    take_answers(sets, made_of, bench, folder, others)
    missing = [one for one in sets if differences(one, made_of, bench, folder)]
    with AnswerStore(folder / ANSWERS) as store, LazyEngine(make_engine) as engine:
        if peers is not None and missing:
            started = time.monotonic()
            for _ in _solve([(one, share_of(one, peers.shard(0))) for one in missing], engine, made_of, bench, store):
                pass
            peers.wait(store, time.monotonic() - started)
        parts, alone = [(one, one.asked) for one in missing], peers is None
        for one, responses in _solve(parts, engine, made_of, bench, store, alone):
            _write_set(one, _as_in_the_task(one, responses), _key(one, made_of, bench), folder)
        store.discard()


def answer_share(
    sets: Sequence[SampleSet],
    make_engine: Callable[[], Engine],
    made_of: Mapping[str, Any],
    bench: BenchConfig,
    folder: Path,
    shard: Shard,
    writer: str = "",
    launch: str = "",
) -> None:
    """Generate and store the answers to a share of each set that has no valid answers; `write_answers` collects them.

    Args:
        sets: The point's sample sets.
        make_engine: Return what answers; it is not called if nothing is missing.
        made_of: Fingerprints of the model.
        bench: The decoding settings.
        folder: The point's folder.
        shard: The share.
        writer: The name of the file that stores the answers; empty for that of the share.
        launch: The launch of several processes that this one belongs to; the first one waits for its end.
    """
    missing = [one for one in sets if differences(one, made_of, bench, folder)]
    with AnswerStore(folder / ANSWERS, writer or shard.label) as store, LazyEngine(make_engine) as engine:
        store.begin()  # an empty share is answered, too
        for _ in _solve([(one, share_of(one, shard)) for one in missing], engine, made_of, bench, store):
            pass
        if launch:
            store.finish(launch)


def take_answers(
    sets: Sequence[SampleSet],
    made_of: Mapping[str, Any],
    bench: BenchConfig,
    folder: Path,
    others: Callable[[], Sequence[Path]],
) -> None:
    """Copy the answers to sets that have no valid answers from other points, if equal ones are there.

    Args:
        sets: The point's sample sets.
        made_of: The fingerprints that the answers must have; those that are left out are not compared.
        bench: The decoding settings that the answers must have.
        folder: The point's folder.
        others: Return the folders of points with the same model; it is not called if nothing is missing.
    """
    missing = [one for one in sets if differences(one, made_of, bench, folder)]
    candidates = [other for other in others() if other != folder] if missing else []
    taken: dict[Path, list[str]] = {}
    for one in missing:
        asked = [other for other in candidates if made_with(one, other).get("samples") == one.asked_fingerprint]
        if source := next((other for other in asked if not differences(one, made_of, bench, other)), None):
            known = made_with(one, source)
            _write_set(one, read_answers(one, made_of, bench, source), known, folder)
            taken.setdefault(source, []).append(one.file)
    for source, names in taken.items():
        print_line(f"answers to {', '.join(names)} are known from {source.parent.name}/{source.name}")


def counts_of(responses: Sequence[Response]) -> dict[str, int]:
    """Count the answers: all of them, those that the limit of tokens cut, and the empty ones."""
    return {
        "answers": len(responses),
        "cut": sum(response.finish_reason == CUT for response in responses),
        "empty": sum(not response.answer.strip() for response in responses),
    }


def _solve(
    parts: Sequence[tuple[SampleSet, Sequence[Prompt]]],
    engine: LazyEngine,
    made_of: Mapping[str, Any],
    bench: BenchConfig,
    store: AnswerStore,
    is_timed: bool = True,
) -> Iterator[tuple[SampleSet, list[Response]]]:
    """Answer samples of sets, and yield the responses of each set as soon as they are complete."""
    total = sum(len(prompt.facts.get(TURNS, ())) or 1 for _, prompts in parts for prompt in prompts)
    with progress("evaluating", total) as advance:
        for one, prompts in parts:
            raise_if_asked()
            origin = {key: value for key, value in _key(one, made_of, bench).items() if key not in OF_SAMPLES}
            inference = StoredInference(
                one.file, engine, store, origin, one.image_root, one.image_digests, bench, advance
            )
            with timed(answers_kind(one.name, bench), **answers_amounts(prompts, bench)) as block:
                block.recorded = is_timed and store.was_empty
                responses = one.task.solver(inference, prompts)
            yield one, responses


def answers_kind(task: str, bench: BenchConfig) -> str:
    """Return the kind of work of answering a task, for its time."""
    return f"answers/{task}" + ("" if bench.engine is AnswerEngine.model else f"@{bench.engine.value}")


def answers_amounts(prompts: Sequence[Prompt], bench: BenchConfig) -> dict[str, float]:
    """Count the work of answering prompts: sets, batches and answers."""
    answers = sum(len(prompt.facts.get(TURNS, ())) or 1 for prompt in prompts)
    return {"sets": 1.0, "batches": float(math.ceil(answers / bench.batch_size)), "answers": float(answers)}


def _write_set(one: SampleSet, responses: Sequence[Response], sidecar: Mapping[str, Any], folder: Path) -> None:
    """Write the answers to a set, the same in upstream's format, and at last the sidecar that makes them valid."""
    path = folder / ANSWERS / f"{one.file}.jsonl"
    write_records(path, responses)
    counts = counts_of(responses)
    if counts["cut"]:
        print_line(f"{one.file}: {counts['cut']:,} of {counts['answers']:,} answers were cut at the limit of tokens")
    _write_upstream(one, responses, folder)
    write_json(_sidecar(path), {**sidecar, "counts": counts, "content": file_fingerprint(path)})
    report_saved(f"{ANSWERS}/{one.file}", 1)


def _write_upstream(one: SampleSet, responses: Sequence[Response], folder: Path) -> None:
    """Write answers in the format of the program that defined the task; a failure is a message alone."""
    upstream = one.task.upstream
    if upstream is None or upstream.write_answers is None or one.variant:
        return
    items = list(zip(one.prompts, responses, strict=True))
    try:
        upstream.write_answers(folder / ANSWERS / UPSTREAM, items, folder.name)
    except Exception as error:  # our own records have the answers
        reason = str(error) or type(error).__name__
        print_line(f"{one.file}: the answers could not be written in upstream's format: {reason}")


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


OF_SAMPLES = ("task", "samples", "solver", "decoding")
"""Entries of a sidecar that say what was asked; the others say what answered."""


def _as_in_the_task(one: SampleSet, responses: Sequence[Response]) -> list[Response]:
    """Put the tasks' own questions in place of those that ask for ratings, so that points can be compared."""
    pairs = zip(one.prompts, responses, strict=True)
    return [replace(response, question=prompt.question) for prompt, response in pairs]


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")
