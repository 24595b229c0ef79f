"""The stages `annotate` and `teacher`: they write records, the prompts without a usable reply, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mmdpo.clients.batches import make_runner
from mmdpo.clients.journal import Journal, account_of
from mmdpo.clients.request import TRUNCATED
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import print_line, progress
from mmdpo.errors import UserError
from mmdpo.files import write_json
from mmdpo.judge.annotate import annotate, parser_of, with_repeated
from mmdpo.judge.items import Item, repeated
from mmdpo.judge.journals import locked_journal, print_limits
from mmdpo.judge.judges import client_of
from mmdpo.judge.rating_request import ANNOTATE
from mmdpo.judge.teacher import TEACHER, answers
from mmdpo.records import Annotation, Prompt, Unscored, write_records

ANNOTATIONS, UNSCORED, REPEATED = "annotations.jsonl", "unscored.jsonl", "repeated.jsonl"
SUMMARY = "summary.json"


def write_annotations(
    folder: Path, items: Callable[[], Iterable[Item]], total: int, image_root: Path, judge: JudgeConfig
) -> dict[str, Any]:
    """Rate the items; write annotations, unscored prompts, and the repeated ratings.

    Args:
        folder: Gets the files.
        items: Returns the items; called several times.
        total: Number of items.
        image_root: Folder of the prompts' images.
        judge: The judge's settings.

    Returns:
        Numbers for the card: how many items have ratings, and why the others have none.

    Raises:
        UserError: No item has ratings.
    """
    client = client_of(judge)
    print_limits(judge)
    with locked_journal(judge) as journal:

        def twice() -> Iterator[Item]:
            return repeated(items(), judge.repeat, judge.seed)

        def rated(which: Callable[[], Iterable[Item]], count: int, repetition: int) -> Iterator[Annotation | Unscored]:
            with progress("annotating", count) as advance:
                yield from annotate(which, count, image_root, judge, client, journal, advance, repetition)

        more = sum(1 for _ in twice())
        if judge.batch:  # both ratings in the same jobs, so that the second needs no further wait
            runner = make_runner(judge, client, journal, parser_of(judge), ANNOTATE)
            runner.ask(with_repeated(items(), image_root, judge), total + more)
        reasons: Counter[str] = Counter()
        parsers: Counter[str] = Counter()
        missing: list[Unscored] = []

        def scored() -> Iterator[Annotation]:
            for found in rated(items, total, 0):
                if isinstance(found, Unscored):
                    reasons[found.reason] += 1
                    missing.append(found)
                else:
                    parsers[found.parser] += 1
                    yield found

        write_records(folder / ANNOTATIONS, scored())
        write_records(folder / UNSCORED, missing)
        if more:
            again = rated(twice, more, 1)
            write_records(folder / REPEATED, (found for found in again if isinstance(found, Annotation)))
        write_json(folder / SUMMARY, _summary(judge, journal))
        journal.close_jobs(account_of(judge), ANNOTATE)
    if reasons and not parsers:
        raise nothing_scored("annotate", "ratings", reasons)
    if reasons:
        print_line(
            f"{reasons.total()} of {total} prompts are unscored ({listed(reasons)}): stage=annotate "
            f"judge.retry_unscored=true asks again{_advice(reasons)}"
        )
    return {"scored": parsers.total(), "unscored": dict(reasons), "read_by": dict(parsers)}


def write_teacher_answers(
    folder: Path, prompts: Callable[[], Iterable[Prompt]], total: int, image_root: Path, judge: JudgeConfig
) -> dict[str, Any]:
    """Write the judge's own answers to the prompts.

    Args:
        folder: Gets the files.
        prompts: Returns the prompts; called twice.
        total: Number of prompts.
        image_root: Folder of the prompts' images.
        judge: The teacher's settings.

    Returns:
        Numbers for the card: how many prompts are answered, and why the others are not.

    Raises:
        UserError: No prompt is answered.
    """
    with locked_journal(judge) as journal, progress("teacher", total) as advance:
        given = list(answers(prompts, total, image_root, judge, journal, advance))
        journal.close_jobs(account_of(judge), TEACHER)
    missing = [answer for answer in given if isinstance(answer, Unscored)]
    write_records(folder / "answers.jsonl", [answer for answer in given if not isinstance(answer, Unscored)])
    write_records(folder / UNSCORED, missing)
    reasons = Counter(answer.reason for answer in missing)
    if reasons and len(missing) == len(given):
        raise nothing_scored("teacher", "an answer", reasons)
    return {"answers": len(given) - len(missing), "unanswered": dict(reasons)}


def nothing_scored(stage: str, wanted: str, reasons: Counter[str]) -> UserError:
    """Return the error of a stage without a single usable reply.

    Args:
        stage: Its name.
        wanted: What each prompt should have got.
        reasons: Counts of why there is none.
    """
    return UserError(
        f"none of {reasons.total()} prompts has {wanted} ({listed(reasons)}). The raw replies are in the journal. "
        f"Check judge.model and judge.structured, then type stage={stage} judge.retry_unscored=true to ask again"
        f"{_advice(reasons)}"
    )


def listed(reasons: Counter[str]) -> str:
    """Return counts with their reasons, the largest first."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())


def _advice(reasons: Counter[str]) -> str:
    if not reasons[TRUNCATED]:
        return ""
    return "; replies ended at judge.max_output_tokens, which counts a model's reasoning, too: a larger one leaves room"


def _summary(judge: JudgeConfig, journal: Journal) -> dict[str, Any]:
    """Return what differs between runs with the same result, and so has no place in the card."""
    spent = journal.spent(account_of(judge))
    return {"rubric": judge.rubric, "cost_so_far": round(spent, 4), "currency": judge.price.currency}
