"""The version of the miniature's generated data, which identifies points of a study."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmdpo.files import fingerprint
from mmdpo.nano import DATA_VERSION
from mmdpo.nano.items import noisy_text_items, preference_items, presence_items, text_items, visual_items
from mmdpo.records import Prompt

CONTENT = {1: "58746831be5fc4c5"}


def content(prompt: Prompt) -> dict[str, Any]:
    """Return what the miniature's data are made of, in the form in which their first version was fingerprinted."""
    found = {
        name: value for name, value in asdict(prompt).items() if name not in ("images", "image_positions", "system")
    }
    assert not prompt.image_positions
    assert not prompt.system
    return {**found, "image": next(iter(prompt.images), None)}


def test_other_data_need_another_version(tmp_path: Path) -> None:
    """If this fails, raise DATA_VERSION and add the new content here: finished points are not reused."""
    items = [
        text_items(16, "test", 0),
        noisy_text_items(4, "test", 0, tmp_path),
        visual_items(24, "test", 0, tmp_path),
        presence_items(8, "test", 0, tmp_path),
        preference_items(24, "preference", 0, tmp_path),
    ]
    found = fingerprint([content(prompt) for prompts in items for prompt in prompts])  # images by their content
    assert found == CONTENT[DATA_VERSION]
