"""Images of the user that a benchmark's questions name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, find_file
from mmdpo.leftovers import temporary_prefix
from mmdpo.records import Prompt


@dataclass(frozen=True)
class UserImages:
    """Images below a folder of the user.

    Attributes:
        root: The folder, whether or not it is there.
        samples: Read the samples that name the images.
    """

    root: Path
    samples: Callable[[Path], Sequence[Prompt]]

    @classmethod
    def below(
        cls, folder: BenchFile, bench: BenchConfig, samples: Callable[[BenchConfig, Path], Sequence[Prompt]]
    ) -> Self:
        """Return the images of a task's samples below a folder.

        Args:
            folder: The folder.
            bench: The settings that say where it is.
            samples: The task's function that reads its samples.
        """
        root = find_file(bench, folder) or Path(bench.root, folder.name)
        return cls(root, lambda own: samples(bench, own))

    def names(self) -> list[str]:
        """List the images that the samples name; none while a file is missing or wrong."""
        with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as folder:
            try:
                prompts = self.samples(Path(folder))
            except (UserError, OSError):
                return []
        return sorted({name for prompt in prompts for name in prompt.images})
