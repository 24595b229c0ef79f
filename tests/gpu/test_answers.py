"""Sampling and evaluation on a GPU: shared prefixes and refilled batches give the answers that are generated alone."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from tests.support.asked import asked_tiny, mixed_requests

SIZE = 8
TIES = 0.2
"""Share of answers in bfloat16 that ties may change beyond those that a plain batch changes."""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_answers_are_those_that_are_generated_alone(device: str, tmp_path: Path, dtype: str) -> None:
    asked = asked_tiny(tmp_path, dtype)
    assert asked.model.device.type == device
    requests = mixed_requests()
    alone = [asked.alone(request) for request in requests]
    found = asked.answers(requests, SIZE)
    assert len({answer.text for answer in alone}) > 10
    if dtype == "float32":
        assert found == alone
        return
    batches = {request.max_new_tokens: [] for request in requests}
    for request in requests:
        if request.temperature == 0:
            batches[request.max_new_tokens].append(request)
    plain = {
        request.prompt.id: answer.text
        for same in batches.values()
        if same
        for request, answer in zip(same, asked.batch(same), strict=True)
    }
    unchanged = statistics.mean(plain.get(one.prompt_id, one.text) == one.text for one in alone)
    equal = statistics.mean(ours.text == one.text for ours, one in zip(found, alone, strict=True))
    assert equal >= unchanged - TIES


def test_several_samples_of_a_prompt_share_its_prefix(device: str, tmp_path: Path) -> None:
    from mmdpo.models.generate import Decoding, generate_several
    from mmdpo.records import Prompt
    from tests.support.asked import SEED

    asked = asked_tiny(tmp_path)
    prompts = [Prompt(f"p{number}", text, ("1.png",)) for number, text in enumerate(("what is there", "where is it"))]
    one_by_one = Decoding(6, 1, 1.0, seed=SEED)
    together = Decoding(6, SIZE, 1.0, seed=SEED)
    expected = [
        generate_several(asked.model, asked.processor, [prompt], asked.images, one_by_one, 4)[0] for prompt in prompts
    ]
    found = generate_several(asked.model, asked.processor, prompts, asked.images, together, 4)
    assert found == expected
    assert len({completion.text for completion in found[0]}) > 1
