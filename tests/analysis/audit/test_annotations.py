"""The audit of annotations, with made-up judges whose biases are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from mmdpo.__main__ import main
from mmdpo.analysis.audit.annotations import audit_annotations
from mmdpo.analysis.audit.tables import Audit
from mmdpo.analysis.audit.write import audit_frames
from mmdpo.errors import UserError
from mmdpo.files import read_json, write_json
from mmdpo.records import Annotation, Unscored, write_records
from tests.support.ratings import rating

PROMPTS, COMPLETIONS = 60, 3
Judge = Callable[[float, int, int], float]
"""Gives a mark for the merit (0 to 4), the number of words and the place of a completion."""


def fair(merit: float, words: int, place: int) -> float:
    return merit


def prefers_longer(merit: float, words: int, place: int) -> float:
    return 0.5 * merit + words / 10


def prefers_first(merit: float, words: int, place: int) -> float:
    return merit + (2 if place == 0 else 0)


def annotate(folder: Path, judge: Judge, noise: float = 0.0, prompts: int = PROMPTS, **card: object) -> Path:
    """Write a folder of stage=annotate, with merits and lengths that are the same for every judge."""
    folder.mkdir()
    merits, orders, errors = Random(1), Random(2), Random(folder.name)
    words, made, again = {}, [], []

    def mark(merit: float, length: int, place: int) -> int:
        return min(4, max(0, round(judge(merit, length, place) + errors.gauss(0, noise))))

    for number in range(prompts):
        lengths = [merits.randrange(2, 40) for _ in range(COMPLETIONS)]
        values = [merits.uniform(0, 4) for _ in range(COMPLETIONS)]
        name = f"p{number}"
        words[name] = lengths
        for target in (made, again):
            places = list(range(COMPLETIONS))
            orders.shuffle(places)
            marks = [mark(*one) for one in zip(values, lengths, places, strict=True)]
            target.append(Annotation(name, tuple(rating(m, m, m, 0, 0) for m in marks), "j", tuple(places), "schema"))
    write_records(folder / "annotations.jsonl", made)
    write_records(folder / "repeated.jsonl", again[:30])
    write_records(folder / "unscored.jsonl", [Unscored("x", "recitation")])
    write_json(folder / "summary.json", {"rubric": "helpsteer_1", "cost_so_far": 0.0, "currency": "USD"})
    write_json(folder / "words.json", words)
    write_json(folder / "card.json", {"facts": {"judge": folder.name, **card}, "made_of": [{"content": "c"}]})
    return folder


def claims(audit: Audit) -> list[bool]:
    """Return whether the effects of place and of length are claimed."""
    return [one.p_corrected <= 0.05 for one in audit.findings]


@pytest.mark.parametrize(
    ("judge", "expected"), [(fair, [False, False]), (prefers_first, [True, False]), (prefers_longer, [False, True])]
)
def test_a_bias_is_found_and_a_fair_judge_has_none(tmp_path: Path, judge: Judge, expected: list[bool]) -> None:
    assert claims(audit_annotations(annotate(tmp_path / "j", judge))) == expected


def test_agreement_with_itself_falls_with_noise(tmp_path: Path) -> None:
    tables = [
        audit_frames(audit_annotations(annotate(tmp_path / name, fair, noise)))["agreement"].set_index("attribute")
        for name, noise in (("sure", 0.0), ("unsure", 1.5))
    ]
    sure, unsure = (table.loc["quality"] for table in tables)
    assert (sure["equal"], sure["alpha"]) == (1.0, 1.0)
    assert 0.2 < unsure["alpha_low"] < unsure["alpha"] < unsure["alpha_high"] < 0.9
    assert tables[0]["alpha"].isna()["verbosity"]  # always the same rating


def test_two_judges_are_compared_on_what_both_rated(tmp_path: Path) -> None:
    first = annotate(tmp_path / "strict", fair)
    second = annotate(tmp_path / "mild", lambda merit, words, place: merit + 1, prompts=20)
    found = audit_frames(audit_annotations(first, second))
    quality = found["second_judge"].set_index("attribute").loc["quality"]
    assert quality["n"] == 20 * COMPLETIONS
    assert 1.5 < quality["second − first_low"] < quality["second − first"] < 3  # three attributes, cut at 4
    confirmed = found["preferences"].set_index("rated again by")
    assert confirmed.loc["itself", "same order"] == 1
    assert confirmed.loc["mild", "reversed"] == 0 < confirmed.loc["mild", "tied"]


def test_pairs_are_counted_by_margin(tmp_path: Path) -> None:
    folder = annotate(tmp_path / "j", fair, prompts=0)
    marks = {"a": (0, 1, 1), "b": (2, 2, 2)}  # qualities 0 3 3 and 6 6 6
    made = [Annotation(name, tuple(rating(m, m, m, 0, 0) for m in row), "j") for name, row in marks.items()]
    write_records(folder / "annotations.jsonl", made)
    write_json(folder / "words.json", {"a": [5, 9, 2], "b": [1, 1, 1]})
    rows = audit_frames(audit_annotations(folder))["pairs"].set_index("pairs.margin")
    assert rows.loc["3", ["prompts with a pair", "share", "pairs, rule=all"]].tolist() == [1, 0.5, 2]
    assert rows.loc["3", "chosen longer"] == 0.5
    assert rows.loc["4", "prompts with a pair"] == 0


def test_folders_that_cannot_be_compared_or_read_are_refused(tmp_path: Path) -> None:
    first, second = annotate(tmp_path / "a", fair), annotate(tmp_path / "b", fair)
    write_json(second / "words.json", {"p0": [1, 2, 3]})  # other completions
    with pytest.raises(UserError, match="--with"):
        audit_annotations(first, second)
    (second / "words.json").unlink()
    audit_annotations(first, second)
    write_json(second / "card.json", {"made_of": [{"content": "another"}]})
    with pytest.raises(UserError, match="--with"):
        audit_annotations(first, second)
    (first / "annotations.jsonl").write_text('{"prompt_id": "p0", "ratings": [{"helpfulness": 1}], "judge": "j"}\n')
    with pytest.raises(UserError, match="stage=annotate"):
        audit_annotations(first)
    with pytest.raises(UserError, match=r"annotations\.jsonl"):
        audit_annotations(tmp_path)


def test_the_command_writes_data_page_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = annotate(tmp_path / "a", fair), annotate(tmp_path / "b", prefers_longer)
    assert main(["audit", str(first), "--with", str(second), "--out", str(tmp_path / "two")]) == 0
    written = {path.name for path in (tmp_path / "two").iterdir()}
    assert written == {"audit.json", "audit.md", "margins.png", "margins.pdf", "judges.png", "judges.pdf"}
    printed = capsys.readouterr().out
    page = (tmp_path / "two" / "audit.md").read_text()
    for text in (printed, page):
        assert "unscored prompts: 1 (1 recitation)" in text
        assert "not distinguishable" in text
    assert read_json(tmp_path / "two" / "audit.json")["second_judge"][0]["attribute"] == "helpfulness"
    assert str(tmp_path) not in page
    assert main(["audit", "--with", str(second)]) == 2
