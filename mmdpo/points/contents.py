"""Contents behind the paths of a config: their fingerprints, in place of the paths, are part of a point's identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mmdpo.cache import code_fingerprint, read_memo, write_memo
from mmdpo.config.choices import BENCHMARKS, CUSTOM_LOSSES, RUBRICS, RULES, TrainOn, reading_format
from mmdpo.config.losses import weighted_losses
from mmdpo.config.schema import BenchConfig, Config, DataConfig, MethodConfig, ModelConfig, SourceConfig
from mmdpo.errors import UserError
from mmdpo.files import fingerprint
from mmdpo.models.fingerprints import (
    adapter_fingerprint,
    file_digest,
    is_settled,
    processor_fingerprint,
    weights_fingerprint,
)
from mmdpo.models.paths import PACKAGE
from mmdpo.registry import Kind
from mmdpo.storage import cache_root

STORED_IMAGES = 64  # digests of more images than this are stored in the cache
STORED_BYTES = 1 << 20  # the image names of a larger data file are stored in the cache

TURNS = "data.path:turns"
"""Content of a file of pairs that earlier versions did not read."""

Value = TypeVar("Value")
_remembered: dict[Any, Any] | None = None


@dataclass(frozen=True)
class Content:
    """The content behind one setting.

    Attributes:
        fingerprint: Digest that identifies the content, wherever it is stored.
        path: File or folder of the content; None for content that comes with the code and is chosen by name.
        given: Fingerprint of what else the fingerprint depends on. Two contents of one path compare only if
            this is equal.
    """

    fingerprint: str
    path: str | None = None
    given: str = ""


@contextmanager
def contents_remembered() -> Iterator[None]:
    """Look at each content once within the block, because the points of one plan share it."""
    global _remembered
    before = _remembered
    _remembered = {} if before is None else before
    try:
        yield
    finally:
        _remembered = before


def remembered(key: Any, make: Callable[[], Value]) -> Value:
    """Return what `make` returns; within `contents_remembered`, call it once per key."""
    if _remembered is None:
        return make()
    if key not in _remembered:
        _remembered[key] = make()
    value: Value = _remembered[key]
    return value


def contents(config: Config) -> dict[str, Content]:
    """Fingerprints of all contents that a point's result depends on.

    Args:
        config: The point's config.

    Returns:
        Contents by `override:kind`, as in `model.path:weights`.

    Raises:
        UserError: A path leads nowhere.
    """
    found = {**_of_model(config), **_of_tasks(config.bench)}
    if config.is_base:
        return found
    found |= _of_losses(config.method) | start_contents(config.model)
    data = config.data
    if data.is_own:
        return found | _of_own_data(data, reading_format(str(data.format), config.method.train_on))
    for name, source in data.sources.items():
        found |= source_contents(name, source, data.seed)
    adapter = config.generator.adapter
    if adapter is not None and config.method.train_on is not TrainOn.teacher:
        digest = remembered(("adapter", adapter), lambda: adapter_fingerprint(Path(adapter)))
        found["generator.adapter:weights"] = Content(digest, place_of(adapter))
    if config.method.train_on is not TrainOn.teacher and config.judge.client not in RULES.names():
        name = config.judge.rubric
        found["judge.rubric:text"] = Content(remembered(("rubric", name), lambda: _code(RUBRICS, name)), given=name)
    return found


def start_contents(model: ModelConfig) -> dict[str, Content]:
    """Fingerprint of the adapter that a training starts from; empty if it starts from the base."""
    if model.adapter is None:
        return {}
    folder = Path(model.adapter)
    digest = remembered(("adapter", model.adapter), lambda: adapter_fingerprint(folder, "model.adapter"))
    return {"model.adapter:weights": Content(digest, place_of(model.adapter))}


def place_of(path: str) -> str:
    """Return a path in one spelling; hub ids and `pkg://` stay as they are."""
    if path.startswith(PACKAGE):
        return path.rstrip("/")
    folder = Path(path).expanduser()
    return str(folder.resolve()) if folder.exists() else path


def _of_model(config: Config) -> dict[str, Content]:
    model = config.model
    place = place_of(model.path)
    key = (model.path, model.chat_template, model.pad_to_square)
    return {
        "model.path:weights": Content(
            remembered(("weights", model.path), lambda: weights_fingerprint(model.path)), place
        ),
        "model.path:processor": Content(
            remembered(("processor", key), lambda: processor_fingerprint(model)), place, fingerprint(key[1:])
        ),
    }


def tasks_with_files(bench: BenchConfig) -> set[str]:
    """Return the tasks that read files of the user; the other ones are made by code of a version."""
    loaded = {name: BENCHMARKS.load(name) for name in set(bench.tasks)}
    return {name for name, task in loaded.items() if task.bench_files or task.files(bench)}


def _of_losses(method: MethodConfig) -> dict[str, Content]:
    """Fingerprint the files of losses that are not TRL's."""
    found = {}
    for name in sorted(weighted_losses(method).keys() & set(CUSTOM_LOSSES.names())):
        code = remembered(("loss", name), partial(_code, CUSTOM_LOSSES, name))
        key = f"method.losses.{name}:code" if method.losses else "method.loss_type:code"
        found[key] = Content(code, given=name)
    return found


def _of_tasks(bench: BenchConfig) -> dict[str, Content]:
    """Fingerprints of the files that benchmarks read, and of the images that their questions name."""
    found = {}
    for name in sorted(tasks_with_files(bench)):
        given = repr(bench)

        def make(name: str = name) -> str:
            return _of_task(name, bench)

        found[f"bench.tasks:{name}"] = Content(remembered(("task", name, given), make), given=fingerprint(given))
    return found


def _of_task(name: str, bench: BenchConfig) -> str:
    task = BENCHMARKS.load(name)
    files = str(task.fingerprint(bench))
    images = task.images(bench)
    if images is None:
        return files
    key = ["benchmark", name, files, *(str(getattr(bench, setting)) for setting in task.reads)]
    stored = cache_root() / "digests" / f"names-{fingerprint(key)}.json"
    if not (names := read_memo(stored, list)) and (names := images.names()):
        write_memo(stored, names)
    return fingerprint([files, *sorted(image_digests(images.root, names).items())])


def _of_own_data(data: DataConfig, form: str) -> dict[str, Content]:
    """Fingerprints of the user's own rows and of the images that they name, as a format reads them."""
    root = data.image_root
    if data.hub is not None:
        from mmdpo.sources.hub import hub_digest, hub_rows

        rows = remembered(
            ("hub", data.hub, data.hub_config, data.hub_split, data.hub_revision), lambda: hub_digest(data)
        )
        found = {"data.hub:rows": Content(rows, data.hub, fingerprint([data.hub_config, data.hub_split]))}
        path = hub_rows(data) if root is not None else Path()
    else:
        path = Path(data.path or "")
        rows = remembered(("rows", path), lambda: _rows(path, "data.path"))
        found = {"data.path:rows": Content(rows, place_of(str(path)))}
        key = ("turns", rows, form, data.seed, repr(data.fields))
        if turns := remembered(key, lambda: _turns(data, form, rows)):
            found[TURNS] = Content(turns, place_of(str(path)))
    if root is not None:
        from mmdpo.sources.pair_reader import pair_image_names

        images = [rows, form, data.seed, *([data.fields] if data.fields else [])]
        digest = remembered(
            ("images", root, repr(images)),
            lambda: _images(Path(root), images, path, lambda: pair_image_names(path, form, data.seed, data.fields)),
        )
        found["data.image_root:images"] = Content(digest, place_of(root), fingerprint(images))
    return found


def _turns(data: DataConfig, form: str, rows: str) -> str:
    """Fingerprint of the system's texts and the places of images; empty if a file has neither.

    A point that an earlier version trained without them is not the point that would be trained now.
    """
    from mmdpo.sources.pair_reader import pair_contexts

    path = Path(data.path or "")
    stored = cache_root() / "digests" / f"turns-{fingerprint([rows, form, data.seed, data.fields])}.json"
    known: str | None = read_memo(stored, str)
    if known is not None:
        return known
    contexts = pair_contexts(path, form, data.seed, data.fields)
    turns = fingerprint(contexts) if contexts else ""
    if path.is_dir() or path.stat().st_size > STORED_BYTES:
        write_memo(stored, turns)
    return turns


def source_contents(name: str, source: SourceConfig, seed: int) -> dict[str, Content]:
    """Fingerprints of a source of prompts: its rows, and the images of the rows that may be chosen."""
    path, root, key = Path(source.path or ""), source.image_root, f"data.sources.{name}"
    rows = remembered(("rows", path), lambda: _rows(path, f"{key}.path"))
    found = {f"{key}.path:rows": Content(rows, place_of(str(path)))}
    if root is not None:
        from mmdpo.sources.prompts import prompt_image_names

        chosen = [rows, source.format, source.count, source.offset, seed]
        digest = remembered(
            ("images", root, *chosen),
            lambda: _images(Path(root), chosen, path, lambda: prompt_image_names(name, source, seed)),
        )
        found[f"{key}.image_root:images"] = Content(digest, place_of(root), fingerprint(chosen))
    return found


def _rows(path: Path, key: str) -> str:
    """Fingerprint of the raw rows: of the bytes of a file, or of all files of a folder, in their order."""
    from mmdpo.sources.tables import files

    return fingerprint([file_digest(file) for file in files(path, key)])


def _images(root: Path, key: Sequence[Any], rows: Path, names_of: Callable[[], list[str]]) -> str:
    """Fingerprint of the images under a root that rows name; a missing image counts as such."""
    stored = cache_root() / "digests" / f"names-{fingerprint(key)}.json"
    names = read_memo(stored, list)
    if names is None:
        names = names_of()
        if rows.is_dir() or rows.stat().st_size > STORED_BYTES:
            write_memo(stored, names)
    return fingerprint(sorted(image_digests(root, names).items()))


def image_digests(root: Path, names: Sequence[str]) -> dict[str, str | None]:
    """SHA-256 of each named image under the root; None for one that is not there.

    Those of many images are stored in the cache, and computed again only for files whose size or times changed.
    """
    from mmdpo.images import inside

    stored = cache_root() / "digests" / f"images-{fingerprint(str(root.resolve()))}.json"
    many = len(names) > STORED_IMAGES
    known: dict[str, list[Any]] = (read_memo(stored, dict) if many else None) or {}
    digests: dict[str, str | None] = {}
    entries = dict(known)
    for name in names:
        try:
            path = inside(root, name)
        except UserError:
            digests[name] = None
            continue
        state = path.stat()
        times = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        *before, digest = _entry(known.get(name))
        if before != times:
            digest = file_digest(path)
            if is_settled(state):
                entries[name] = [*times, digest]
        digests[name] = digest
    if many and entries != known:
        write_memo(stored, entries)
    return digests


def _entry(known: Any) -> list[Any]:
    """Return size, times and digest of an image as stored; an entry that fits no image if it is damaged or older."""
    match known:
        case [int(), int(), int(), str()]:
            return [*known]
    return [""]


def _code(kind: Kind, name: str) -> str:
    """Fingerprint of an extension's file; its comments and docstrings do not count."""
    return code_fingerprint(kind.file(name))
