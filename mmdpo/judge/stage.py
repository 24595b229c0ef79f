"""What `stage=annotate` and `stage=teacher` leave: records, what has none and why, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmdpo.clients.batches import make_runner
from mmdpo.clients.journal import Journal
from mmdpo.clients.journal import journal as opened
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import print_line, progress
from mmdpo.files import write_json
from mmdpo.judge.annotate import Item, annotate, read_ratings, repeated, with_repeated
from mmdpo.judge.judges import client_of, journal_of
from mmdpo.judge.teacher import answers
from mmdpo.records import Annotation, Prompt, Unscored, write_records

ANNOTATIONS, UNSCORED, REPEATED = "annotations.jsonl", "unscored.jsonl", "repeated.jsonl"
SUMMARY = "summary.json"


def write_annotations(
    folder: Path, items: Callable[[], Iterable[Item]], total: int, image_root: Path, judge: JudgeConfig
) -> dict[str, Any]:
    """Rate the items and write annotations, what stays unscored, and the repeated ratings.

    Returns what the card says: how many have ratings, and why the others have none.
    """
    client = client_of(judge)
    with _journal(judge) as journal:

        def twice() -> Iterator[Item]:
            return repeated(items(), judge.repeat, judge.seed)

        def rated(which: Callable[[], Iterable[Item]], count: int, round_: int) -> Iterator[Annotation | Unscored]:
            with progress("annotating", count) as advance:
                yield from annotate(which, count, image_root, judge, client, journal, advance, round_)

        more = sum(1 for _ in twice())
        if judge.batch:  # both ratings in the same jobs, not the second after a wait for the first
            asker = make_runner(judge, client, journal, read_ratings)
            asker.ask(with_repeated(items(), image_root, judge), total + more)
        reasons: Counter[str] = Counter()
        steps: Counter[str] = Counter()
        missing: list[Unscored] = []

        def scored() -> Iterator[Annotation]:
            for found in rated(items, total, 0):
                if isinstance(found, Unscored):
                    reasons[found.reason] += 1
                    missing.append(found)
                else:
                    steps[found.step] += 1
                    yield found

        write_records(folder / ANNOTATIONS, scored())
        write_records(folder / UNSCORED, missing)
        if more:
            again = rated(twice, more, 1)
            write_records(folder / REPEATED, (found for found in again if isinstance(found, Annotation)))
        write_json(folder / SUMMARY, _summary(judge, journal))
        journal.close_jobs(judge.name)
    if reasons:
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        print_line(
            f"{reasons.total()} of {total} prompts are unscored ({why}): stage=annotate "
            "judge.retry_unscored=true asks again"
        )
    return {"scored": steps.total(), "unscored": dict(reasons), "read_by": dict(steps)}


def write_teacher_answers(
    folder: Path, prompts: Callable[[], Iterable[Prompt]], total: int, image_root: Path, judge: JudgeConfig
) -> dict[str, Any]:
    """Have the judge answer the prompts itself; returns what the card says."""
    with _journal(judge) as journal, progress("teacher", total) as advance:
        given = list(answers(prompts, total, image_root, judge, journal, advance))
        journal.close_jobs(judge.name)
    missing = [answer for answer in given if isinstance(answer, Unscored)]
    write_records(folder / "answers.jsonl", [answer for answer in given if not isinstance(answer, Unscored)])
    write_records(folder / UNSCORED, missing)
    reasons = Counter(answer.reason for answer in missing)
    return {"answers": len(given) - len(missing), "unanswered": dict(reasons)}


def _summary(judge: JudgeConfig, journal: Journal) -> dict[str, Any]:
    """What has no place in a card, since it differs from run to run."""
    return {"cost_so_far": round(journal.spent(judge.name), 4), "currency": judge.price.currency}


@contextmanager
def _journal(judge: JudgeConfig) -> Iterator[Journal]:
    """The judge's journal, for this process alone: limits and budget are those of one account."""
    path = journal_of(judge)
    with opened(path) as journal, _alone(path):
        yield journal


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print_line(f"another process asks this judge now ({path}); this one waits")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
