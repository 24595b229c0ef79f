"""Answers of an unfinished evaluation, stored one by one, so that a kill loses none that the engine has given.

The files stand below `answers/.unfinished` of a point. Each process appends to its own file and reads those of all,
so that several processes may share a point's samples, on any shared file system. A line holds the key of a request
and its answer. The key covers all that the answer depends on: lines that were made otherwise are never found.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from mmdpo.activity import report_saved
from mmdpo.files import Unreadable, open_regular
from mmdpo.points.results import UNFINISHED
from mmdpo.records import Completion, from_dict

WHOLE = "all"
"""The file of the process that answers all samples of a point."""

REPORT_SECONDS = 5.0
"""The time between two notes of the number of stored answers in the point's status."""


class AnswerStore:
    """The stored answers of a point, by the keys of their requests; a context manager that closes the own file.

    Attributes:
        was_empty: True if nothing was stored when it was opened.
    """

    def __init__(self, answers: Path, writer: str = WHOLE) -> None:
        """Read the stored answers and open the own file.

        Args:
            answers: The folder of the point's answers.
            writer: The name of the own file.
        """
        self._folder, self._writer = answers / UNFINISHED, writer
        self._read_until: dict[Path, int] = {}
        self._answers: dict[str, Completion] = {}
        self._finished: dict[str, str] = {}
        self._file: int | None = None
        self._reported = time.monotonic()
        self.read()
        self.was_empty = not self._answers

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the own file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def path(self) -> Path:
        """The own file."""
        return self._folder / f"{self._writer}.jsonl"

    def read(self) -> None:
        """Read what has been stored by any process since the last call. Damaged and incomplete lines are left out."""
        for path in sorted(self._folder.glob("*.jsonl")):
            try:
                with open_regular(path) as file:
                    file.seek(self._read_until.get(path, 0))
                    whole, newline, _ = file.read().rpartition(b"\n")
            except (OSError, Unreadable):
                continue
            self._read_until[path] = self._read_until.get(path, 0) + len(whole) + len(newline)
            for line in whole.splitlines():
                try:
                    content = json.loads(line)
                    if "finished" in content:
                        self._finished[path.stem] = str(content["finished"])
                        continue
                    self._answers[str(content["key"])] = from_dict(Completion, content["answer"])
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    continue

    def get(self, key: str) -> Completion | None:
        """Return the stored answer to a request; None if there is none."""
        return self._answers.get(key)

    def add(self, key: str, answer: Completion) -> None:
        """Store the answer to a request at once."""
        line = json.dumps({"key": key, "answer": dataclasses.asdict(answer)}) + "\n"
        self.begin()
        self._write(line.encode())
        self._answers[key] = answer
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self.report()

    def begin(self) -> None:
        """Create the own file if it does not exist."""
        if self._file is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            self._write(b"\n")  # ends the line that a killed process left incomplete

    def finish(self, launch: str) -> None:
        """Note in the own file that a launch of several processes has stored all answers of this one's share."""
        self.begin()
        self._write((json.dumps({"finished": launch}) + "\n").encode())

    def finished(self, writer: str) -> str | None:
        """Return the launch whose share is complete in the file of a writer; None for an incomplete one."""
        return self._finished.get(writer)

    def size(self, writer: str) -> int:
        """Return how many bytes of a writer's file have been read; it grows as long as the writer works."""
        return self._read_until.get(self._folder / f"{writer}.jsonl", 0)

    def report(self) -> None:
        """Note the number of stored answers in the point's status."""
        self._reported = time.monotonic()
        report_saved("answers", len(self._answers))

    def discard(self) -> None:
        """Remove the stored answers of all processes, once the final files have them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, content: bytes) -> None:
        assert self._file is not None
        try:
            while content:
                content = content[os.write(self._file, content) :]
        except OSError as error:
            error.filename = str(self.path)  # a full disk names none
            raise
