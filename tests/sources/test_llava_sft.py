"""Examples in LLaVA's form: written, read again and used for training. test_row_formats.py has single rows."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdpo.errors import UserError
from mmdpo.records import SftExample, Turn
from mmdpo.sources import llava_sft, tables
from mmdpo.sources.conversations import MARKER

TEXT = st.text(min_size=1, max_size=20).filter(lambda words: words.strip() and MARKER not in words)
RATINGS = st.none() | st.dictionaries(st.text(min_size=1), st.integers(0, 4), min_size=1, max_size=5)
EXAMPLES = st.builds(
    SftExample,
    id=TEXT,
    question=TEXT,
    answer=TEXT,
    images=st.just(()) | st.tuples(TEXT),
    history=st.lists(st.builds(Turn, TEXT, TEXT), max_size=2).map(tuple),
    rating=RATINGS,
)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@given(examples=st.lists(EXAMPLES, max_size=3))
def test_written_examples_come_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, examples: list[SftExample]
) -> None:
    path = tmp_path_factory.mktemp("sft") / f"a.{suffix}"
    assert llava_sft.write(iter(examples), path) == len(examples)
    assert [item for _, item in llava_sft.EXAMPLES.convert(tables.rows(path, "x"), 0)] == examples


@pytest.mark.parametrize("field", ["question", "answer"])
def test_a_text_with_a_marker_is_not_written(tmp_path: Path, field: str) -> None:
    one = SftExample("a7", **({"question": "q", "answer": "a"} | {field: "say <image>"}))
    with pytest.raises(UserError, match="'a7': its text contains <image>"):
        llava_sft.write([one], tmp_path / "a.json")
    assert not any(tmp_path.iterdir())


def test_a_file_of_answers_is_learnt_by_sft(tmp_path: Path) -> None:
    from mmdpo.entry.compose import compose_config
    from mmdpo.pipeline.training_sets import training_set

    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A square."}]
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    rows = [{"id": "1", "image": "a.png", "conversations": turns}] * 2  # LLaVA's ids name photographs
    rows.append({"id": "2", "image": "gone.png", "conversations": turns})
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    line = ["data=llava_sft", "method=sft", f"data.path={tmp_path / 'llava.json'}"]
    with pytest.raises(UserError, match=r"row 3: .*image"):
        training_set(compose_config([*line, f"data.image_root={tmp_path}"]))
    found = training_set(compose_config([*line, f"data.image_root={tmp_path}", "data.on_bad_row=drop"]))
    assert [(one.id, one.answer) for one in found.examples] == [("1", "A square."), ("1-2", "A square.")]
    assert found.counts["rows"] == 3
