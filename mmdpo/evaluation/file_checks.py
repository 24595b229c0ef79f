"""Quick checks of the benchmarks' files before a run: all of them are there, can be read, and name images that are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmdpo.config.choices import BENCHMARKS
from mmdpo.config.schema import BenchConfig
from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile, find_file, require_file, wanted_path
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.evaluation.task import Task, load_task
from mmdpo.images import NoImage, check_image, inside

LISTED = 8  # missing files in an error
DECODED = 8  # images of a task; the doctor decodes all


def check_file_keys(bench: BenchConfig) -> None:
    """Raise UserError for names of `bench.files` that no task has."""
    if not bench.files:
        return
    tasks = [load_task(name) for name in BENCHMARKS.names()]
    known = {file.key for task in tasks for file in (*task.bench_files, *_folder(task))}
    for key in bench.files:
        if key not in known:
            raise UserError(f"bench.files.{key}: no benchmark has this file; allowed are {', '.join(sorted(known))}")


def file_problems(bench: BenchConfig, images: bool = True, scratch: Path | None = None) -> Iterator[str]:
    """Describe what is wrong with the files of the tasks.

    Args:
        bench: The settings of the benchmarks.
        images: Whether to look for the user's images, too.
        scratch: A temporary folder for samples that are not in the cache, so that nothing is written there.
    """
    tasks = {name: load_task(name) for name in bench.tasks}
    missing = {name: _missing(task, bench, images) for name, task in tasks.items()}
    if wanted := {file.key: file for files in missing.values() for file in files}:
        yield _missing_text([name for name, files in missing.items() if files], [*wanted.values()], bench)
    for name, task in tasks.items():
        if not missing[name] and (task.bench_files or task.image_folder):
            try:
                [samples] = sample_sets(replace(bench, tasks=[name]), {}, "", scratch)
            except (UserError, OSError) as error:
                yield f"{name}: {error}"
                continue
            if images:
                yield from _image_problems(name, task, samples)


def _missing(task: Task, bench: BenchConfig, images: bool) -> list[BenchFile]:
    """List the required files and folders of a task that are not there."""
    files = (*task.bench_files, *(_folder(task) if images else ()))
    return [file for file in files if file.required and file.used(bench) and find_file(bench, file) is None]


def _missing_text(tasks: Sequence[str], files: Sequence[BenchFile], bench: BenchConfig) -> str:
    if len(files) == 1:
        try:
            require_file(bench, files[0])
        except UserError as error:
            return f"{', '.join(tasks)}: {error}"
    width = max(len(file.key) for file in files[:LISTED])
    lines = [f"  {file.key:<{width}}  {wanted_path(bench, file)}" for file in files[:LISTED]]
    more = [f"  and {len(files) - LISTED} more"] if len(files) > LISTED else []
    text = (
        f"{', '.join(tasks)}: {len(files)} files and folders are missing. Put them there, type bench.root=FOLDER, or "
        "+bench.files.KEY=PATH for a single one"
    )
    return "\n".join([text, *lines, *more])


def _folder(task: Task) -> list[BenchFile]:
    return [] if task.image_folder is None else [task.image_folder]


def _image_problems(name: str, task: Task, samples: SampleSet) -> Iterator[str]:
    """Describe the images that are not there, and the first of a few that cannot be decoded."""
    if task.image_folder is None:
        return
    key, root = task.image_folder.key, samples.image_root
    names = sorted({image for prompt in samples.prompts for image in prompt.images})
    paths: list[Path] = []
    faults = []
    for image in names:
        try:
            paths.append(inside(root, image))
        except (NoImage, UserError) as error:
            faults.append(str(error))
    step = max(1, len(paths) // DECODED)
    for path in paths[::step]:
        try:
            check_image(path)
        except UserError as error:
            faults.append(str(error))
    if faults:
        count = f"{len(faults)} of {len(names)} images" if len(faults) > 1 else "an image"
        yield f"{name}: {count} cannot be used: {faults[0]}; type +bench.files.{key}=DIR, or put them there"
