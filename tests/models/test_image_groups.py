"""The tokens that prompts with the same images begin with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmdpo.models.image_groups import TokenizedPrompt, common_beginning
from mmdpo.records import Prompt

IMAGE = 9
PROCESSOR = SimpleNamespace(image_token="<image>", tokenizer=SimpleNamespace(convert_tokens_to_ids=lambda token: IMAGE))


@pytest.mark.parametrize(
    ("prompts", "length"),
    [
        ([[1, IMAGE, 2, 3], [1, IMAGE, 2, 4, 5]], 3),
        ([[1, IMAGE, 2], [1, IMAGE, 2, 4]], 2),  # each keeps a token of its own
        ([[1, IMAGE, 2], [1, IMAGE, 2]], 2),  # equal questions, too
        ([[1, 2, IMAGE, 3], [1, 4, IMAGE, 3]], 0),  # the texts before the image differ
        ([[1, IMAGE, 2, IMAGE, 3], [1, IMAGE, 4, IMAGE, 3]], 0),  # the second image is in another place
        ([[1, 2], [3, 4]], 0),
    ],
)
def test_all_images_are_in_the_common_beginning(prompts: list[list[int]], length: int) -> None:
    group = [TokenizedPrompt(Prompt(str(number), "q"), "", ids) for number, ids in enumerate(prompts)]
    assert common_beginning(PROCESSOR, group) == length
