"""Training of the miniature's models: base model and visual tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import torch
from torch.nn import functional
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from mmdpo.nano.draw import CELL, SIZE
from mmdpo.nano_models.conversations import IGNORED, Batch, DataMix, batch, caption_batch
from mmdpo.nano_models.processor import BOS, EOS, IMAGE, IMAGE_TOKENS, PAD, VOCABULARY
from mmdpo.nano_models.vision import descend, fit_projector, optimize, patch_features, pixels, pretrain_tower

LOOK_BACK_STRENGTH = 8.0  # logit of the head at its distance; about 5 less at the neighbours
INITIALIZER_RANGE = 0.12  # trains three times faster than the default 0.02 at this width


@dataclass(frozen=True)
class NanoRecipe:
    """Steps and data of the training of both models."""

    tower_steps: int = 500
    projector_images: int = 2000
    caption_steps: int = 1700
    caption: DataMix = DataMix(images=11, texts=11, turns=0)
    base_steps: int = 1700
    base_lr: float = 2e-3
    base: DataMix = DataMix(images=11, texts=13, turns=7, attributes=0.1, unrelated=0.2)
    tuning_steps: int = 250
    tuning_lr: float = 1e-3
    tuning: DataMix = DataMix(images=24, texts=0, turns=4, terse=0.7)

    def scaled(self, factor: float) -> NanoRecipe:
        """Multiply all numbers of steps; each stays at least 2."""
        steps = (
            "tower_steps",
            "projector_images",
            "caption_steps",
            "base_steps",
            "tuning_steps",
        )
        shorter: dict[str, Any] = {name: max(2, round(getattr(self, name) * factor)) for name in steps}
        return NanoRecipe(**(self.__dict__ | shorter))


def new_model(seed: int) -> LlavaForConditionalGeneration:
    """Build an untrained LLaVA of about half a million parameters."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=CELL,
        projection_dim=64,
    )
    language = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        initializer_range=INITIALIZER_RANGE,
        attention_bias=True,  # for `_look_back`
        tie_word_embeddings=False,
        pad_token_id=VOCABULARY[PAD],
        bos_token_id=VOCABULARY[BOS],
        eos_token_id=VOCABULARY[EOS],
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=language,
        image_token_id=VOCABULARY[IMAGE],
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        initializer_range=INITIALIZER_RANGE,
        tie_word_embeddings=False,
        pad_token_id=VOCABULARY[PAD],
    )
    model = LlavaForConditionalGeneration(config)
    _look_back(model)
    model.generation_config = GenerationConfig(
        eos_token_id=VOCABULARY[EOS],
        pad_token_id=VOCABULARY[PAD],
        bos_token_id=VOCABULARY[BOS],
        max_new_tokens=64,
    )
    return model


@torch.no_grad()
def _look_back(model: LlavaForConditionalGeneration, offsets: Sequence[int] = (1, 2)) -> None:
    """Initialize heads of the first layer to attend to the token one and two positions back.

    Looking up a word needs such heads, and training finds them late (the phase change of Olsson et al., "In-context
    learning and induction heads", 2022). With rotary positions, a query bias that is the key bias rotated by
    `offset` positions scores highest at that distance, whatever the words are.
    """
    attention = model.model.language_model.layers[0].self_attn
    width = attention.head_dim
    fast = 4  # lower frequencies do not distinguish neighbours
    angles = 10_000.0 ** (-torch.arange(fast) * 2 / width)
    strength = (LOOK_BACK_STRENGTH * width**0.5) ** 0.5
    for head, offset in enumerate(offsets):
        start = head * width
        first, second = slice(start, start + fast), slice(start + width // 2, start + width // 2 + fast)
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight[start : start + width] = 0
        attention.k_proj.bias[first] = strength
        attention.q_proj.bias[first] = strength * torch.cos(angles * offset)
        attention.q_proj.bias[second] = -strength * torch.sin(angles * offset)


def train_base(
    recipe: NanoRecipe, seed: int, tick: Callable[[], None]
) -> tuple[LlavaForConditionalGeneration, dict[str, Any]]:
    """Train the instruction-tuned model.

    Args:
        recipe: Steps and data.
        seed: Seed of weights and data.
        tick: Called after each step.

    Returns:
        The model, and the accuracies and losses of its training.
    """
    model, rng = new_model(seed), Random(f"base {seed}")
    accuracies = pretrain_tower(model, recipe.tower_steps, rng, tick)
    model.model.vision_tower.requires_grad_(False)
    unexplained = fit_projector(model, recipe.projector_images, rng)
    captions = partial(caption_batch, recipe.caption, rng)
    caption_loss = train_on_batches(model, captions, recipe.caption_steps, recipe.base_lr, tick)
    loss = train_on_batches(model, partial(batch, recipe.base, rng), recipe.base_steps, recipe.base_lr, tick)
    losses = {"caption_loss": caption_loss, "loss": loss}
    return model, {"patch_accuracy": accuracies, "projector_unexplained": unexplained} | losses


def tune(
    model: LlavaForConditionalGeneration, recipe: NanoRecipe, seed: int, tick: Callable[[], None]
) -> LlavaForConditionalGeneration:
    """Run visual instruction tuning in place: short answers about images, and no text conversations.

    Args:
        model: The model, which is changed.
        recipe: Steps and data.
        seed: Seed of the data.
        tick: Called after each step.

    Returns:
        The same model.
    """
    model.model.vision_tower.requires_grad_(False)
    batches = partial(batch, recipe.tuning, Random(f"tuning {seed}"))
    train_on_batches(model, batches, recipe.tuning_steps, recipe.tuning_lr, tick)
    return model


def train_on_batches(
    model: LlavaForConditionalGeneration,
    batches: Callable[[], Batch],
    steps: int,
    lr: float,
    tick: Callable[[], None],
) -> float:
    """Train all weights that require gradients on conversations.

    Args:
        model: The model, which is changed.
        batches: Makes the next batch.
        steps: Number of steps.
        lr: Peak learning rate.
        tick: Called after each step.

    Returns:
        The running mean of the loss over about the last 50 steps.
    """
    model.train()
    optimizer, schedule = optimize([p for p in model.parameters() if p.requires_grad], lr, steps)
    mean = 0.0
    for step in range(steps):
        loss = answer_loss(model, batches())
        descend(loss, optimizer, schedule)
        mean += (float(loss.detach()) - mean) / min(step + 1, 50)
        tick()
    model.eval()
    return round(mean, 4)


def answer_loss(model: LlavaForConditionalGeneration, rows: Batch) -> torch.Tensor:
    """Compute the mean cross-entropy of the answers' tokens.

    Rows are padded on the right, so the causal mask excludes padding. The output head is computed only for
    positions that predict an answer.

    Args:
        model: The model.
        rows: Ids and labels [B, T], and images.

    Returns:
        The loss, a scalar.
    """
    embedded = model.get_input_embeddings()(rows.ids)
    if rows.images:
        with torch.no_grad():
            features = patch_features(model, pixels(rows.images))
        shown = model.model.multi_modal_projector(features)
        embedded = embedded.masked_scatter((rows.ids == VOCABULARY[IMAGE]).unsqueeze(-1), shown)
    hidden = model.model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    wanted = rows.labels[:, 1:]
    predicts = wanted != IGNORED
    return functional.cross_entropy(model.lm_head(hidden[:, :-1][predicts]), wanted[predicts])
