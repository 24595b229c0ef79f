"""Files in the forms of TRL, LLaMA-Factory, ms-swift and others: read, recognized, and refused where they are wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmdpo.config.choices import OnBadRow, TrainOn, reading_format
from mmdpo.errors import UserError
from mmdpo.records import PreferencePair, SftExample, Turn
from mmdpo.sources.fitting import fitting_formats
from mmdpo.sources.pair_reader import ReadPairs, read_pairs
from mmdpo.sources.select import Source, select
from tests.sources.files import as_lines, as_parquet, photos


def chat(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[index % 2], "content": words} for index, words in enumerate(texts)]


def said(**texts: str) -> list[dict[str, str]]:
    return [{"from": speaker, "value": words} for speaker, words in texts.items()]


def rated(response: str, *ratings: str) -> dict[str, Any]:
    annotations = {f"aspect {index}": {"Rating": one, "Rationale": ""} for index, one in enumerate(ratings)}
    return {"model": "m", "response": response, "annotations": annotations}


A, B = chat("Q?", "A.")[1:], chat("Q?", "B.")[1:]
SYSTEM = {"role": "system", "content": "Be brief."}
PAIR = {"question": "Q?", "chosen": "A.", "rejected": "B."}
WITH_IMAGE = PAIR | {"images": ("a.png",)}
WITH_SYSTEM = PAIR | {"system": "Be brief."}
WITH_HISTORY = PAIR | {"history": (Turn("Hi.", "Hello."),)}
CASES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("llamafactory_sharegpt", [{"conversations": said(human="<image>Q?"), "chosen": {"from": "gpt", "value": "A."},
      "rejected": {"from": "gpt", "value": "B."}, "images": ["a.png"]}], WITH_IMAGE),
    ("llamafactory_sharegpt", [{"conversations": said(system="Be brief.", human="Q?"),
      "chosen": {"from": "gpt", "value": "A."}, "rejected": {"from": "gpt", "value": "B."}}], WITH_SYSTEM),
    ("llamafactory_sharegpt", [{"conversations": [{"role": "user", "content": "Q?"}], "system": "Be brief.",
      "chosen": A[0], "rejected": B[0], "videos": [], "tools": "[]"}], WITH_SYSTEM),
    ("llamafactory_sharegpt", [{"messages": chat("Q?"), "chosen": A[0], "rejected": B[0]}], PAIR),
    ("llamafactory_alpaca", [{"instruction": "Do", "input": "it.", "chosen": "A.", "rejected": "B."}],
     PAIR | {"question": "Do\nit."}),
    ("llamafactory_alpaca", [{"instruction": "Q?", "input": "", "history": [["Hi.", "Hello."]], "chosen": "A.",
      "rejected": "B."}], WITH_HISTORY),
    ("ms_swift", [{"messages": [SYSTEM, *chat("Q?", "A.")], "rejected_response": "B."}], WITH_SYSTEM),
    ("ms_swift", [{"messages": chat("<image>Q?", "A."), "rejected_messages": chat("<image>Q?", "B."),
      "images": [{"bytes": None, "path": "a.png"}]}], WITH_IMAGE),
    ("ms_swift", [{"query": "Q?", "history": [["Hi.", "Hello."]], "response": "A.", "rejected_response": "B."}],
     WITH_HISTORY),
    ("hh_rlhf", [{name: f"\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: Q?\n\nAssistant: {answer}"
      for name, answer in {"chosen": "A.", "rejected": "B."}.items()}], WITH_HISTORY),
    ("openai_preference", [{"input": {"messages": chat("Q?"), "tools": []}, "preferred_output": A,
      "non_preferred_output": B}], PAIR),
    ("kto", [{"prompt": "Q?", "completion": "A.", "label": True}, {"prompt": "Q?", "completion": "B.", "label": False}],
     PAIR),
    ("kto", [{"messages": chat("Q?", "B."), "label": "False"}, {"messages": chat("Q?", "A."), "label": "1"}], PAIR),
    ("kto", [{"prompt": chat("Q?"), "completion": A, "label": True},
             {"prompt": chat("Q?"), "completion": B, "label": False}], PAIR),
    ("vlfeedback", [{"id": "1", "image": "a.png", "prompt": "Q?", "completions": [
      rated("B.", "2", "5"), rated("A.", "4", "4"), rated("C.", "N/A", "5")]}], WITH_IMAGE | {"id": "1"}),
    ("vlfeedback", [{"image": "a.png", "prompt": "Q?", "completions": {"response": ["B.", "A."],
      "annotations": [rated("", "1")["annotations"], rated("", "2")["annotations"]]}}], WITH_IMAGE),
    ("ultrafeedback", [{"instruction": "Q?", "completions": [
      {"response": "A.", "overall_score": 8.5}, {"response": "B.", "overall_score": 2}, {"response": "C."}]}], PAIR),
    ("pairs", [{"chosen": [SYSTEM, *chat("Q?", "A.")], "rejected": [SYSTEM, *chat("Q?", "B.")]}], WITH_SYSTEM),
    ("pairs", [{"prompt": chat("Hi.", "Hello.", "Q?"), "chosen": A, "rejected": B}], WITH_HISTORY),
]  # fmt: skip


def read(path: Path, form: str, on: OnBadRow = OnBadRow.error, **settings: Any) -> ReadPairs:
    return read_pairs(path, photos(path.parent / "images", "a.png"), on, path.parent / "embedded", form, **settings)


def complaint(path: Path, form: str = "pairs", **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        read(path, form, **settings)
    return str(error.value)


@pytest.mark.parametrize(("form", "rows", "expected"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_pair_of_each_form(tmp_path: Path, form: str, rows: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    (pair,) = read(as_lines(tmp_path / "a.jsonl", rows), form).pairs
    assert pair == PreferencePair(**({"id": pair.id} | expected))
    (stored,) = read(as_parquet(tmp_path / "a.parquet", rows), form).pairs
    assert stored == replace(pair, id=stored.id, images=stored.images)  # parquet gets a copy of the images
    assert len(stored.images) == len(pair.images)
    if form != "pairs":
        assert fitting_formats(rows) == [f"data.format={form}"]
        assert f"type data.format={form}" in complaint(tmp_path / "a.jsonl")


def test_the_last_answer_of_a_chat_is_learnt(tmp_path: Path) -> None:
    rows = [
        {"messages": [SYSTEM, *chat("<image>Hi.", "Hello.", "Q?", "A.")], "images": ["a.png"]},
        {"messages": chat("Q?", "A."), "id": 4},
        {"messages": chat("Q?", "B."), "id": 4},
    ]
    first, *others = read(as_lines(tmp_path / "a.jsonl", rows), "messages").pairs
    expected = {"images": ("a.png",), "history": (Turn("Hi.", "Hello."),), "system": "Be brief."}
    assert first == SftExample(first.id, "Q?", "A.", **expected)  # type: ignore[arg-type]
    assert others == [SftExample("4", "Q?", "A."), SftExample("4-3", "Q?", "B.")]
    assert "type data.format=messages method=sft" in complaint(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("form", "row", "reason"),
    [
        ("llamafactory_alpaca", {"instruction": "Q?", "history": ["Hi."]}, "field 'history': wrong turns"),
        ("llamafactory_sharegpt", {"conversations": said(human="Q?", gpt="A."), "chosen": "A.", "rejected": "B."},
         "field 'conversations': wrong turns"),
        ("ms_swift", {"messages": "Q?", "rejected_response": "B."}, "field 'messages': wrong type"),
        ("ms_swift", {"messages": chat("Q?"), "rejected_response": "B."}, "field 'messages': wrong turns"),
        ("ms_swift", {"messages": chat("Q?", "A."), "rejected_response": "B.", "rejected_images": ["b.png"]},
         "field 'rejected_images': not supported"),
        ("openai_preference", {"input": "Q?"}, "field 'input': wrong type"),
        ("openai_preference", {"input": {"messages": chat("Q?"), "tools": [{}]}}, "field 'tools': not supported"),
        ("hh_rlhf", {"chosen": "A.", "rejected": "B."}, "field 'chosen': wrong turns"),
        ("messages", {"messages": None}, "field 'messages': missing"),
        ("messages", {"messages": chat("Q?")}, "field 'messages': wrong turns"),
        ("messages", {"messages": []}, "field 'messages': wrong turns"),
        ("kto", {"prompt": "Q?", "completion": "A.", "label": "good"}, "field 'label': not true or false"),
        ("kto", {"prompt": "Q?", "completion": "A.", "label": None}, "field 'label': missing"),
        ("kto", {"messages": [], "label": True}, "field 'messages': wrong turns"),
        ("vlfeedback", {"prompt": "Q?", "completions": "A."}, "field 'completions': wrong type"),
        ("ultrafeedback", {"instruction": "Q?", "completions": [{"overall_score": 1}] * 2},
         "field 'response': missing"),
    ],
)  # fmt: skip
def test_wrong_rows(tmp_path: Path, form: str, row: dict[str, Any], reason: str) -> None:
    path = as_lines(tmp_path / "a.jsonl", [row])
    assert f"a.jsonl row 1: {reason}" in complaint(path, form)


def test_completions_without_a_partner_are_counted(tmp_path: Path) -> None:
    labels = [("Q?", "A1.", True), ("R?", "A.", True), ("Q?", "B1.", False), ("Q?", "A2.", True), ("S?", "A.", True)]
    rows = [dict(zip(("prompt", "completion", "label"), one, strict=True)) for one in [*labels, ("S?", "A.", False)]]
    result = read(as_lines(tmp_path / "a.jsonl", rows), "kto", OnBadRow.drop)
    assert [(pair.question, pair.chosen, pair.rejected) for pair in result.pairs] == [("Q?", "A1.", "B1.")]  # type: ignore[union-attr]
    assert result.dropped == {"completion without a partner": 2, "field 'completion': has both labels": 1}
    alone = as_lines(tmp_path / "b.jsonl", rows[:2])
    assert "completion without a partner: 2" in complaint(alone, "kto")


def test_rows_with_labels_are_taken_as_they_are_for_a_method_that_trains_on_them(tmp_path: Path) -> None:
    labels = [("Q?", "A1.", True), ("R?", "A.", False), ("Q?", "A2.", True), ("R?", "A.", True), ("R?", "A.", False)]
    rows = [dict(zip(("prompt", "completion", "label"), one, strict=True)) for one in labels]
    form = reading_format("kto", TrainOn.labelled)
    result = read(as_lines(tmp_path / "a.jsonl", rows), form, OnBadRow.drop)
    found: list[Any] = [*result.pairs]
    assert [(one.question, one.answer, one.label) for one in found] == labels[:3]
    assert result.dropped == {"field 'completion': has both labels": 1, "duplicate row": 1}
    assert reading_format("kto", TrainOn.pairs) == reading_format("kto", None) == "kto"
    assert reading_format("pairs", TrainOn.labelled) == "pairs"


def test_answers_that_cannot_be_compared_are_skipped(tmp_path: Path) -> None:
    tie = [{"response": words, "overall_score": 5} for words in ("A.", "B.")]
    rows = [{"instruction": "Q?", "completions": one} for one in (tie, tie[:1], [])]
    good = {"instruction": "Q?", "completions": [*tie, {"response": "C.", "overall_score": 1}]}
    result = read(as_lines(tmp_path / "a.jsonl", [*rows, good]), "ultrafeedback")
    assert result.dropped == {"too close": 1, "fewer than two rated answers": 2}
    assert (result.pairs[0].chosen, result.pairs[0].rejected) == ("A.", "C.")  # type: ignore[union-attr]


def test_columns_of_other_names(tmp_path: Path) -> None:
    row = {"instruction": "Q?", "best_chosen": "A.", "worst": "B.", "prompt": "a label"}
    fields = {"prompt": "instruction", "chosen": "best_chosen", "rejected": "worst"}
    path = as_lines(tmp_path / "a.jsonl", [row])
    (pair,) = read(path, "pairs", fields=fields).pairs
    assert pair == PreferencePair(pair.id, **PAIR)
    assert read(as_parquet(tmp_path / "a.parquet", [row]), "pairs", fields=fields).pairs == [pair]
    said = complaint(path)
    assert "they have the keys instruction, best_chosen, worst, prompt" in said
    assert "data.fields.chosen=best_chosen data.fields.rejected=COLUMN" in said
    assert said.count("row") == 2  # of many rows with one fault, one is shown
    assert "data.fields.system=told: no row has this key" in complaint(path, fields={**fields, "system": "told"})
    with pytest.raises(UserError, match=r"data\.fields\.better=worst: not a field"):
        read(path, "pairs", fields={"better": "worst"})


def test_chats_with_two_answers_are_no_answers_to_learn() -> None:
    assert fitting_formats([{"messages": chat("Q?", "A."), "chosen": "A.", "rejected": "B."}]) == []


def test_a_file_of_prompts_is_recognized(tmp_path: Path) -> None:
    row = {"image_id": "2345467", "question": "Is there a dog?", "answer": "No.", "task": "existence"}
    path = as_lines(tmp_path / "a.jsonl", [row] * 12)
    said = complaint(path)
    assert "data.sources.prompts.format=lrv" in said
    assert len(said.splitlines()) == 2
    for form, expected in (("llava_sft", "data.sources.x.format=lrv"), ("scigraphqa", "data.sources.x.format=lrv")):
        with pytest.raises(UserError, match=expected):
            select(Source("x", form, path, None, None), 0, OnBadRow.drop, tmp_path)
    pairs = as_lines(tmp_path / "b.jsonl", [PAIR])
    with pytest.raises(UserError, match=r"data=pairs data\.path=FILE data\.format=pairs"):
        select(Source("x", "lrv", pairs, None, None), 0, OnBadRow.drop, tmp_path)


def test_a_question_with_a_marker_that_no_image_belongs_to_is_refused(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [{"image_id": "a", "question": "<image> What?"}])
    with pytest.raises(UserError, match="field 'question': image marker in text"):
        select(Source("x", "lrv", path, tmp_path, None), 0, OnBadRow.error, tmp_path / "out")


def test_rows_that_are_wrong_in_the_right_format_get_no_other(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [{**PAIR, "image": "gone.png"}])
    assert "fit another" not in complaint(path)
    path.write_text(json.dumps([]))
    assert "no rows" in complaint(path)


def test_images_of_all_kinds_in_one_file(tmp_path: Path) -> None:
    """Named images are copied beside those that a JSON file holds, because all images have one root."""
    import base64

    root = photos(tmp_path / "images", "a.png", "b.png")
    (root / "b.png").write_bytes((root / "b.png").read_bytes() + b"\0")
    held = base64.b64encode((root / "a.png").read_bytes()).decode()
    rows = [
        {**PAIR, "image": "b.png"},
        {**PAIR, "images": [f"data:image/png;base64,{held}"]},
        {**PAIR, "images": [str(root / "b.png"), "a.png"]},
    ]
    result = read_pairs(as_lines(tmp_path / "a.jsonl", rows), root, OnBadRow.error, tmp_path / "embedded")
    contents = [[(result.image_root / name).read_bytes() for name in pair.images] for pair in result.pairs]
    first, second = (root / "a.png").read_bytes(), (root / "b.png").read_bytes()
    assert contents == [[second], [first], [second, first]]
    named = read_pairs(as_lines(tmp_path / "b.jsonl", rows[2:]), root, OnBadRow.error, tmp_path / "embedded")
    assert (named.image_root, named.pairs[0].images) == (root, ("b.png", "a.png"))
