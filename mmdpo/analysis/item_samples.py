"""The samples behind a study's items: their images, facts and reference answers.

They are read from the study's own copy, `samples/`, which a bundle brings along; else they are made from the files of
the benchmarks, as for an evaluation.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from mmdpo.analysis.study import Row
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.samples import KEYS, sample_sets
from mmdpo.evaluation.task import TURN_IMAGES, find_task
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.images import NoImage, inside
from mmdpo.records import Prompt, read_records

FOLDER = "samples"
"""The folder of a study that holds copies of samples; their images are below `images/`, named by content."""

IMAGES = "images"


@dataclass(frozen=True)
class ItemSamples:
    """The samples of a task as a point was asked them.

    Attributes:
        prompts: The samples by id; an item that is a part of an answer has the sample's id before a slash.
        image_root: The folder that their images are relative to.
    """

    prompts: dict[str, Prompt]
    image_root: Path

    def images(self, id: str) -> list[Path]:
        """Return the images of an item, those of later turns behind the first; without those that are not there."""
        prompt = self.prompt(id)
        found = []
        for name in names_of(prompt) if prompt else ():
            try:
                found.append(inside(self.image_root, name))
            except UserError:
                continue
        return found

    def prompt(self, id: str) -> Prompt | None:
        """Return the sample of an item."""
        return self.prompts.get(id) or self.prompts.get(id.rpartition("/")[0])


def names_of(prompt: Prompt) -> tuple[str, ...]:
    """Return the names of all images of a sample, those of later turns as well."""
    return (*prompt.images, *prompt.facts.get(TURN_IMAGES, ()))


def item_samples(row: Row, task: str) -> ItemSamples:
    """Return the samples of a task as a point was asked them.

    Raises:
        UserError: They are not there, such as the benchmark's files on another machine; the message says what to type.
    """
    bench = sample_settings(row, task)
    own = row.folder.parent / FOLDER
    file = own / f"{samples_name(bench, task)}.jsonl"
    if file.is_file():
        try:
            return ItemSamples({one.id: one for one in read_records(file, Prompt)}, own / IMAGES)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{file} cannot be read ({error}): delete it, or open the bundle again") from None
    found = sample_sets(bench, {}, "")[0]
    return ItemSamples({one.id: one for one in found.prompts}, found.image_root)


def samples_name(bench: BenchConfig, task: str) -> str:
    """Return the name of a task's samples, by the settings that choose them."""
    known = find_task(task)
    keys = sorted({*KEYS, "subset", *(known.reads if known else ())})
    values = {key: getattr(bench, key) for key in keys}
    plain = {key: value.value if isinstance(value, Enum) else value for key, value in values.items()}
    return f"{task}-{fingerprint(plain, length=8)}"


def with_images_by_content(found: ItemSamples, ids: Iterable[str]) -> tuple[list[Prompt], dict[str, Path]]:
    """Name the images of items by their content, to copy them; an image that is not there keeps its name.

    Args:
        found: The samples.
        ids: The items that are wanted.

    Returns:
        Their samples, and the images by their new names.
    """
    prompts = {prompt.id: prompt for id in ids if (prompt := found.prompt(id)) is not None}
    names: dict[str, str] = {}
    images = {}
    for name in dict.fromkeys(name for prompt in prompts.values() for name in names_of(prompt)):
        with contextlib.suppress(NoImage):
            path = inside(found.image_root, name)
            names[name] = f"{file_fingerprint(path, 64)}{path.suffix.lower()}"
            images[names[name]] = path

    def renamed(prompt: Prompt) -> Prompt:
        first = tuple(names.get(name, name) for name in prompt.images)
        later = [names.get(name, name) for name in prompt.facts.get(TURN_IMAGES, ())]
        return replace(prompt, images=first, facts=prompt.facts | ({TURN_IMAGES: later} if later else {}))

    return [*map(renamed, prompts.values())], images


def sample_settings(row: Row, task: str) -> BenchConfig:
    """Return the settings that a point's samples of a task depend on. Raises UserError if they cannot be read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    known = {field.name for field in dataclasses.fields(BenchConfig)} - {"judge", "server"}
    values: dict[str, Any] = {key: value for key, value in row.group("bench").items() if key in known}
    try:
        wanted = OmegaConf.create({"name": "", **values, "tasks": [task]})
        bench: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(BenchConfig), wanted))
    except OmegaConfBaseException as error:
        raise UserError(f"{row.folder}/config.yaml: bench cannot be read ({str(error).splitlines()[0]})") from None
    return bench
