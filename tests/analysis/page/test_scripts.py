"""Scripts and data of the pages."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

from mmdpo.analysis.page.scripts import policy, to_printable, to_script, write_if_changed


def test_no_text_ends_a_script_and_all_come_back():
    value = {"a": "</script><!-- & \u2028\u2029", "b": ["é", 0, None]}
    text = to_script(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON"):
        to_script(float("nan"))


def test_control_characters_become_visible_at_any_depth():
    value = {"a\x1b": ["\u202e", {"b": "\ud800"}], "n": 1}
    assert to_printable(value) == {"a\\x1b": ["\\u202e", {"b": "\\ud800"}], "n": 1}


def test_a_policy_allows_the_pages_own_scripts_alone():
    digest = base64.b64encode(hashlib.sha256(b"one").digest()).decode()
    found = policy(["one"], ["two"])
    assert found.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in found
    assert "file:" not in found
    assert f"script-src 'self' file: 'sha256-{digest}';" in policy(["one"], ["two"], data_files=True)


def test_an_unchanged_file_is_not_written(tmp_path: Path):
    path = tmp_path / "new" / "a.js"
    write_if_changed(path, "one")
    path.chmod(0o444)
    before = path.stat().st_ino
    write_if_changed(path, "one")
    assert path.stat().st_ino == before
    write_if_changed(path, "two")
    assert path.read_text() == "two"
