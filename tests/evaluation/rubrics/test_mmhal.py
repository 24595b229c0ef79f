import pytest

from mmdpo.clients.answers import ParseFailure
from mmdpo.errors import UserError
from mmdpo.evaluation.rubrics import mmhal


@pytest.mark.parametrize(
    ("text", "ours", "upstream"),
    [
        ("It is fine.\nRating: 6", 6, 6),
        ("rating: 0, not informative", 0, 0),
        ("**Rating:** 4", 4, 0),
        ("Rating : 5", 5, 0),
        ("Rating: 3. Again, the rating: 3", 3, 3),
        ("Rating: 3 or rating: 2", "several_ratings", 0),
        ("Fine.", "no_rating", 0),
        ("Rating: 10", "out_of_range", 1),
        ("Rating: 4.5", "out_of_range", 4),
    ],
)
def test_one_rating_is_read(text, ours, upstream):
    read = mmhal.parse(text)
    assert (read.reason if isinstance(read, ParseFailure) else read) == ours
    assert mmhal.parse_as_upstream(text) == upstream


@pytest.mark.parametrize("template", [mmhal.OWN_PROMPT, "{} then {}, {} and {}"])
def test_values_stand_in_the_fields_as_they_are(template):
    mmhal.check_prompt(template, "file")
    text = mmhal.request_text(template, "Cup, {}", "Why?", "a {x}", "{}")
    assert text == template.format("Cup, {}", "Why?", "a {x}", "{}")


@pytest.mark.parametrize("template", ["{} {} {}", "{} {} {} {} {}", "{question}"])
def test_a_template_with_other_fields_is_refused(template):
    with pytest.raises(UserError, match="allowed: 4, for image contents, question"):
        mmhal.check_prompt(template, "file")
