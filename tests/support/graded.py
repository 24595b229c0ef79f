"""The task of `graded_tasks`, its files, and a rehearsal server that grades."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmdpo.evaluation import tasks
from mmdpo.evaluation.task import load_task
from mmdpo.testing import fake_gemini, fake_openai

FOLDER = Path(__file__).parent / "graded_tasks"


@contextmanager
def graded_task(root: Path, questions: int, task: str = "graded") -> Iterator[None]:
    """Make `bench.tasks=[graded]` known, and write its questions below `bench.root`."""
    write_questions(root, questions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "__path__", [*tasks.__path__, str(FOLDER)])
        try:
            yield
        finally:
            load_task.cache_clear()


def write_questions(root: Path, count: int) -> None:
    """Write the questions of the task."""
    file = root / "graded" / "questions.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({"question": f"What is {n}?"}) + "\n" for n in range(count)), encoding="utf-8")


def grade_by(monkeypatch: pytest.MonkeyPatch, grade: Callable[[str], str]) -> None:
    """Let the rehearsal servers reply with `grade(text)` to the requests of the task."""
    for module in (fake_openai, fake_gemini):
        usual = module.reply_to

        def reply(text: str, form: str | None = None, salt: str = "", usual: Callable[..., str] = usual) -> str:
            return grade(text) if text.startswith("Grade from") else usual(text, form, salt)

        monkeypatch.setattr(module, "reply_to", reply)
