"""Data sets through the datasets library: from a folder in the hub's layout, and what is said without a network."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmdpo.config.choices import OnBadRow
from mmdpo.config.schema import DataConfig
from mmdpo.errors import UserError
from mmdpo.sources import hub
from mmdpo.sources.doctor import examine
from mmdpo.sources.pair_reader import read_pairs
from tests.sources.files import as_lines, as_parquet
from tests.sources.test_rlhf_v import TEXTS, image


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a data set with two splits; caches stand beside it."""
    for name in ("MMDPO_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    (tmp_path / "clone/data").mkdir(parents=True)
    for split in ("train", "test"):
        rows = [{**TEXTS, "question": f"{split} {index}?", "image": image()} for index in range(2)]
        as_parquet(tmp_path / f"clone/data/{split}-00000-of-00001.parquet", rows)
    return tmp_path / "clone"


def data(name: object, **settings: Any) -> DataConfig:
    return DataConfig(name="pairs", format="pairs", hub=str(name), **settings)


def test_a_folder_in_the_layout_of_the_hub(folder: Path) -> None:
    with pytest.raises(UserError, match=rf"type data\.hub={folder}"):
        read_pairs(folder, None, OnBadRow.error, folder.parent / "embedded")
    path = hub.hub_rows(data(folder, hub_split="test"))
    result = read_pairs(path, None, OnBadRow.error, folder.parent / "embedded")
    assert [pair.question for pair in result.pairs] == ["test 0?", "test 1?"]
    assert all(len(pair.images) == 1 for pair in result.pairs)
    (finding,) = examine(data(folder))
    assert (finding.good, finding.found, finding.locations[0].key) == (True, 2, "data.hub")
    with pytest.raises(UserError, match=r"data\.hub_split=gone"):
        hub.hub_rows(data(folder, hub_split="gone"))


def test_the_digest_follows_content_split_and_configuration(folder: Path) -> None:
    first = hub.hub_digest(data(folder))
    assert first == hub.hub_digest(data(folder.rename(folder.with_name("moved"))))
    moved = folder.with_name("moved")
    others = {hub.hub_digest(data(moved, **one)) for one in ({"hub_split": "test"}, {"hub_config": "a"})}
    (moved / ".git").write_text("x")
    assert hub.hub_digest(data(moved)) == first
    as_lines(moved / "data/train-2.jsonl", [TEXTS])
    assert len({first, *others, hub.hub_digest(data(moved))}) == 4


def test_the_commit_of_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read without downloading anything, and remembered for nodes without a network."""
    hub._hub_commit.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info", lambda self, name, **given: SimpleNamespace(sha=f"commit of {name}")
    )
    online = hub.hub_digest(data("owner/name"))

    def unreachable(*args: object, **given: object) -> None:
        raise ConnectionError

    hub._hub_commit.cache_clear()
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    assert hub.hub_digest(data("owner/name")) == online
    assert hub.hub_digest(data("owner/name", hub_revision="0" * 40)) != online
    for settings in ({}, {"hub_revision": "v2"}):
        with pytest.raises(UserError, match=r"data\.hub=owner/other: .*ConnectionError.*type data\.path=FILE"):
            hub.hub_digest(data("owner/other", **settings))
    hub._hub_commit.cache_clear()


def test_no_image_leaves_the_folder(folder: Path) -> None:
    card = "dataset_info:\n  features:\n"
    card += "".join(
        f"  - name: {name}\n    dtype: {kind}\n" for name, kind in [*[(n, "string") for n in TEXTS], ("image", "image")]
    )
    (folder / "README.md").write_text(f"---\n{card}---\n")
    for file in (folder / "data").iterdir():
        file.unlink()
    (folder / "data/a.png").write_bytes(image()["bytes"])
    (folder.parent / "secret.png").write_bytes(image()["bytes"])
    for name in ("clone/data/a.png", "secret.png"):
        as_lines(folder / "data/train.jsonl", [{**TEXTS, "image": str(folder.parent / name)}])
        if name == "secret.png":
            with pytest.raises(UserError, match=r"secret\.png' is outside the data set"):
                hub.hub_rows(data(folder))
        else:
            assert hub.hub_rows(data(folder)).is_file()


def test_without_a_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"data\.hub=owner/gone: .*cannot be reached \(HF_HUB_OFFLINE"):
        hub.hub_rows(data("owner/gone"))
