import pytest

from mmdpo.clients.answers import ParseFailure
from mmdpo.evaluation.rubrics import mm_vet


def test_the_request_is_the_prompt_a_newline_and_the_open_row():
    text = mm_vet.request_text("Prompt.\n", "Why?", "a<AND>b<OR>c", "one | two\nthree")
    assert text == "Prompt.\n\nWhy? | a <AND> b <OR> c | one | two\nthree | "


@pytest.mark.parametrize(
    ("text", "ours", "upstream"),
    [
        ("0.5", 0.5, 0.5),
        ("1", 1.0, 1.0),
        ("0.8 as", 0.8, 0.8),
        ("0.3\n", 0.3, 0.3),
        (" 0.7", 0.7, 0.0),
        ("0.4\nIt", 0.4, 0.0),
        ("The", "no_grade", 0.0),
        ("", "no_grade", 0.0),
        ("1.5", "out_of_range", 0.0),
        ("-1", "out_of_range", 0.0),
        ("nan", "out_of_range", 0.0),
    ],
)
def test_grades_are_read_from_the_beginning(text, ours, upstream):
    read = mm_vet.parse(text)
    assert (read.reason if isinstance(read, ParseFailure) else read) == ours
    assert mm_vet.parse_as_upstream(text) == upstream


def test_our_own_prompt_ends_with_rows_in_the_form_of_the_request():
    header, line, *rows = mm_vet.OWN_PROMPT.strip().split("\n\n")[-1].split("\n")
    assert [len(row.split(" | ")) for row in (header, line, *rows)] == [4] * (len(rows) + 2)
    assert all(isinstance(mm_vet.parse(row.split(" | ")[-1]), float) for row in rows)
