"""Finished points of versions before 0.2, which named settings differently and recorded no identity."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdpo.config.group_aliases import with_judge_group
from mmdpo.config.renamed import RENAMED, new_name
from mmdpo.config.schema import Config
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint, fingerprint
from mmdpo.models.fingerprints import WEIGHT_FILES, cached_snapshot, sha256_fingerprint
from mmdpo.models.paths import PACKAGE, resolve_path
from mmdpo.points.contents import TURNS, Content
from mmdpo.points.identity import Role, identity, under
from mmdpo.points.point_files import mapping_or_none, read_mapping
from mmdpo.points.records import PointRecord

CHOICES = {"judge": "client", "generator": "sampler"}
"""Keys that choose, which were the groups' names."""

LEAVES = ("method.attributes", "model.lr")  # mappings that are one setting
NO_RESULT = frozenset(
    "stage dry_run resume out study objective cluster tracking train.save_steps train.keep train.log_steps "
    "train.reference_batch_size bench.batch_size data.sampling.batch_size model.before_visual_tuning judge.limits "
    "judge.price judge.journal judge.timeout judge.api_key judge.batch judge.batch_size judge.retry_unscored "
    "generator.concurrency generator.timeout generator.api_key".split()
)
OF_BASE = frozenset("model.path model.weights model.dtype model.chat_template model.pad_to_square bench".split())


def is_previous(folder: Path) -> bool:
    """Return whether an earlier version has finished a point in a folder."""
    result = mapping_or_none(folder / "result.json") or {}  # absent or damaged: the point is not finished
    return "fingerprints" in result and "identity" not in result


def is_previous_config(raw: dict[str, Any]) -> bool:
    """Return whether an earlier version wrote a config.yaml, by its keys."""
    return any(new_name(key) is not None for key, _ in _flat(raw))


def previous_record(folder: Path) -> PointRecord:
    """Return the record of a finished point that has none.

    Its identity is computed from its config.yaml and the contents as they are now. Where these are not the contents
    that its result was made with, the record holds contents that equal no others.
    """
    try:
        written = (folder / "result.json").stat().st_mtime
        result, raw = read_mapping(folder / "result.json"), read_mapping(folder / "config.yaml")
        config, role = config_of(raw), Role(result["role"])
        found = identity(config, role)
        contents = {key: one for key, one in found.contents.items() if key != TURNS}  # which it did not read
        if result["fingerprints"]["model"] != _weights(config.model.path):
            contents["model.path:weights"] = _other(contents["model.path:weights"])
        elif not folder.name.endswith(f"-{previous_hash(raw, config)}"):
            key = "model.path:weights" if config.is_base or config.data.path is None else "data.path:rows"
            contents[key] = _other(contents[key])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        return PointRecord(
            folder, "", error=f"{folder.name} was made by an earlier version and cannot be read: {reason}"
        )
    known = "" if contents != found.contents else found.hex
    return PointRecord(folder, known, contents, written=written)


def config_of(raw: dict[str, Any]) -> Config:
    """Return the config of a config.yaml with the keys of an earlier version.

    Raises:
        OmegaConfBaseException: A key or value is unknown to this version.
        UserError: A key without a default is missing.
    """
    translated = with_judge_group(_translated(raw))
    data = translated["data"]
    if not data.get("path"):  # the format was that of a file, and stood there without one
        data["format"] = None if data.get("sources") else "nano"
    node: Any = OmegaConf.merge(OmegaConf.structured(Config), translated)
    for group, key in CHOICES.items():
        fields = dataclasses.fields(getattr(Config(), group))
        if any(field.name == key and field.default == MISSING for field in fields):
            node[group][key] = raw[group].get(key, raw[group]["name"])
    if missing := sorted(OmegaConf.missing_keys(node)):
        raise UserError(f"config.yaml lacks {', '.join(missing)}")
    config: Config = OmegaConf.to_object(node)  # type: ignore[assignment]
    return config


def previous_hash(raw: dict[str, Any], config: Config) -> str:
    """Return the hash at the end of the folder's name, as the earlier version computed it."""
    flat = {key: value for key, value in _flat(raw) if not under(key, NO_RESULT)}
    if config.model.path.startswith(PACKAGE):
        flat["model.weights"] = file_fingerprint(Path(resolve_path(config.model.path)) / "model.safetensors")
    if config.is_base:
        flat = {key: value for key, value in flat.items() if under(key, OF_BASE)}
    else:
        if config.data.path is not None:
            flat["data.path"] = file_fingerprint(Path(config.data.path))
        if config.cluster.processes > 1:
            flat["processes"] = config.cluster.processes
    return fingerprint(flat, length=6)


def _flat(node: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in node.items():
        key = f"{prefix}{name}"
        found += _flat(value, f"{key}.") if isinstance(value, dict) and value and key not in LEAVES else [(key, value)]
    return found


def _translated(node: Any, prefix: str = "") -> Any:
    """Rename the keys of a config to their new names."""
    if not isinstance(node, dict) or prefix.rstrip(".") in LEAVES:
        return node
    return {_renamed(f"{prefix}{key}"): _translated(value, f"{prefix}{key}.") for key, value in node.items()}


def _renamed(key: str) -> str:
    new = next((new for old, new in RENAMED.items() if fnmatch(key, old)), key)
    return new.rpartition(".")[2]


def _weights(path: str) -> str | None:
    """Return the fingerprint of the weights as an earlier version computed it; None if they are not on this disk."""
    folder = resolve_path(path)
    local = Path(folder) if Path(folder).is_dir() else cached_snapshot(folder)
    return sha256_fingerprint(local, WEIGHT_FILES) if local is not None else None


def _other(content: Content) -> Content:
    return dataclasses.replace(content, fingerprint=f"earlier than {content.fingerprint}")
