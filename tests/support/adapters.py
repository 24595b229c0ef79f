"""Adapters and answers without content, whole as far as their files go."""

from __future__ import annotations

import json
from pathlib import Path

from mmdpo.files import file_fingerprint, write_json


def write_adapter(folder: Path, content: str = "") -> None:
    """Write the files of an adapter in PEFT format; another `content` gives another fingerprint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes(content))


def safetensors_bytes(content: str = "") -> bytes:
    """Return a safetensors file without tensors."""
    header = json.dumps({"__metadata__": {"content": content}}).encode()
    return len(header).to_bytes(8, "little") + header


def write_answers(folder: Path, *tasks: str) -> None:
    """Write a point's empty answers to tasks, each with the file that names their content."""
    for task in tasks:
        path = folder / "answers" / f"{task}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        write_json(path.with_suffix(".json"), {"content": file_fingerprint(path)})
