"""Content fingerprints of models, processors and adapters. Light: a sweep is planned with them.

A model keeps its fingerprint when its folder is moved or copied. A model on the Hugging Face Hub is identified by the
hashes that the hub publishes for its files, without downloading them.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mmdpo.cache import read_memo, write_memo
from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.models.paths import resolve_path, template
from mmdpo.storage import cache_root

WEIGHT_FILES = ("config.json", "*.safetensors")
PROCESSOR_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*processor_config.json",
    "chat_template*",
    "additional_chat_templates/*",
)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
LARGE = 1 << 26  # bytes; the digest of a larger file is stored in the cache
LFS_SUFFIXES = (".safetensors", ".model", ".bin")  # the hub stores these by SHA-256, whatever their size
LFS_SIZE = 10 * 1024**2  # bytes; the hub stores larger files by SHA-256 as well
SETTLED_SECONDS = 2.0  # a file changed more recently may change again without a new time stamp
HUB_SECONDS = 10.0  # timeout of one request to the hub
REASON_CHARACTERS = 300
UNKNOWN = "unknown: "
"""Prefix of the fingerprint of a hub model that is neither cached nor reachable; the model's id follows."""


_failures: dict[str, str] = {}
"""The reason for each hub model that could not be asked for its metadata."""

_configs: dict[str, dict[str, Any]] = {}
"""The part of each hub model's config that the hub's metadata holds."""

_digests: dict[tuple[str, str, int, int, int, int], str] = {}


def weights_fingerprint(path: str) -> str:
    """Fingerprint of the weights and their config at `model.path`."""
    return _fingerprint(path, WEIGHT_FILES)


def processor_fingerprint(model: ModelConfig) -> str:
    """Fingerprint of tokenizer, image processor and chat template, with the config's choices."""
    own_template = template(model.chat_template) if model.chat_template else None
    files = _fingerprint(model.path, PROCESSOR_FILES)
    prefix = UNKNOWN if files.startswith(UNKNOWN) else ""
    return prefix + fingerprint([files, own_template, model.pad_to_square])


def fingerprints_before_download(model: ModelConfig) -> tuple[str, str]:
    """Return the fingerprints of weights and processor if the hub model is neither cached nor reachable."""
    own_template = template(model.chat_template) if model.chat_template else None
    files = f"{UNKNOWN}{model.path}"
    return files, UNKNOWN + fingerprint([files, own_template, model.pad_to_square])


def adapter_fingerprint(adapter: Path, key: str = "generator.adapter") -> str:
    """Fingerprint of an adapter's content. Raises UserError, which names the setting, if a file is missing."""
    for name in ADAPTER_FILES:
        if not (adapter / name).is_file():
            raise UserError(f"{key}={adapter}: has no {name}; type {key}=STUDY/POINT/adapter")
    return fingerprint([file_digest(adapter / name)[:16] for name in ADAPTER_FILES])


def sha256_fingerprint(folder: Path, patterns: Iterable[str]) -> str:
    """Fingerprint of a local folder as the versions before 0.2 recorded it in result.json."""
    return fingerprint([[name, file_digest(file)] for name, file in _matching(folder, patterns)])


def _fingerprint(path: str, patterns: Iterable[str]) -> str:
    folder = resolve_path(path)
    if Path(folder).is_dir():
        return fingerprint([[name, _hub_digest(file)] for name, file in _matching(Path(folder), patterns)])
    files = hub_files(folder)
    if files is None:
        return f"{UNKNOWN}{folder}"
    return fingerprint([[name, files[name]] for name in sorted(files) if any(fnmatch(name, p) for p in patterns)])


def _matching(folder: Path, patterns: Iterable[str]) -> list[tuple[str, Path]]:
    """List the files that match, with their names in the folder, by name."""
    found = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    return sorted((file.relative_to(folder).as_posix(), file) for file in found)


def _hub_digest(file: Path) -> str:
    """Return the hash that the hub publishes for a file of this content."""
    if file.suffix in LFS_SUFFIXES or file.stat().st_size > LFS_SIZE:
        return file_digest(file)
    return file_digest(file, "git")


@functools.cache
def hub_files(model: str) -> dict[str, str] | None:
    """Return the published hash of each file of a hub model; asked once per process.

    Online, the hub's metadata is read. Offline, the hashes are those that were read from the hub last, unless the
    snapshot in the Hugging Face cache has others. A snapshot holds only the files that were needed, so a node without
    network would otherwise compute another fingerprint than the one with it.

    Returns:
        File names and hashes; None if the model is neither reachable nor cached.
    """
    remembered = cache_root() / "hub" / f"{fingerprint(model)}.json"
    files = _published(model)
    known: dict[str, str] | None = read_memo(remembered, dict)
    if files is not None:
        if known != files:
            write_memo(remembered, files)
        return files
    files = _snapshot(model)
    if files is None or (known is not None and files.items() <= known.items()):
        return known
    return files


def hub_failure(path: str, key: str = "model.path") -> str | None:
    """Return why nothing is known of a hub model, or None for a folder and for a known model.

    Args:
        path: `model.path`: a folder, a hub id, or pkg://package/folder.
        key: The key that names it, for the message.
    """
    model = resolve_path(path)
    if Path(model).is_dir() or hub_files(model) is not None:
        return None
    reason = _failures.get(model, "unknown")
    return (
        f"{key}={path}: there is no such folder, it is not in the Hugging Face cache, and the hub cannot be asked "
        f"({reason}). Type {key}=FOLDER, set HF_TOKEN for a private model, or download it first: hf download {path}"
    )


def hub_config(model: str) -> dict[str, Any]:
    """Return what the hub's metadata says of a model's config, such as its `model_type`; empty if it was not asked."""
    hub_files(model)
    return _configs.get(model, {})


def _published(model: str) -> dict[str, str] | None:
    """Read the hashes from the hub's metadata; None if the hub cannot be reached or refuses."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        _failures[model] = "HF_HUB_OFFLINE is set"
        return None
    try:
        info = HfApi().model_info(model, files_metadata=True, timeout=HUB_SECONDS)
    except Exception as error:  # no network, a proxy, a private model without a token
        _failures[model] = " ".join(str(error).split())[:REASON_CHARACTERS] or type(error).__name__
        return None
    _configs[model] = dict(getattr(info, "config", None) or {})
    hashes = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in info.siblings or []}
    return {name: value for name, value in hashes.items() if value}


def _snapshot(model: str) -> dict[str, str] | None:
    """Read the hashes from the Hugging Face cache, whose files are named by them."""
    folder = cached_snapshot(model)
    files = [file for file in folder.rglob("*") if file.is_file()] if folder else []
    if folder is None or not any(file.suffix == ".safetensors" for file in files):
        return None  # a download that has only begun
    return {file.relative_to(folder).as_posix(): _cached_hash(file) for file in files}


def cached_snapshot(model: str) -> Path | None:
    """Return the folder of a hub model in the Hugging Face cache; None if it was not downloaded."""
    from huggingface_hub.constants import HF_HUB_CACHE

    root = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
    try:
        return root / "snapshots" / (root / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _cached_hash(file: Path) -> str:
    """Return the name of the blob behind a file of a snapshot; without links, the hash of its content."""
    blob = file.resolve()
    return blob.name if blob.parent.name == "blobs" else _hub_digest(file)


def file_digest(file: Path, kind: str = "sha256") -> str:
    """Hash a file's content; remembered under its path, size and times.

    The time of modification can be set back, as `cp -p` does, that of the last change (ctime) cannot.

    Args:
        file: The file; links are followed.
        kind: `sha256`, or `git` for the SHA-1 that git gives a blob.

    Returns:
        The hexadecimal digest. That of a file of more than `LARGE` bytes is stored in the cache.
    """
    state = os.stat(file)
    as_named = (kind, os.fspath(file), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if as_named in _digests:
        return _digests[as_named]
    real = os.path.realpath(file)
    key = (kind, real, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    settled = is_settled(state)
    digest = _stored(key, _HASHES[kind]) if state.st_size >= LARGE and settled else _HASHES[kind](Path(real))
    if settled:
        _digests[as_named] = digest
    return digest


def is_settled(state: os.stat_result) -> bool:
    """Return whether a file was changed so long ago that another change gets another time stamp."""
    return time.time() - max(state.st_mtime, state.st_ctime) > SETTLED_SECONDS


def _stored(key: tuple[str, str, int, int, int], compute: Callable[[Path], str]) -> str:
    name = fingerprint(key)
    stored = cache_root() / "digests" / f"{name}.json"
    digest: str | None = read_memo(stored, str)
    if digest is None:
        digest = compute(Path(key[1]))
        write_memo(stored, digest)
    return digest


def _sha256(file: Path) -> str:
    return file_fingerprint(file, length=64)


def _git_blob(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


_HASHES: dict[str, Callable[[Path], str]] = {"sha256": _sha256, "git": _git_blob}
