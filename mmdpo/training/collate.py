"""Rows become a batch: images opened from disk as they are needed, prompts and answers laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mmdpo.training.layout import PADDING, Prompt, lay_out
from mmdpo.training.rows import Row

if TYPE_CHECKING:
    import torch

ROW_VALUES = ("ref_chosen_logps", "ref_rejected_logps")
KEPT_BYTES = 1 << 26  # of images: 2,000 of the miniature's, 50 of LLaVA's

Kept: TypeAlias = "dict[tuple[str, ...], tuple[list[Prompt], dict[str, torch.Tensor]]]"


@dataclass
class Collator:
    """Makes batches of B rows with N answers each, with or without images, mixed as they come.

    A batch holds

    - `model`: what the model is called with: `input_ids`, `position_ids`, `attention_mask` [R, T], the
      processor's image tensors where a row has an image, and, where the prefix is shared, `segments` and
      `owners` [R, T] in the place of the mask;
    - `scored`, `labels`, `places` [M] and `prefix`: see layout.Layout;
    - `completion_mask` [N B, 1 + A]: which tokens are an answer's, the prompt's last token before it;
    - `weights` [N B, A], where the rows carry them: of each answer token;
    - `rows`: the B ids; `ref_chosen_logps`, `ref_rejected_logps` [B], where the rows carry them.

    `image_always` puts a blank image, in a row that nobody scores, into a batch without images: under
    ZeRO-3 a process that leaves the vision tower out would let the others wait for ever. `room` is how
    many tokens a row of shared prompts may have at least (layout.lay_out). `kept` are batches' prompts and
    images by their rows' ids, for whoever makes the same batches again; small ones are added. None keeps
    none.
    """

    processor: Any
    shared: bool = False
    image_always: bool = False
    room: int = 0
    kept: Kept | None = None

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        import torch

        prompts, images = self._known(rows)
        answers = [row["answers"] for row in rows]
        count = len(answers[0])
        # Where image tensors are an image a row, the images can follow their prompts into shared rows.
        with_image = [place for place, row in enumerate(rows) if row["image"]]
        packed = all(len(value) == len(with_image) for value in images.values())
        unscored = []
        if self.image_always and not images:
            blank, images = self._blank()
            unscored = [blank]
        pad_token = self.processor.tokenizer.pad_token_id
        layout = lay_out(prompts, answers, pad_token, self.shared, unscored, packed, self.room)
        inputs = {"input_ids": layout.input_ids, **layout.extras}
        if self.shared:
            inputs |= {name: getattr(layout, name) for name in ("segments", "owners", "position_ids")}
        else:
            # Without position ids: some architectures count positions of their own (Qwen2.5-VL's in 3-D).
            inputs["attention_mask"] = (layout.segments != PADDING).long()
        if with_image and self.shared and packed:
            order = [with_image.index(place) for place in layout.order if rows[place]["image"]]
            images = {name: value[order] for name, value in images.items()}
        elif with_image and not self.shared:
            images = {name: torch.cat([value] * count) for name, value in images.items()}
        flat = [(prompt, group[turn]) for turn in range(count) for prompt, group in zip(prompts, answers, strict=True)]
        width = max(len(answer) for _, answer in flat)
        batch: dict[str, Any] = {
            "model": {**inputs, **images},
            "scored": layout.scored,
            "labels": layout.labels,
            "places": layout.places,
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

    def _known(self, rows: Sequence[Row]) -> tuple[list[Prompt], dict[str, torch.Tensor]]:
        """As `_prompts`, opened and processed once where that is small enough to keep."""
        if self.kept is None:
            return self._prompts(rows)
        names = tuple(row["id"] for row in rows)
        if names not in self.kept:
            prompts, images = self._prompts(rows)
            if len(self.kept) * sum(value.nbytes for value in images.values()) > KEPT_BYTES:
                return prompts, images
            self.kept[names] = prompts, images
        return self.kept[names]

    def _prompts(self, rows: Sequence[Row]) -> tuple[list[Prompt], dict[str, torch.Tensor]]:
        """The prompt of each row, and the image tensors of the rows that have an image, in order."""
        from mmdpo.images import open_image

        prompts = [Prompt(row["prompt_ids"]) for row in rows]
        places = [index for index, row in enumerate(rows) if row["image"]]
        if not places:
            return prompts, {}
        # Apart from the text rows: processors differ in whether a row may go without an image.
        made, images = self._processed(
            [rows[index]["prompt"] for index in places],
            [open_image(Path(rows[index]["image"])) for index in places],
        )
        for index, prompt in zip(places, made, strict=True):
            prompts[index] = prompt
        return prompts, images

    def _blank(self) -> tuple[Prompt, dict[str, torch.Tensor]]:
        from PIL import Image

        prompts, images = self._processed([self.processor.image_token], [Image.new("RGB", (64, 64))])
        return prompts[0], images

    def _processed(self, texts: Sequence[str], images: Sequence[Any]) -> tuple[list[Prompt], dict[str, torch.Tensor]]:
        """Prompts with their placeholders grown to the size of their image, and the image tensors."""
        made = self.processor(
            images=[[image] for image in images],
            text=list(texts),
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,  # the text has them
        )
        present = made.pop("attention_mask").bool()
        ids = made.pop("input_ids")
        extras = [name for name, value in made.items() if value.shape == ids.shape]
        prompts = [
            Prompt(
                ids[place][present[place]].tolist(),
                {name: made[name][place][present[place]].tolist() for name in extras},
            )
            for place in range(len(ids))
        ]
        return prompts, {name: value for name, value in made.items() if name not in extras}


def _answer_mask(has_prompt: bool, length: int, width: int) -> torch.Tensor:
    import torch

    mask = torch.zeros(1 + width, dtype=torch.long)
    mask[1 if has_prompt else 0 :][:length] = 1
    return mask
