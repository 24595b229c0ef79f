"""The samples behind a study's answers, as far as a reader needs them: turns, images and reference answers.

Points hold answers and not their samples. The folder of the page keeps these, so that the page stays the same where
the cache and the benchmarks' files are absent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.analysis.page.pictures import ItemImages
from mmdpo.analysis.page.scripts import to_script, write_if_changed
from mmdpo.analysis.study import Row
from mmdpo.errors import UserError
from mmdpo.evaluation.task import TURN_IMAGES, TURNS, WITHOUT_REQUEST
from mmdpo.files import file_fingerprint, read_json
from mmdpo.leftovers import temporary_prefix
from mmdpo.points.identity import Role

if TYPE_CHECKING:
    from mmdpo.evaluation.samples import SampleSet
    from mmdpo.records import Prompt

FOLDER, IMAGES = "samples", "images"
PER_TURN = "references"
REFERENCES = (PER_TURN, "reference", "truth", "full", "answer")
"""Keys of `Prompt.facts` that tasks keep a right answer or a reference answer under, the first that is there."""
ROW, GOLD = "row", "gt_answer"
"""Keys of MMHal-Bench, whose facts hold the row of its file."""
BY_QUESTION = "questions"
"""In place of a fingerprint, for imported answers: the samples of the files that have the same questions."""

Sample = Mapping[str, Any]
"""What the page shows of a sample: `turns`, `history`, `reference`, `images`, `images_left_out`."""


@dataclass
class StoredSamples:
    """The samples of a study by task.

    Attributes:
        folder: The folder of the page.
        pictures: The images of the samples.
        missing: The tasks whose samples could not be made, because the benchmark's files or images have changed or
            are not on this machine.
        is_complete: Whether another attempt would find nothing more.
    """

    folder: Path
    pictures: ItemImages = field(init=False)
    missing: set[str] = field(default_factory=set)
    is_complete: bool = True
    _known: dict[str, dict[str, Sample]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name the folder of the images."""
        self.pictures = ItemImages(self.folder / IMAGES)

    def of(self, row: Row, name: str) -> dict[str, Sample]:
        """Return the samples that a point has answered, by id; none if they are nowhere to be found.

        Args:
            row: The point.
            name: The name of the task, with that of its second phrasing if it is one.
        """
        task = name.removesuffix(f".{WITHOUT_REQUEST}")
        found = {digest: None for file in (task, f"{task}.{WITHOUT_REQUEST}") if (digest := _digest(row, file))}
        if row.role == Role.imported and not found:
            found = {BY_QUESTION: None}
        for digest in found:
            if (known := f"{task}-{digest}") in self._known:
                return self._known[known]
        for digest in found:
            stored = self._stored(task, digest)
            samples = stored if stored and not _lacks_images(stored) else self._collected(row, task, digest) or stored
            if samples:
                self.is_complete &= self.pictures.is_full or not _lacks_images(samples)
                self._known[f"{task}-{digest}"] = samples
                return samples
        if found:
            self.missing.add(task)
            self.is_complete = False
        return {}

    def remove_unused(self) -> None:
        """Delete the samples and images that the study's answers do not have any more."""
        self.pictures.remove_unused()
        for path in (self.folder / FOLDER).glob("*.json"):
            if path.stem not in self._known:
                path.unlink(missing_ok=True)

    def _file(self, task: str, digest: str) -> Path:
        return self.folder / FOLDER / f"{task}-{digest}.json"

    def _stored(self, task: str, digest: str) -> dict[str, Sample] | None:
        """Read the samples that were stored; None if an image of them is missing."""
        try:
            samples: dict[str, Sample] = read_json(self._file(task, digest))["items"]
            names = {name for sample in samples.values() for name in sample["images"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return samples if all(map(self.pictures.keep, sorted(names))) else None

    def _collected(self, row: Row, task: str, digest: str) -> dict[str, Sample]:
        """Make the samples from the cache or the benchmark's files, and store them; none if they cannot be made."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        from mmdpo.config.schema import BenchConfig
        from mmdpo.evaluation.samples import sample_sets

        try:
            settings = OmegaConf.merge(OmegaConf.structured(BenchConfig), row.group("bench"), {"tasks": [task]})
            bench: Any = OmegaConf.to_object(settings)
            with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as scratch:
                (one,) = sample_sets(bench, {}, "", Path(scratch))
                if digest != BY_QUESTION and digest != one.asked_fingerprint:
                    return {}
                images = _found_images(one) if digest == BY_QUESTION else one.image_digests
                samples = {prompt.id: _sample(prompt, one, images, self.pictures) for prompt in one.prompts}
        except (UserError, OSError, ValueError, OmegaConfBaseException):
            return {}
        write_if_changed(self._file(task, digest), to_script({"items": samples}) + "\n")
        return samples


def reference_of(prompt: Prompt) -> str:
    """Return the reference answer of a sample, empty if its task has none."""
    row = prompt.facts.get(ROW)
    value = row.get(GOLD) if isinstance(row, dict) else None
    key = next((key for key in REFERENCES if prompt.facts.get(key)), None)
    value = prompt.facts[key] if key else value
    if isinstance(value, list | tuple):
        return ("\n\n" if key == PER_TURN else ", ").join(map(str, value))
    return "" if value is None else str(value)


def _digest(row: Row, file: str) -> str | None:
    """Return the fingerprint of the samples that a point has answered, from the note beside its answers."""
    try:
        digest = read_json(row.folder / "answers" / f"{file}.json")["samples"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return digest if isinstance(digest, str) and digest.isalnum() else None


def _lacks_images(samples: Mapping[str, Sample]) -> bool:
    return any(sample.get("images_left_out") for sample in samples.values())


def _found_images(one: SampleSet) -> dict[str, str]:
    """Return the fingerprints of those images that are there."""
    from mmdpo.images import inside

    found = {}
    for name in {name for prompt in one.prompts for name in _images_of(prompt)}:
        with suppress(UserError, OSError):
            found[name] = file_fingerprint(inside(one.image_root, name))
    return found


def _images_of(prompt: Prompt) -> list[str]:
    return [*dict.fromkeys((*prompt.images, *prompt.facts.get(TURN_IMAGES, ())))]


def _sample(prompt: Prompt, one: SampleSet, digests: Mapping[str, str], pictures: ItemImages) -> Sample:
    names = _images_of(prompt)
    found = [pictures.add(one.image_root / name, digests[name]) if name in digests else None for name in names]
    images = [name for name in found if name]
    return {
        "turns": list(prompt.facts.get(TURNS) or [prompt.question]),
        "history": [[turn.question, turn.answer] for turn in prompt.history],
        "reference": reference_of(prompt),
        "images": images,
        "images_left_out": len(found) - len(images),
    }
