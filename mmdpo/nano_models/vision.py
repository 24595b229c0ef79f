"""Pretraining of vision tower and projector, the miniature's stand-in for CLIP.

The tower is trained to classify the content of each patch. The projector is then fitted to the language model's word
embeddings, so that a patch with a red star in B2 starts out as the words "red star B2". Afterwards the tower is
frozen, as LLaVA's is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random

import torch
from torch import nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from mmdpo.nano.draw import draw
from mmdpo.nano.splits import draw_view
from mmdpo.nano.words import CELLS, COLOURS, SHAPES
from mmdpo.nano.world import HIGHEST, Chart, View
from mmdpo.nano_models.processor import VOCABULARY, image_processor

NOTHING = "image"
"""Word that an empty patch is fitted to."""
_PARTS = (COLOURS, (*SHAPES, "bar"), tuple(str(value) for value in range(1, HIGHEST + 1)))
BATCH = 64
_IMAGES = image_processor()


def pixels(images: Iterable[object]) -> torch.Tensor:
    """Process images to the tower's input [B, 3, 48, 48]."""
    return torch.as_tensor(_IMAGES(list(images), return_tensors="pt")["pixel_values"])


def patch_words(view: View) -> list[tuple[str, ...]]:
    """List the words for the content of each patch; a bar is in every patch of its column."""
    patches: list[tuple[str, ...]] = [()] * len(CELLS)
    if isinstance(view, Chart):
        for cell in range(len(CELLS)):
            if cell % 4 < len(view.bars):
                bar = view.bars[cell % 4]
                patches[cell] = (bar.colour, "bar", str(bar.value))
    else:
        for thing in view.things:
            patches[thing.cell] = (thing.colour, thing.shape)
    return patches


def patch_features(model: LlavaForConditionalGeneration, images: torch.Tensor) -> torch.Tensor:
    """Compute the tower's features of the patches, from the layer that LLaVA uses.

    Args:
        model: The model.
        images: Pixels [B, 3, 48, 48].

    Returns:
        Features [B, 16, width].
    """
    layers = model.model.vision_tower(images, output_hidden_states=True).hidden_states
    return torch.as_tensor(layers[model.config.vision_feature_layer][:, 1:])


def _labels(views: list[View]) -> torch.Tensor:
    """Label colour, kind and value of each patch [3, B, 16]; 0 is none."""
    patches = [patch_words(view) for view in views]
    return torch.tensor(
        [
            [[next((part.index(word) + 1 for word in words if word in part), 0) for words in rows] for rows in patches]
            for part in _PARTS
        ]
    )


def pretrain_tower(
    model: LlavaForConditionalGeneration, steps: int, rng: Random, tick: Callable[[], None]
) -> list[float]:
    """Train the tower on patch labels.

    Args:
        model: The model, whose tower is changed.
        steps: Number of steps.
        rng: Random numbers.
        tick: Called after each step.

    Returns:
        Accuracies of colours, kinds and values at the end (0..1).
    """
    tower = model.model.vision_tower
    heads = nn.ModuleList(nn.Linear(model.config.vision_config.hidden_size, len(part) + 1) for part in _PARTS)
    heads.append(nn.Linear(model.config.vision_config.hidden_size, len(CELLS)))
    cells = torch.arange(len(CELLS)).expand(BATCH, -1)
    optimizer, schedule = optimize([*tower.parameters(), *heads.parameters()], 2e-3, steps)
    accuracies = torch.zeros(len(_PARTS))
    for _ in range(steps):
        views = [draw_view("base", rng) for _ in range(BATCH)]
        features = patch_features(model, pixels(map(draw, views)))
        loss = torch.zeros(())
        for number, (head, label) in enumerate(zip(heads, [*_labels(views), cells], strict=True)):
            logits = head(features)
            shown = label > 0 if number < len(_PARTS) else label >= 0
            loss = loss + functional.cross_entropy(logits.flatten(0, 1), label.flatten())
            if number < len(_PARTS):
                hit = (logits.argmax(-1) == label)[shown].float().mean()
                accuracies[number] = 0.9 * accuracies[number] + 0.1 * hit
        descend(loss, optimizer, schedule)
        tick()
    return [round(float(share), 3) for share in accuracies]


@torch.no_grad()
def fit_projector(model: LlavaForConditionalGeneration, images: int, rng: Random) -> float:
    """Fit the projector to the word embeddings by least squares.

    gelu(x) - gelu(-x) = x, so a projector with W and -W in its first layer, and V and -V in its second, is the linear
    map V W. Its optimum is a regression of rank width / 2, without gradient descent.

    Args:
        model: The model, whose projector is changed.
        images: Number of images to fit on.
        rng: Random numbers.

    Returns:
        The unexplained share of the variance (0..1).
    """
    projector, table = model.model.multi_modal_projector, model.get_input_embeddings().weight
    views = [draw_view("base", rng) for _ in range(images)]
    features = patch_features(model, pixels(map(draw, views))).flatten(0, 1)
    wanted = torch.cat([_embedded(patch_words(view), table) for view in views])
    centre, middle = features.mean(0), wanted.mean(0)
    best = torch.linalg.lstsq(features - centre, wanted - middle, driver="gelsd").solution
    left, strength, right = torch.linalg.svd(best, full_matrices=False)
    rank = min(len(strength), projector.linear_1.out_features // 2)
    root = strength[:rank].sqrt()
    first, second = left[:, :rank] * root, right[:rank].T * root
    # the scale of the hidden layer is free; keep its units in the middle part of gelu
    scale = ((features - centre) @ first).std(0)
    first, second = first / scale, second * scale
    projector.linear_1.weight.zero_()
    projector.linear_2.weight.zero_()
    for sign, start in ((1, 0), (-1, rank)):
        projector.linear_1.weight[start : start + rank] = sign * first.T
        projector.linear_1.bias[start : start + rank] = -sign * (centre @ first)
        projector.linear_2.weight[:, start : start + rank] = sign * second
    projector.linear_2.bias.copy_(middle)
    unexplained = functional.mse_loss(projector(features), wanted) / wanted.var()
    return round(float(unexplained), 3)


def _embedded(patches: list[tuple[str, ...]], table: torch.Tensor) -> torch.Tensor:
    rows = [
        table[[VOCABULARY[word] for word in (*(words or (NOTHING,)), cell)]].sum(0)
        for words, cell in zip(patches, CELLS, strict=True)
    ]
    return torch.stack(rows)


def optimize(
    parameters: Iterable[nn.Parameter], lr: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Build AdamW and its schedule: warm-up over a twentieth of the steps, then a cosine decay to 0.

    Args:
        parameters: Weights to train.
        lr: Peak learning rate.
        steps: Number of steps.

    Returns:
        Optimizer and schedule.
    """

    def factor(step: int) -> float:
        return min(1.0, 20 * (step + 1) / steps) * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2

    optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def descend(
    loss: torch.Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
) -> None:
    """Take one optimizer step, with the gradient clipped at norm 1.

    Args:
        loss: The loss to minimize.
        optimizer: The optimizer.
        schedule: Its schedule.
    """
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    schedule.step()
