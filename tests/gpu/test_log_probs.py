"""Reference log-probs of a LLaVA with 576 image tokens, against transformers' own, one answer at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.records import PreferencePair
from tests.gpu.random_model import random_pairs, save_random_model
from tests.support.tiny import tiny_settings

FLOOR = 1e-4
"""Least tolerance of a token's mean difference (nats): float32's sums in another order."""
ROUNDING = 0.05
"""Largest mean difference that bfloat16 makes by itself (nats)."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PreferencePair]]:
    """A random LLaVA whose weights are large enough for answers that differ in likelihood, and pairs about images."""
    folder = tmp_path_factory.mktemp("wide")
    save_random_model(folder, (256, 688, 4, 3, 128, 2), sharper=4)
    return folder, random_pairs(8, (5, 20), (5, 40), text_only=4)


def by_hand(folder: Path, pairs: list[PreferencePair], dtype: str) -> list[Any]:
    """Return the log-probs of each answer's tokens, from the model's logits of that answer alone."""
    import torch

    from mmdpo.config.schema import ModelConfig, TrainConfig
    from mmdpo.models.device import on_device
    from mmdpo.models.loading import load_model, load_processor
    from mmdpo.training.collate import Collator
    from mmdpo.training.rows import tokenize_examples

    processor = load_processor(ModelConfig(path=str(folder)))
    model = on_device(load_model(str(folder), dtype)).eval()
    collate, found = Collator(processor), []
    for row in tokenize_examples(pairs, folder, processor, TrainConfig()).rows:
        for answer in row["answers"]:
            inputs = collate([{**row, "answers": [answer]}])["model"]
            ids = inputs["input_ids"].to(model.device)  # without the answer's last token
            pixels = inputs.get("pixel_values")
            images = {} if pixels is None else {"pixel_values": pixels.to(model.device, model.dtype)}
            with torch.inference_mode():
                logits = model(input_ids=ids, **images).logits[0, -len(answer) :]
            log_probs = logits.float().cpu().log_softmax(-1)
            found.append(log_probs[torch.arange(len(answer)), torch.tensor(answer)])
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_log_probs_are_those_of_the_model_alone(
    device: str, wide: tuple[Path, list[PreferencePair]], dtype: str
) -> None:
    """Shared prefixes in packed rows, and plain batches: as near to float32 as the model's type allows."""
    import torch

    from mmdpo.training.reference import reference

    folder, pairs = wide

    def distance(tokens: list[Any]) -> float:
        return float((torch.cat(tokens) - exact).abs().mean())

    exact = torch.cat(by_hand(folder, pairs, "float32"))
    rounding = distance(by_hand(folder, pairs, dtype)) if dtype != "float32" else 0.0
    assert float(exact.std()) > 0.5
    assert rounding < ROUNDING
    for sharing in (True, False):
        settings = tiny_settings(folder, model__dtype=dtype, train__prefix_sharing=sharing)
        settings.train.max_text_tokens = None
        found = reference(settings.model, settings.train, pairs, folder)
        assert found.sharing.holds is sharing
        tokens = [answer.tokens for pair in pairs for answer in found.of(pair)]
        assert distance(tokens) <= max(1.5 * rounding, FLOOR), (sharing, rounding)
