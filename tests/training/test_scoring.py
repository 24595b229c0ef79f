"""A shared prefix gives the numbers of stock TRL, which runs prompt and image once for each answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdpo.models.loading import load_model
from mmdpo.training.collate import PREDICTIONS
from mmdpo.training.layout import PromptTokens, lay_out
from mmdpo.training.scoring import Scorer, scoring, shared_attention
from tests.support.tiny import PATCH, SIDE, WORDS, Tiny

IMAGE, FIRST_WORD, PAD = 4, 8, 1
PLACEHOLDERS = [IMAGE] * (SIDE // PATCH) ** 2
Pair = tuple[list[int], list[int], list[int], bool]  # prompt, chosen, rejected, with an image

word = st.integers(FIRST_WORD, FIRST_WORD + len(WORDS) - 1)
answer = st.lists(word, min_size=1, max_size=9)


@st.composite
def batches(draw: st.DrawFn) -> list[Pair]:
    count = draw(st.integers(1, 4))
    pairs = []
    for _ in range(count):
        image = draw(st.booleans())
        prompt = draw(st.lists(word, min_size=1 if image else 0, max_size=9))
        if image:
            place = draw(st.integers(0, len(prompt) - 1))  # a text token comes last
            prompt = prompt[:place] + PLACEHOLDERS + prompt[place:]
        pairs.append((prompt, draw(answer), draw(answer), image))
    return pairs


def pictures(pairs: Sequence[Pair]) -> torch.Tensor:
    stream = torch.Generator().manual_seed(len(pairs))
    return torch.randn(sum(pair[3] for pair in pairs), 3, SIDE, SIDE, generator=stream)


def batch(pairs: Sequence[Pair], shared: bool, max_row_tokens: int = 0) -> dict[str, Any]:
    """Collate tokens to a batch; shared rows hold up to max_row_tokens."""
    layout = lay_out(
        [PromptTokens(pair[0]) for pair in pairs],
        [pair[1:3] for pair in pairs],
        PAD,
        shared,
        packed=True,
        max_row_tokens=max_row_tokens,
    )
    pixels = pictures(pairs)
    width = max(len(text) for pair in pairs for text in pair[1:3])
    model: dict[str, Any] = {"input_ids": layout.input_ids}
    if shared:
        model |= {name: getattr(layout, name) for name in ("seen_until", "position_ids")}
    else:
        model["attention_mask"] = layout.seen_until.sign()
    if len(pixels):
        with_image = [place for place, pair in enumerate(pairs) if pair[3]]
        order = [with_image.index(place) for place in layout.order if pairs[place][3]]
        model["pixel_values"] = pixels[order] if shared else torch.cat([pixels, pixels])
    return {
        "model": model,
        **{name: getattr(layout, name) for name in PREDICTIONS},
        "prefix": layout.prefix,
        "completion_mask": torch.zeros(2 * len(pairs), 1 + width),
    }


def stock(model: Any, pairs: Sequence[Pair], side: str) -> list[torch.Tensor]:
    """TRL's forward of its own batch, padded left or right: each answer's token log-probs."""
    sequences = [(pair[0], pair[turn]) for turn in (1, 2) for pair in pairs]
    length = max(len(prompt) + len(text) for prompt, text in sequences)
    ids, mask, labels = (torch.full((len(sequences), length), filler) for filler in (PAD, 0, -100))
    for row, (prompt, text) in enumerate(sequences):
        whole = prompt + text
        start = length - len(whole) if side == "left" else 0
        ids[row, start : start + len(whole)] = torch.tensor(whole)
        mask[row, start : start + len(whole)] = 1
        labels[row, start + len(prompt) : start + len(whole)] = torch.tensor(text)
    pixels = pictures(pairs)
    images = {"pixel_values": torch.cat([pixels, pixels])} if len(pixels) else {}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    outputs = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        labels=labels,
        fused_lm_head=True,
        **images,
    )
    counted = labels[:, 1:] != -100
    if side == "left":  # where nothing comes before an answer, padding would predict its first token
        for row, (prompt, text) in enumerate(sequences):
            if not prompt and length > len(text):
                counted[row, length - len(text) - 1] = False
    return [row[keep] for row, keep in zip(outputs.log_probs, counted, strict=True)]


def ours(
    scorer: Scorer, model: Any, pairs: Sequence[Pair], shared: bool, max_row_tokens: int = 0
) -> list[torch.Tensor]:
    with shared_attention(model) if shared else nullcontext():
        scored = scorer(model, batch(pairs, shared, max_row_tokens)).log_probs
    lengths = [len(pair[turn]) - (not pair[0]) for turn in (1, 2) for pair in pairs]
    assert all(not row[length:].any() for row, length in zip(scored, lengths, strict=True))
    return [row[:length] for row, length in zip(scored, lengths, strict=True)]


@pytest.fixture(scope="module")
def model(tiny: Tiny) -> Any:
    return load_model(str(tiny.model), "float32")


def gradients(model: Any, log_probs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradients of a sum in which each token has a weight of its own."""
    flat = torch.cat(list(log_probs))
    loss = (flat * torch.linspace(1, 2, len(flat))).sum()
    weights = [weight for name, weight in model.named_parameters() if "vision" not in name]
    if not loss.requires_grad or not len(flat):
        return [torch.zeros_like(weight) for weight in weights]
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]


@settings(max_examples=60, deadline=None)
@given(
    pairs=batches(),
    side=st.sampled_from(["left", "right"]),
    shared=st.booleans(),
    max_row_tokens=st.sampled_from([0, 60, 1000]),
)
def test_log_probs_and_gradients_are_those_of_stock_trl(
    model: Any, pairs: list[Pair], side: str, shared: bool, max_row_tokens: int
) -> None:
    with scoring(model) as scorer:
        expected, found = stock(model, pairs, side), ours(scorer, model, pairs, shared, max_row_tokens)
        for row, other in zip(found, expected, strict=True):
            torch.testing.assert_close(row, other, atol=1e-5, rtol=0)
        for grad, other in zip(gradients(model, found), gradients(model, expected), strict=True):
            torch.testing.assert_close(grad, other, atol=2e-5, rtol=1e-4)


EXAMPLES: list[Pair] = [
    ([9, *PLACEHOLDERS, 10, 11], [12, 13, 14], [15], True),
    ([9, 10], [12], [13, 16, 17, 18], False),
]


def test_gradient_checkpointing_changes_nothing(tiny: Tiny) -> None:
    model = load_model(str(tiny.model), "float32").train()
    with scoring(model) as scorer, shared_attention(model):
        plain = ours(scorer, model, EXAMPLES, shared=True)
        expected = gradients(model, plain)
        model.gradient_checkpointing_enable({"use_reentrant": False})
        again = ours(scorer, model, EXAMPLES, shared=True)
        assert all(torch.equal(row, other) for row, other in zip(again, plain, strict=True))
        for grad, other in zip(gradients(model, again), expected, strict=True):
            torch.testing.assert_close(grad, other)


def test_bfloat16(tiny: Tiny) -> None:
    """As near to float32 as stock TRL's bfloat16 is, a few units of its 8 bits."""
    wide = load_model(str(tiny.model), "float32")
    narrow = load_model(str(tiny.model), "bfloat16")
    with scoring(wide) as exact, scoring(narrow) as scorer, torch.no_grad():
        pairs = [pair for pair in EXAMPLES if not pair[3]]  # pixels come in float32
        expected = torch.cat(ours(exact, wide, pairs, shared=False))
        gaps = [
            float((torch.cat(ours(scorer, narrow, pairs, shared)).float() - expected).abs().max())
            for shared in (False, True)
        ]
    assert gaps[1] < max(3 * gaps[0], 0.05)


def test_the_model_is_left_as_it_was(tiny: Tiny) -> None:
    model = load_model(str(tiny.model), "float32")
    usual = model.config.get_text_config()._attn_implementation
    with scoring(model), shared_attention(model):
        assert model.config.get_text_config()._attn_implementation != usual
    assert model.config.get_text_config()._attn_implementation == usual
    assert not model.base_model._forward_hooks
    assert "forward" not in vars(model)
