"""Answers of a model in this process to the questions of benchmarks.

Questions about the same images share what both compute, short answers are read from the first two tokens, and long
ones are decoded in batches that refill. Every answer is the one that `generate` gives to its prompt alone. A model
whose architecture does not allow this is asked in plain batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import torch

from mmdpo.console import print_line
from mmdpo.models.engine_check import longer, reason_against_refill, reason_against_tree
from mmdpo.models.generate import Decoding, generate_batches, memory_error, processed, rendered
from mmdpo.models.image_groups import PromptTree, TokenizedPrompt, prompt_tree
from mmdpo.models.key_values import KeyValues, prefill
from mmdpo.models.refill import PendingAnswer, Prefill, complete_in_two_tokens, decode
from mmdpo.models.requests import GenerationRequest
from mmdpo.models.special_tokens import token_ids
from mmdpo.records import CUT, Completion, Prompt
from mmdpo.seeds import answer_seed

Check = Callable[[Any, Any, Sequence[TokenizedPrompt], Path], str | None]


class ModelEngine:
    """Engine that runs a model in this process."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        batch_size: int,
        max_new_tokens: int,
        seed: int,
        passed: dict[str, bool] | None = None,
    ) -> None:
        """Take the model.

        Args:
            model: A vision-language model in evaluation mode, on its device.
            processor: Its processor.
            batch_size: The largest number of answers at once.
            max_new_tokens: The limit of answers whose request names none.
            seed: Seed of sampled answers.
            passed: Results of the tests of the architecture, shared by the engines of one base model; None for new
                tests.
        """
        self._model, self._processor = model, processor
        self._batch_size, self._max_new_tokens, self._seed = batch_size, max_new_tokens, seed
        self._passed = {} if passed is None else passed  # by what was checked

    def answer(self, requests: Sequence[GenerationRequest], image_root: Path) -> Iterator[tuple[int, Completion]]:
        """Yield each answer with the index of its request; see mmdpo.models.requests.Engine."""
        answers = self._pending(requests)
        groups = _by_images(answer for answer in answers if self._can_refill(answer.prompt, image_root))
        long: list[list[PendingAnswer]] = []
        for group in groups:
            short = [one for one in group if requests[one.index].expected and one.temperature == 0 and one.limit > 1]
            for start in range(0, len(short), self._batch_size):
                for one in self._short(short[start : start + self._batch_size], image_root):
                    yield one.index, self._completion(one)
            long.append([one for one in group if not one.tokens])
        long.sort(key=_length, reverse=True)
        for _, kind in groupby(chain.from_iterable(long), key=lambda one: bool(one.prompt.prompt.images)):
            # Apart, because a row without an image would be padded to the length of one with an image
            for one in decode(self._model, list(kind), self._batch_size, self._prefill_from(image_root)):
                yield one.index, self._completion(one)
        yield from self._plain([one for one in answers if not one.tokens], image_root)

    def _pending(self, requests: Sequence[GenerationRequest]) -> list[PendingAnswer]:
        prompts = self._tokenized([request.prompt for request in requests])
        return [
            PendingAnswer(
                index,
                prompt,
                request.max_new_tokens or self._max_new_tokens,
                request.temperature,
                answer_seed(self._seed, request.prompt.id, 0),
            )
            for index, (request, prompt) in enumerate(zip(requests, prompts, strict=True))
        ]

    def _tokenized(self, prompts: Sequence[Prompt]) -> list[TokenizedPrompt]:
        texts = rendered(self._processor, prompts)
        ids = token_ids(self._processor.tokenizer, texts)
        return [TokenizedPrompt(*three) for three in zip(prompts, texts, ids, strict=True)]

    def _short(self, answers: list[PendingAnswer], image_root: Path) -> list[PendingAnswer]:
        """Return those of some answers about the same images that are complete after two tokens.

        The others are left as they are. So are all where too little memory is left: `decode` makes room.
        """
        try:
            tree = self._tree(answers, image_root)
            return complete_in_two_tokens(tree, answers, self._model) if tree else []
        except torch.OutOfMemoryError:
            return []

    def _tree(self, answers: Sequence[PendingAnswer], image_root: Path) -> PromptTree | None:
        """Compute the prompts of answers about the same images; None if they cannot share anything."""
        prompts = [answer.prompt for answer in answers]
        if len(prompts) < 2 or not prompts[0].prompt.images or not self._can_share(prompts[0], image_root):
            return None
        return prompt_tree(self._model, self._processor, prompts, image_root)

    def _prefill_from(self, image_root: Path) -> Prefill:
        """Return what computes the prompts of answers with images of a folder."""

        def compute(answers: Sequence[PendingAnswer]) -> Iterator[tuple[list[PendingAnswer], KeyValues, torch.Tensor]]:
            alone: dict[bool, list[PendingAnswer]] = {True: [], False: []}  # with and without images
            for group in _by_images(answers):
                if tree := self._tree(group, image_root):
                    yield group, tree.split(), tree.logits
                else:
                    alone[bool(group[0].prompt.prompt.images)] += group
            for members in filter(None, alone.values()):
                prompts = [answer.prompt for answer in members]
                yield members, *prefill(self._model, self._inputs(prompts, image_root))

        return compute

    def _inputs(self, prompts: Sequence[TokenizedPrompt], image_root: Path) -> Any:
        records, texts = [one.prompt for one in prompts], [one.text for one in prompts]
        return processed(self._model, self._processor, records, texts, image_root)

    def _plain(self, answers: Sequence[PendingAnswer], image_root: Path) -> Iterator[tuple[int, Completion]]:
        """Yield the answers of a model that allows nothing else, batch by batch."""
        kinds = sorted(answers, key=lambda one: (one.temperature, one.limit, len(one.prompt.ids)), reverse=True)
        for (temperature, limit), group in groupby(kinds, key=lambda one: (one.temperature, one.limit)):
            members = list(group)
            prompts = [answer.prompt.prompt for answer in members]
            decoding = Decoding(limit, self._batch_size, temperature, seed=self._seed)
            found = generate_batches(self._model, self._processor, prompts, image_root, decoding)
            for place, (completion,) in found:
                yield members[place].index, completion

    def _completion(self, answer: PendingAnswer) -> Completion:
        (text,) = self._processor.batch_decode([answer.tokens], skip_special_tokens=True)
        return Completion(answer.prompt.prompt.id, 0, text.strip(), "stop" if answer.ended else CUT)

    def _can_refill(self, prompt: TokenizedPrompt, image_root: Path) -> bool:
        kind = "with images" if prompt.prompt.images else "of text"
        off = f"prompts {kind} are answered in plain batches"
        return self._check(off, reason_against_refill, prompt, image_root)

    def _can_share(self, prompt: TokenizedPrompt, image_root: Path) -> bool:
        off = "prefix sharing is off, every question computes its image again"
        return self._check(off, reason_against_tree, prompt, image_root)

    def _check(self, off: str, check: Check, prompt: TokenizedPrompt, image_root: Path) -> bool:
        """Check once by a prompt, and say what is off if the check fails."""
        if off not in self._passed:
            (other,) = self._tokenized([longer(prompt.prompt)])
            try:
                reason = check(self._model, self._processor, [prompt, other], image_root)
            except torch.OutOfMemoryError as error:
                raise memory_error(prompt.prompt.id, 1, self._max_new_tokens) from error
            self._passed[off] = reason is None
            if reason:
                print_line(f"{off}: {reason}")
        return self._passed[off]


def _by_images(answers: Iterable[PendingAnswer]) -> list[list[PendingAnswer]]:
    """Group answers by their images; each without images is a group of its own."""
    groups: dict[Any, list[PendingAnswer]] = {}
    for answer in answers:
        groups.setdefault(answer.prompt.prompt.images or answer.index, []).append(answer)
    return list(groups.values())


def _length(group: Sequence[PendingAnswer]) -> tuple[bool, int, int]:
    """Return the order of a group: prompts of similar length are computed together, and the longest first."""
    return max(
        ((bool(answer.prompt.prompt.images), len(answer.prompt.ids), answer.limit) for answer in group),
        default=(False, 0, 0),
    )
