import pytest

from mmdpo.clients.answers import ParseFailure
from mmdpo.evaluation.rubrics import llava_bench

FACTS = {"caption": "A ball.\nA box.", "reference": "It is red.", "role": "Helper", "instruction": "Score them."}


def test_the_request_holds_context_question_and_both_answers():
    system, user = llava_bench.messages(FACTS, "Which colour?", "Blue\n")
    assert system.role == "system"
    assert user.text == (
        "[Context]\nA ball.\nA box.\n\n[Question]\nWhich colour?\n\n"
        "[Helper 1]\nIt is red.\n\n[End of Helper 1]\n\n[Helper 2]\nBlue\n\n\n[End of Helper 2]\n\n"
        "[System]\nScore them.\n\n"
    )


@pytest.mark.parametrize(
    ("text", "ours", "upstream"),
    [
        ("8 10\nBoth are good.", (8, 10), (8, 10)),
        ("9 6.5", (9, 6.5), (9, 6.5)),
        ("8,9", (8, 9), (8, 9)),
        ("8, 9", (8, 9), (-1, -1)),
        ("8  9", (8, 9), (-1, -1)),
        ("\n8 9", (8, 9), (-1, -1)),
        ("**8 9**", (8, 9), (-1, -1)),
        ("8", "no_two_scores", (-1, -1)),
        ("8/10 9/10", "no_two_scores", (-1, -1)),
        ("8 9 10", "no_two_scores", (-1, -1)),
        ("Assistant 1: 8", "no_two_scores", (-1, -1)),
        ("", "no_two_scores", (-1, -1)),
        ("80 9", "out_of_range", (80, 9)),
        ("0 9", "out_of_range", (0, 9)),
        ("nan 9", "out_of_range", (-1, -1)),
    ],
)
def test_two_scores_are_read_from_the_first_line(text, ours, upstream):
    read = llava_bench.parse(text)
    assert (read.reason if isinstance(read, ParseFailure) else read) == ours
    assert llava_bench.parse_as_upstream(text) == upstream
