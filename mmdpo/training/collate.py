"""Collation of rows to batches: images are opened, prompts and answers laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.errors import UserError
from mmdpo.models.fingerprints import file_digest
from mmdpo.models.load_errors import translate_processor_errors
from mmdpo.training.layout import PromptTokens, lay_out
from mmdpo.training.processed_images import ProcessedImages
from mmdpo.training.prompt_groups import continued_prompt, trees_of
from mmdpo.training.rows import Row

if TYPE_CHECKING:
    import torch

PREDICTIONS = ("scored", "predictor", "targets", "source", "labels", "indices")
ROW_VALUES = ("ref_chosen_logps", "ref_rejected_logps")


@dataclass
class Collator:
    """Data collator for B rows with N answers each; rows with and without images may be mixed.

    A batch contains

    - `model`: the model's inputs: `input_ids` and `attention_mask` [R, T], or, with a shared prefix, `position_ids`
      and `seen_until` [R, T] instead of the mask, and the processor's image tensors if a row has an image;
    - `scored` [P], `predictor`, `targets` [U], `source`, `labels`, `indices` [M] and `prefix`: see `layout.Layout`;
    - `completion_mask` [N B, 1 + A]: 1 for the tokens of an answer, after one column for the prompt's last token;
    - `weights` [N B, A], if the rows have them: the weight of each answer token;
    - `rows`: the B ids; `ref_chosen_logps`, `ref_rejected_logps` [B] (nats), if the rows have them.

    Attributes:
        processor: The model's processor.
        shared: Whether the answers of a row share its prompt, and rows of a group (`prompt_groups.GROUP`) what their
            prompts have in common.
        image_always: Whether a batch without images gets a blank one, in a row that is not scored. Under ZeRO-3, a
            process that skips the vision tower would deadlock the others.
        max_row_tokens: Minimum length of packed rows (`layout.lay_out`).
        processed: Memory of processed images; by default it remembers nothing.
    """

    processor: Any
    shared: bool = False
    image_always: bool = False
    max_row_tokens: int = 0
    processed: ProcessedImages = field(default_factory=lambda: ProcessedImages(0), repr=False, compare=False)

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Collate B rows to a batch.

        Args:
            rows: Rows of `rows.tokenize_examples`, all with the same number of answers.

        Returns:
            The batch, on the CPU.
        """
        import torch

        trees = trees_of(rows, self.processor) if self.shared else [[index] for index in range(len(rows))]
        prompts, images, trees = self._prompts(rows, trees)
        answers = [row["answers"] for row in rows]
        count = len(answers[0])
        with_image = [tree[0] for tree in trees if rows[tree[0]]["images"]]
        # If image tensors have one entry per image, images can follow their prompts into packed rows.
        packed = all(len(value) == len(with_image) for value in images.values())
        unscored = []
        if self.image_always and not images:
            blank, images = self._blank()
            unscored = [blank]
        pad_token = self.processor.tokenizer.pad_token_id
        layout = lay_out(prompts, answers, pad_token, self.shared, unscored, packed, self.max_row_tokens, trees)
        inputs = {"input_ids": layout.input_ids, **layout.extras}
        if self.shared:
            inputs |= {"seen_until": layout.seen_until, "position_ids": layout.position_ids}
        else:
            # Without position ids: some architectures compute their own (Qwen2.5-VL's are 3-D).
            inputs["attention_mask"] = layout.seen_until.sign()
        if with_image and self.shared and packed:
            order = [with_image.index(index) for index in layout.order if rows[index]["images"]]
            images = {name: value[order] for name, value in images.items()}
        elif with_image and not self.shared:
            images = {name: torch.cat([value] * count) for name, value in images.items()}
        flat = [(prompt, group[turn]) for turn in range(count) for prompt, group in zip(prompts, answers, strict=True)]
        width = max(len(answer) for _, answer in flat)
        batch: dict[str, Any] = {
            "model": {**inputs, **images},
            **{name: getattr(layout, name) for name in PREDICTIONS},
            "prefix": layout.prefix,
            "completion_mask": torch.stack(
                [_answer_mask(len(prompt.ids) > 0, len(answer), width) for prompt, answer in flat]
            ),
            "rows": [row["id"] for row in rows],
        }
        if "weights" in rows[0]:
            weights = [row["weights"][turn] for turn in range(count) for row in rows]
            batch["weights"] = torch.tensor([[*row, *[0.0] * (width - len(row))] for row in weights])
        for name in ROW_VALUES:
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch

    def _prompts(
        self, rows: Sequence[Row], trees: list[list[int]]
    ) -> tuple[list[PromptTokens], dict[str, torch.Tensor], list[list[int]]]:
        """Process the images of each tree once.

        Args:
            rows: The rows of the batch.
            trees: Indices of the rows that share a tree.

        Returns:
            The prompt of each row, the image tensors of the trees with an image, in order, and the trees: each row
            alone if the processor does not allow to share images.
        """
        prompts = [PromptTokens(row["prompt_ids"]) for row in rows]
        # Rows with an image alone: not every processor accepts a batch in which some have none.
        with_image = [tree for tree in trees if rows[tree[0]]["images"]]
        if not with_image:
            return prompts, {}, trees
        leads = [rows[tree[0]] for tree in with_image]
        processed, images = self.processed.get_or_make(leads, lambda: self._process_rows(leads))
        for (first, *others), lead, expanded in zip(with_image, leads, processed, strict=True):
            prompts[first] = expanded
            for index in others:
                prompt = continued_prompt(lead, expanded, rows[index])
                if prompt is None:
                    return self._prompts(rows, [[index] for index in range(len(rows))])
                prompts[index] = prompt
        return prompts, images, trees

    def _blank(self) -> tuple[PromptTokens, dict[str, torch.Tensor]]:
        from PIL import Image

        prompts, images = self._process([self.processor.image_token], [[Image.new("RGB", (64, 64))]])
        return prompts[0], images

    def _process_rows(self, rows: Sequence[Row]) -> tuple[list[PromptTokens], dict[str, torch.Tensor]]:
        opened = [_opened(row) for row in rows]
        with translate_processor_errors(self.processor, [row["id"] for row in rows]):
            return self._process([row["prompt"] for row in rows], opened)

    def _process(
        self, texts: Sequence[str], images: Sequence[Sequence[Any]]
    ) -> tuple[list[PromptTokens], dict[str, torch.Tensor]]:
        """Return the prompts, each placeholder expanded to its image's tokens, and the image tensors."""
        from mmdpo.models.special_tokens import process

        encoding = process(self.processor, texts, images)
        present = encoding.pop("attention_mask").bool()
        ids = encoding.pop("input_ids")
        extras = [name for name, value in encoding.items() if value.shape == ids.shape]
        prompts = [
            PromptTokens(
                ids[index][present[index]].tolist(),
                {name: encoding[name][index][present[index]].tolist() for name in extras},
            )
            for index in range(len(ids))
        ]
        return prompts, {name: value for name, value in encoding.items() if name not in extras}


def _opened(row: Row) -> list[Any]:
    """Open the images of a row. Raises UserError if one has changed since the rows were made."""
    from mmdpo.images import open_image

    images = [open_image(Path(path)) for path in row["images"]]
    for path, digest in zip(row["images"], row["digests"], strict=True):
        if file_digest(Path(path)) != digest:
            raise UserError(f"image {path}: changed during the training. Restore it, and rerun the same command")
    return images


def _answer_mask(has_prompt: bool, length: int, width: int) -> torch.Tensor:
    import torch

    mask = torch.zeros(1 + width, dtype=torch.long)
    mask[1 if has_prompt else 0 :][:length] = 1
    return mask
