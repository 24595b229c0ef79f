"""Rows become a batch: chosen above rejected, images opened from disk as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.training.rows import Row

if TYPE_CHECKING:
    import torch

TOKENS = ("input_ids", "attention_mask")


@dataclass
class PreferenceCollator:
    """Makes batches of 2B sequences from B rows, with or without images, mixed as they come.

    A batch holds `input_ids`, `attention_mask`, `completion_mask` [2B, T], padded on the right, the
    processor's image tensors where a row has an image, `rows` (the B ids) and, where the rows carry
    them, `ref_chosen_logps` and `ref_rejected_logps` [B]. The numbers are those of TRL's
    DataCollatorForVisionPreference, which demands the images of all rows in memory and drops the
    reference log-probs.
    """

    processor: Any

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        import torch

        prompts, images = self._prompts(rows)
        sequences = [
            (prompt, row[side])
            for side in ("chosen_ids", "rejected_ids")
            for prompt, row in zip(prompts, rows, strict=True)
        ]
        length = max(len(prompt) + len(completion) for prompt, completion in sequences)
        input_ids = torch.full((len(sequences), length), self.processor.tokenizer.pad_token_id)
        attention_mask = torch.zeros((len(sequences), length), dtype=torch.long)
        completion_mask = torch.zeros((len(sequences), length), dtype=torch.long)
        for index, (prompt, completion) in enumerate(sequences):
            end = len(prompt) + len(completion)
            input_ids[index, :end] = torch.tensor(prompt + completion)
            attention_mask[index, :end] = 1
            completion_mask[index, len(prompt) : end] = 1
        batch: dict[str, Any] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "completion_mask": completion_mask,
            "rows": [row["id"] for row in rows],
            **{name: torch.cat([value, value]) for name, value in images.items()},
        }
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch

    def _prompts(self, rows: Sequence[Row]) -> tuple[list[list[int]], dict[str, torch.Tensor]]:
        """Prompt tokens of each row, and the image tensors of the rows that have an image, in order."""
        from mmdpo.sources.images import open_image

        prompts: list[list[int]] = [[] for _ in rows]
        with_image = [index for index, row in enumerate(rows) if row["image"]]
        text_only = [index for index, row in enumerate(rows) if not row["image"]]
        images: dict[str, torch.Tensor] = {}
        if with_image:
            # Apart from the text rows: processors differ in whether a row may go without an image.
            made = self.processor(
                images=[[open_image(Path(rows[index]["image"]))] for index in with_image],
                text=[rows[index]["prompt"] for index in with_image],
                padding=True,
                return_tensors="pt",
                add_special_tokens=False,  # the chat template writes them
            )
            for place, index in enumerate(with_image):
                prompts[index] = made["input_ids"][place][made["attention_mask"][place].bool()].tolist()
            images = {name: value for name, value in made.items() if name not in TOKENS}
        if text_only:
            texts = [rows[index]["prompt"] for index in text_only]
            made = self.processor.tokenizer(texts, add_special_tokens=False)
            for index, ids in zip(text_only, made["input_ids"], strict=True):
                prompts[index] = ids
        return prompts, images
