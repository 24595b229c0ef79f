"""Content fingerprints of models: the same for every location, without downloading."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdpo.config.schema import ModelConfig
from mmdpo.models import fingerprints
from mmdpo.models.fingerprints import file_digest, hub_files, processor_fingerprint, weights_fingerprint
from tests.support.tiny import save_tiny_llava

HUB = "owner/model"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    hub_files.cache_clear()


def test_fingerprints_follow_the_content(tiny: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny, tmp_path / "copy"))
    weights, processor = weights_fingerprint(str(tiny)), processor_fingerprint(ModelConfig(path=str(tiny)))
    assert (weights_fingerprint(str(copy)), processor_fingerprint(ModelConfig(path=str(copy)))) == (
        weights,
        processor,
    )

    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert processor_fingerprint(ModelConfig(path=str(copy))) != processor
    assert weights_fingerprint(str(copy)) == weights

    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "vision_feature_layer": -1}))
    assert weights_fingerprint(str(copy)) != weights

    save_tiny_llava(copy, seed=1)
    shutil.copy(tiny / "config.json", copy)
    assert weights_fingerprint(str(copy)) != weights


def test_the_digest_of_a_large_file_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"1")
    monkeypatch.setattr(fingerprints, "LARGE", 0)
    monkeypatch.setattr(fingerprints, "SETTLED_SECONDS", -1)
    digest = file_digest(file)
    assert digest == hashlib.sha256(b"1").hexdigest()
    monkeypatch.setattr(fingerprints, "_digests", {})  # as another process has it
    monkeypatch.setattr(fingerprints, "_HASHES", {"sha256": None})
    assert file_digest(file) == digest


def test_a_file_that_changes_twice_at_once_is_read_twice(tmp_path: Path) -> None:
    """Time stamps are too coarse for it."""
    file = tmp_path / "file"
    digests = set()
    for content in (b"1", b"2", b"3"):
        file.write_bytes(content)
        os.utime(file)
        digests.add(file_digest(file))
    assert len(digests) == 3


@pytest.mark.parametrize("large", [False, True])
def test_a_file_of_the_same_size_and_time_is_another(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "LARGE", 0 if large else 100)
    monkeypatch.setattr(fingerprints, "SETTLED_SECONDS", -1)
    file = tmp_path / "file"
    digests = set()
    for content in (b"1", b"2"):
        file.write_bytes(content)
        os.utime(file, (1, 1))  # as `cp -p` and `rsync -t` set it
        digests.add(file_digest(file))
    assert len(digests) == 2


def published(folder: Path) -> SimpleNamespace:
    """The metadata that the hub gives of a model's files."""

    def of(file: Path) -> SimpleNamespace:
        content = file.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        lfs = SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()) if file.suffix == ".safetensors" else None
        return SimpleNamespace(rfilename=file.name, lfs=lfs, blob_id="pointer" if lfs else blob)

    return SimpleNamespace(siblings=[of(file) for file in sorted(folder.iterdir())])


def of_model(path: str) -> tuple[str, str]:
    return weights_fingerprint(path), processor_fingerprint(ModelConfig(path=path))


def test_a_hub_model_is_its_local_copy_and_is_not_downloaded(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.setattr(
        "huggingface_hub.HfApi.model_info", lambda self, name, **options: asked.append(name) or published(tiny)
    )
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *given, **options: pytest.fail("downloaded"))
    assert of_model(HUB) == of_model(str(tiny))
    assert asked == [HUB]  # once per process
    hub_files.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    assert of_model(HUB) == of_model(str(tiny))  # as the hub reported last


def test_offline_a_hub_model_is_what_the_cache_holds(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "hub" / "models--owner--model"
    for folder in ("blobs", "refs", "snapshots/abc"):
        (root / folder).mkdir(parents=True)
    (root / "refs" / "main").write_text("abc")
    for file in published(tiny).siblings:
        blob = root / "blobs" / (file.lfs.sha256 if file.lfs else file.blob_id)
        shutil.copy(tiny / file.rfilename, blob)
        (root / "snapshots" / "abc" / file.rfilename).symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert of_model(HUB) == of_model(str(tiny))


def test_offline_a_snapshot_with_a_part_of_the_files_is_the_model_that_the_hub_described(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download leaves out the files that nobody reads; jobs without network must find the same point."""
    whole = Path(shutil.copytree(tiny, tmp_path / "whole"))
    (whole / "vocab.txt").write_text("of an older tokenizer")
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda self, name, **options: published(whole))
    online = of_model(HUB)
    hub_files.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    monkeypatch.setattr("mmdpo.models.fingerprints.cached_snapshot", lambda model: tiny)
    monkeypatch.setattr("mmdpo.models.fingerprints._cached_hash", fingerprints._hub_digest)
    assert of_model(HUB) == online
    changed = Path(shutil.copytree(tiny, tmp_path / "changed"))
    (changed / "chat_template.jinja").write_text("{{ messages }}")
    hub_files.cache_clear()
    monkeypatch.setattr("mmdpo.models.fingerprints.cached_snapshot", lambda model: changed)
    assert of_model(HUB) == of_model(str(changed))  # another revision


def test_a_hub_model_that_nothing_is_known_of_is_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    assert weights_fingerprint(HUB) == f"{fingerprints.UNKNOWN}{HUB}"
    hub_files.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)

    def no_network(*given: object, **options: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    assert weights_fingerprint(HUB) == f"{fingerprints.UNKNOWN}{HUB}"
