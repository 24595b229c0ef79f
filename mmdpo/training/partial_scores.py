"""Log-probs of the rows that are scored so far, in files beside the cache until all rows are scored.

A job that is preempted in the middle continues with the next row instead of the first.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.activity import report_saved
from mmdpo.files import atomic_write, read_json, write_json

if TYPE_CHECKING:
    import torch

PART_SECONDS = 60.0  # of work that a process which is killed loses at most
KEY = "key.json"


class PartialScores:
    """Scores of consecutive rows; a context that writes what is left when it ends, also by an interruption.

    Attributes:
        sums: Sums of the log-probs of the rows' two answers, tensors of shape [2].
        log_probs: Log-probs of the tokens of each of the rows' two answers.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        """Read the scores that an earlier process has written.

        Args:
            folder: The folder of the files; it is emptied if it was written with another key.
            key: What the scores depend on besides the name of the folder, such as the batch size; JSON-able.
        """
        self.folder = folder
        self.sums: list[torch.Tensor] = []
        self.log_probs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._written, self._time = 0, time.monotonic()
        if _key_of(folder) != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_json(folder / KEY, key)
        while part := _read(self._file(len(self.sums))):
            self.sums += part[0]
            self.log_probs += part[1]
        self._written = len(self.sums)

    def __len__(self) -> int:
        """Return the number of scored rows."""
        return len(self.sums)

    def __enter__(self) -> PartialScores:
        """Start to count the time until the next file."""
        self._time = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the scores that are in no file yet."""
        self._write()

    def add(self, sums: torch.Tensor, log_probs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Add the scores of the next rows.

        Args:
            sums: Sums of the log-probs [2, rows].
            log_probs: Log-probs of the tokens of each row's answers.
        """
        self.sums += sums.unbind(1)
        self.log_probs += log_probs
        if time.monotonic() - self._time >= PART_SECONDS:
            self._write()

    def _write(self) -> None:
        import torch
        from safetensors.torch import save_file

        first, self._time = self._written, time.monotonic()
        if len(self.sums) == first:
            return
        tensors = {"sums": torch.stack(self.sums[first:], dim=1)}
        for side in range(2):
            answers = [row[side] for row in self.log_probs[first:]]
            tensors[f"counts.{side}"] = torch.tensor([len(answer) for answer in answers])
            tensors[f"log_probs.{side}"] = torch.cat(answers)
        with atomic_write(self._file(first)) as aside:
            save_file(tensors, aside)
        self._written = len(self.sums)
        report_saved(f"reference/{self.folder.name}", self._written)

    def _file(self, first: int) -> Path:
        """Return the file of the scores that start with a row."""
        return self.folder / f"rows-{first}.safetensors"


def _key_of(folder: Path) -> Any:
    try:
        return read_json(folder / KEY)
    except (OSError, ValueError):
        return None


def _read(file: Path) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]]] | None:
    """Read a file of scores; None if there is none, or if it is damaged."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
        answers = [torch.split(tensors[f"log_probs.{side}"], tensors[f"counts.{side}"].tolist()) for side in range(2)]
        sums = list(tensors["sums"].unbind(1))
    except (OSError, KeyError, ValueError, RuntimeError, IndexError, SafetensorError):
        return None
    rows = list(zip(*answers, strict=False))
    return (sums, rows) if len(sums) == len(rows) == len(answers[1]) else None
