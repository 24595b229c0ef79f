"""Count the FLOPs of a DPO pair on LLaVA-1.5-13B, without computing anything: `python benchmarks/flops.py`.

The real code runs on torch's meta device: tensors have shapes and no values. Rows of stock TRL are two per pair, as
its collator makes them; mmdpo's rows hold image and prompt once. FLOPs are those of torch's own counter. A pair has 576
image tokens, a prompt of 60 tokens and two answers of 200; LoRA has rank 128 on all linears of the language model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IMAGE, PROMPT, ANSWER = 576, 60, 200  # tokens
IMAGE_TOKEN, SIDE = 32000, 336
POINTS, EPOCHS = 12, 3  # of the grid that shares reference log-probs

WAYS = {
    "b": "stock TRL: live reference, recomputation (its defaults)",
    "b'": "stock TRL without recomputation",
    "b0": "stock TRL with recomputation, without reference",
    "b0'": "stock TRL with neither",
    "c1": "mmdpo with recomputation, one run alone",
    "c": "mmdpo with recomputation, 12 points",
    "e": "mmdpo without recomputation, 12 points",
}


@dataclass(frozen=True)
class Flops:
    """FLOPs of one pair in one epoch."""

    forward: float
    backward: float
    recomputed: float
    reference: float

    @property
    def total(self) -> float:
        """The sum."""
        return self.forward + self.backward + self.recomputed + self.reference


def llava_13b(layers: int = 40) -> Any:
    """Return the configuration of LLaVA-1.5-13B, with fewer layers if asked for."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=SIDE,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            num_hidden_layers=layers, num_attention_heads=40, hidden_size=5120, intermediate_size=13824,
            vocab_size=32064,
        ),
        image_token_id=IMAGE_TOKEN,
    )  # fmt: skip


def model_13b(layers: int = 40) -> Any:
    """Build the model with its LoRA layers on the meta device."""
    import torch

    from mmdpo.config.schema import LoraConfig, ModelConfig
    from mmdpo.training.fit.meta import meta_base, with_lora

    settings = ModelConfig(path="", train_projector=True, projector_lr=2e-5, lora=LoraConfig(128, 256, 0.05))
    return with_lora(meta_base(llava_13b(layers), torch.bfloat16), settings)


def batch(shared: bool, image_token: int = IMAGE_TOKEN) -> dict[str, Any]:
    """Lay out a pair as the collators do: mmdpo's in a shared row, TRL's in two rows."""
    import torch

    from mmdpo.training.collate import PREDICTIONS
    from mmdpo.training.layout import PromptTokens, lay_out

    prompt = PromptTokens([10] * (PROMPT // 2) + [image_token] * IMAGE + [11] * (PROMPT - PROMPT // 2))
    layout = lay_out([prompt], [[[12] * ANSWER, [13] * ANSWER]], 0, shared)
    inputs: dict[str, Any] = {"input_ids": layout.input_ids}
    if shared:
        inputs |= {name: getattr(layout, name) for name in ("seen_until", "position_ids")}
    else:
        inputs["attention_mask"] = layout.seen_until.sign()
    inputs["pixel_values"] = torch.empty(1 if shared else 2, 3, SIDE, SIDE, device="meta", dtype=torch.bfloat16)
    mask = torch.ones(2, 1 + ANSWER, dtype=torch.long)
    return {"model": inputs, "completion_mask": mask, "prefix": layout.prefix} | {
        name: getattr(layout, name) for name in PREDICTIONS
    }


def stock_log_probs(model: Any, rows: Mapping[str, Any]) -> Any:
    """Run the model as TRL's trainer does: both rows whole, image and prompt without labels."""
    labels = rows["model"]["input_ids"].clone()
    labels[:, : IMAGE + PROMPT] = -100
    return model(**rows["model"], labels=labels, use_cache=False, fused_lm_head=True).log_probs


def count(model: Any, image_token: int = IMAGE_TOKEN) -> dict[str, Flops]:
    """Count the FLOPs of each way; a way without recomputation has none that are computed again."""
    import torch

    from mmdpo.training.fit.meta import Device, reference_flops, step_cost, traced
    from mmdpo.training.recomputation import recomputation

    device = Device(gpu=True, dtype=torch.bfloat16)
    two, one = (batch(shared, image_token) for shared in (False, True))

    def stock(recompute: bool) -> Any:
        with recomputation(model, recompute):
            return traced(model, lambda: stock_log_probs(model, two), two["model"]["input_ids"].numel(), device)

    def way(kept: Any, again: Any, reference: float) -> Flops:
        return Flops(kept.forward_flops, kept.backward_flops, again.backward_flops - kept.backward_flops, reference)

    plain, recomputed = stock(recompute=False), stock(recompute=True)
    live = float(reference_flops(model, lambda: stock_log_probs(model, two), device))
    ours, ours_recomputed = (step_cost(model, one, device, recompute) for recompute in (False, True))
    once = float(reference_flops(model, one, device)) / EPOCHS
    return {
        "b": way(plain, recomputed, live),
        "b'": way(plain, plain, live),
        "b0": way(plain, recomputed, 0),
        "b0'": way(plain, plain, 0),
        "c1": way(ours, ours_recomputed, once),
        "c": way(ours, ours_recomputed, once / POINTS),
        "e": way(ours, ours, once / POINTS),
    }


def main() -> None:
    """Print a table and, last, one JSON object."""
    found = count(model_13b())
    first = found["b"].total
    print(f"{'TFLOP per pair and epoch':<58}{'fwd':>7}{'bwd':>7}{'again':>7}{'ref':>7}{'total':>8}{'':>8}")
    for name, way in found.items():
        parts = (way.forward, way.backward, way.recomputed, way.reference)
        columns = "".join(f"{part / 1e12:>7.1f}" for part in parts)
        print(f"{WAYS[name]:<58}{columns}{way.total / 1e12:>8.1f}{first / way.total:>7.2f}x")
    print(json.dumps({name: way.total / 1e12 for name, way in found.items()}))


if __name__ == "__main__":
    main()
