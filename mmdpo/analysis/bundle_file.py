"""The file of a bundle: a zip archive with a manifest that names the size and SHA-256 of each of its files.

Equal content makes equal bytes: entries are sorted and have no time. Nothing is unpacked that the manifest does not
name, that is not of the kinds of files that bundles hold, or that would be written outside of the target.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mmdpo import __version__
from mmdpo.errors import UserError
from mmdpo.files import Unreadable, atomic_write, open_regular
from mmdpo.storage import storage_advice

FORMAT = 1
MANIFEST = "bundle.json"
TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can hold
CHUNK = 1 << 20
MANIFEST_BYTES = 1 << 28
STORED = (".safetensors", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".pdf")
"""Files that compression does not make smaller."""

RECORDS = (".json", ".jsonl", ".yaml", ".csv")
DOCUMENTS = (*RECORDS, ".tex", ".md", ".txt", ".png", ".pdf")
OF_POINT = {"answers": (*RECORDS, ".tsv", ".txt", ".xlsx"), "judgments": RECORDS, "adapter": (".safetensors", ".json")}
OF_STUDY = {
    "report/samples": (".json",),
    "report/images": (".png", ".jpg", ".webp", ".gif"),
    "audit": DOCUMENTS,
    "paper": DOCUMENTS,
}
"""The suffixes of the files in the folders of a point and of a study that a bundle may hold."""

UNUSABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, Unreadable)
"""The errors of an archive that is damaged, encrypted, or not one of ours."""


@dataclass(frozen=True)
class Entry:
    """A file for a bundle: its path below the study, and its content or the file that holds it."""

    name: str
    content: Path | bytes


@dataclass(frozen=True)
class Manifest:
    """The content of a bundle.

    Attributes:
        study: The name of the study.
        points: The number of its points.
        adapters: Whether their adapters are there.
        left_out: What is missing of the study, in sentences.
        files: The size and SHA-256 of each file, by its path below the study.
        format: The version of this format.
        mmdpo: The version that wrote the bundle.
    """

    study: str
    points: int
    adapters: bool = False
    left_out: tuple[str, ...] = ()
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: int = FORMAT
    mmdpo: str = __version__


def belongs_in_bundle(name: str) -> bool:
    """Return whether a path below a study is that of a file that a bundle may hold."""
    parts = PurePosixPath(name).parts
    if not parts or name != "/".join(parts) or any(part.startswith(".") or "\\" in part for part in parts):
        return False
    suffix = PurePosixPath(name).suffix.lower()
    if allowed := next((OF_STUDY[folder] for folder in OF_STUDY if name.startswith(f"{folder}/")), None):
        return suffix in allowed
    return suffix in (RECORDS if len(parts) <= 2 else OF_POINT.get(parts[1], ()))


def write_archive(file: Path, manifest: Manifest, entries: Iterable[Entry]) -> Manifest:
    """Write a bundle; returns the manifest with its files."""
    files: dict[str, dict[str, Any]] = {}
    with _places_named(), atomic_write(file) as aside, zipfile.ZipFile(aside, "w") as archive:
        for entry in sorted(entries, key=lambda one: one.name):
            files[entry.name] = _add(archive, entry)
        whole = Manifest(**{**vars(manifest), "files": files})
        text = json.dumps(asdict(whole), indent=1, ensure_ascii=False) + "\n"
        _add(archive, Entry(MANIFEST, text.encode("utf-8")))
    return whole


def read_manifest(file: Path) -> Manifest:
    """Read the manifest of a bundle. Raises UserError for a file that is damaged, or no bundle."""
    with _archive(file) as archive:
        return _manifest(file, archive)


def unpack(file: Path, target: Path) -> Manifest:
    """Verify a bundle and unpack it.

    Args:
        file: The bundle.
        target: The folder to make.

    Raises:
        UserError: The file is damaged or no bundle, the target exists, or the disk is too small.
    """
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} exists and is not overwritten: type --to DIR with another one")
    with _archive(file) as archive:
        manifest = _manifest(file, archive)
        _check_entries(file, archive, manifest)
        target.parent.mkdir(parents=True, exist_ok=True)
        wanted, free = sum(one["bytes"] for one in manifest.files.values()), shutil.disk_usage(target.parent).free
        if wanted > free:
            raise UserError(f"{file} unpacks to {wanted:,} bytes, and {target.parent} has {free:,} free: type --to DIR")
        with atomic_write(target) as aside:
            aside.mkdir()
            for name, expected in manifest.files.items():
                _extract(file, archive, name, expected, aside)
            _extract(file, archive, MANIFEST, None, aside)
    return manifest


def is_archive(file: Path) -> bool:
    """Return whether a file may be a bundle."""
    return file.is_file() and zipfile.is_zipfile(file)


@contextmanager
def _places_named() -> Iterator[None]:
    """Say which place cannot be read or written; a full disk has advice of its own."""
    try:
        yield
    except OSError as error:
        if storage_advice(error) is not None:
            raise
        raise UserError(f"{error.filename} cannot be read or written ({error.strerror}): type another path") from None


@contextmanager
def _archive(file: Path) -> Iterator[zipfile.ZipFile]:
    """Open a bundle, and say of one that cannot be read what to do."""
    if not file.exists():
        raise UserError(f"no file {file}: type the path of a bundle, as `python -m mmdpo bundle` writes it")
    try:
        with _places_named(), open_regular(file) as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except UNUSABLE as error:
        raise UserError(_advice(file, str(error) or type(error).__name__)) from None


def _advice(file: Path, reason: str) -> str:
    return f"{file} is damaged or no bundle ({reason}): copy it again, or write it again with python -m mmdpo bundle"


def _manifest(file: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        info = archive.getinfo(MANIFEST)
        if info.file_size > MANIFEST_BYTES:
            raise UserError(_advice(file, f"{MANIFEST} has {info.file_size:,} bytes"))
        data = json.loads(archive.read(info))
        if data["format"] != FORMAT:
            found = f"format {data['format']} of mmdpo {data['mmdpo']}"
            raise UserError(f"{file} has {found}, and this version reads {FORMAT}: install that version of mmdpo")
        files = {
            str(name): {"sha256": str(one["sha256"]), "bytes": int(one["bytes"])} for name, one in data["files"].items()
        }
        left_out = tuple(map(str, data["left_out"]))
        manifest = Manifest(str(data["study"]), int(data["points"]), bool(data["adapters"]), left_out, files)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(_advice(file, f"{MANIFEST}: {error or 'missing'}")) from None
    if not belongs_in_bundle(f"{manifest.study}/config.yaml"):
        raise UserError(_advice(file, f"{MANIFEST}: {manifest.study!r} is no name of a study"))
    return manifest


def _check_entries(file: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Raise UserError if the archive holds other entries than its manifest names, or one that no bundle holds."""
    infos = {info.filename: info for info in archive.infolist()}
    if other := sorted({*infos} ^ {*manifest.files, MANIFEST}) or (len(infos) != len(archive.infolist()) and ["twice"]):
        raise UserError(_advice(file, f"its manifest and its entries differ in {len(other)}, such as {other[0]!r}"))
    folders = {str(folder) for name in manifest.files for folder in PurePosixPath(name).parents}
    for name, expected in manifest.files.items():
        info = infos[name]
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not belongs_in_bundle(name) or name in folders or kind not in (0, stat.S_IFREG):
            raise UserError(_advice(file, f"no bundle holds an entry such as {name!r}"))
        if info.file_size != expected["bytes"] or expected["bytes"] < 0:
            raise UserError(_advice(file, f"{name} has another size than its manifest says"))


def _add(archive: zipfile.ZipFile, entry: Entry) -> dict[str, Any]:
    """Add a file to an archive; returns its size and SHA-256."""
    info = zipfile.ZipInfo(entry.name, TIME)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    stored = PurePosixPath(entry.name).suffix.lower() in STORED
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    digest, size = hashlib.sha256(), 0
    with _opened(entry.content) as source, archive.open(info, "w", force_zip64=True) as out:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += out.write(chunk)
    return {"sha256": digest.hexdigest(), "bytes": size}


@contextmanager
def _opened(content: Path | bytes) -> Iterator[IO[bytes]]:
    if isinstance(content, bytes):
        yield BytesIO(content)
    else:
        with open_regular(content) as file:
            yield file


def _extract(file: Path, archive: zipfile.ZipFile, name: str, expected: dict[str, Any] | None, folder: Path) -> None:
    """Write an entry below a folder; stops at the size and raises UserError for another content than is expected."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), expected["bytes"] if expected else MANIFEST_BYTES
    with archive.open(name) as source, path.open("xb") as out:
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise UserError(_advice(file, f"{name} is larger than it says"))
            digest.update(chunk)
            out.write(chunk)
    if expected and (left or digest.hexdigest() != expected["sha256"]):
        raise UserError(_advice(file, f"{name} has another content than its manifest says"))
