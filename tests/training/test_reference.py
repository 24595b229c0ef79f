"""Reference log-probs: computed once, found for the same pairs only."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmdpo.activity import recorded_by
from mmdpo.config.schema import ModelConfig
from mmdpo.errors import UserError
from mmdpo.models.loading import load_model
from mmdpo.records import PreferencePair
from mmdpo.signals import Interrupted
from mmdpo.training import reference as module
from mmdpo.training.reference import Reference, reference
from mmdpo.training.settings import TrainingSettings
from tests.support.tiny import Tiny, save_tiny_llava, tiny_settings

TESTS = 3  # forward passes: whether the model is causal, and both layouts of a shared prefix


class Count:
    """Counter of the forward passes since its last call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        calls, self.calls = self.calls, 0
        return calls


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Count:
    from transformers import LlavaModel

    count, forward = Count(), LlavaModel.forward

    def counted(*args: object, **kwargs: object) -> object:
        count.calls += 1
        return forward(*args, **kwargs)

    monkeypatch.setattr(LlavaModel, "forward", counted)
    return count


def look_up(settings: TrainingSettings, pairs: list[PreferencePair], images: Path) -> Reference:
    return reference(settings.model, settings.train, pairs, images)


def sums(reference_logps: Reference, pairs: list[PreferencePair]) -> list[list[float]]:
    return [[answer.sum for answer in reference_logps.of(pair)] for pair in pairs]


def test_the_second_call_makes_no_forward_pass(tiny: Tiny, passes: Count) -> None:
    settings = tiny_settings(tiny.model)
    first = look_up(settings, tiny.pairs, tiny.images)
    assert passes() == 3 + TESTS  # 12 rows, 5 per batch
    again = look_up(tiny_settings(tiny.model), tiny.pairs, tiny.images)
    assert passes() == 0
    assert sums(again, tiny.pairs) == sums(first, tiny.pairs)


@pytest.mark.parametrize(
    "overrides",
    [
        {"beta": 0.3, "lr": 1.0, "seed": 7, "logprob_avg": True},
        {"method__loss_type": "ipo", "model__lora__r": 2, "train__per_device_train_batch_size": 1},
    ],
)
def test_settings_of_the_training_hit(tiny: Tiny, passes: Count, overrides: dict) -> None:
    look_up(tiny_settings(tiny.model), tiny.pairs, tiny.images)
    passes()
    look_up(tiny_settings(tiny.model, **overrides), tiny.pairs, tiny.images)
    assert passes() == 0


def test_order_and_flipped_labels_hit_and_swap(tiny: Tiny, passes: Count) -> None:
    settings = tiny_settings(tiny.model)
    found = look_up(settings, tiny.pairs, tiny.images)
    passes()
    flipped = [dataclasses.replace(p, chosen=p.rejected, rejected=p.chosen) for p in reversed(tiny.pairs)]
    again = look_up(settings, flipped, tiny.images)
    assert passes() == 0
    for pair, other in zip(tiny.pairs, reversed(flipped), strict=True):
        for side, (reference_logps, swapped) in enumerate(zip(found.of(pair), again.of(other)[::-1], strict=True)):
            assert reference_logps.sum == swapped.sum == again.of(pair)[side].sum
            assert torch.equal(reference_logps.tokens, swapped.tokens)


def test_it_is_the_log_prob_of_the_answer_by_hand(tiny: Tiny) -> None:
    """A text-only pair, without TRL: log-softmax of the logits at the answer's tokens."""
    pair = PreferencePair("hand", "what is there", "a red star", "no")
    model = load_model(str(tiny.model), "float32")
    from mmdpo.models.loading import load_processor

    tokenizer = load_processor(ModelConfig(path=str(tiny.model))).tokenizer
    prompt = tokenizer("USER : what is there ASSISTANT :", return_tensors="pt").input_ids
    answer = tokenizer("a red star </s>", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(input_ids=torch.cat([prompt, answer], dim=1)).logits[0]
    expected = sum(
        float(logits[prompt.shape[1] - 1 + place].log_softmax(-1)[token])
        for place, token in enumerate(answer[0].tolist())
    )
    found = look_up(tiny_settings(tiny.model), [pair], tiny.images)
    chosen, rejected = found.of(pair)
    assert chosen.sum == pytest.approx(expected, abs=1e-5)
    assert (len(chosen.tokens), len(rejected.tokens)) == (4, 2)  # with the EOS
    assert float(chosen.tokens.sum()) == pytest.approx(chosen.sum, abs=1e-5)


def test_a_changed_answer_misses(tiny: Tiny, passes: Count) -> None:
    settings = tiny_settings(tiny.model)
    found = look_up(settings, tiny.pairs, tiny.images)
    passes()
    other = dataclasses.replace(tiny.pairs[0], chosen="a star is there")
    with pytest.raises(KeyError, match="other answers"):
        found.of(other)
    look_up(settings, [other, *tiny.pairs[1:]], tiny.images)
    assert passes() > 0


def test_a_changed_image_misses(tiny: Tiny, passes: Count, tmp_path: Path) -> None:
    settings = tiny_settings(tiny.model)
    look_up(settings, tiny.pairs, tiny.images)
    images = Path(shutil.copytree(tiny.images, tmp_path / "images"))
    passes()
    look_up(settings, tiny.pairs, images)
    assert passes() == 0  # another place, the same bytes
    picture = Image.open(images / "1.png")
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(images / "1.png")
    look_up(settings, tiny.pairs, images)
    assert passes() > 0


@pytest.mark.parametrize("change", ["template", "weights", "dtype"])
def test_a_changed_model_misses(tiny: Tiny, passes: Count, tmp_path: Path, change: str) -> None:
    folder = Path(shutil.copytree(tiny.model, tmp_path / "model"))
    look_up(tiny_settings(tiny.model), tiny.pairs, tiny.images)
    passes()
    settings = tiny_settings(folder)
    look_up(settings, tiny.pairs, tiny.images)
    assert passes() == 0
    if change == "template":
        template = folder / "chat_template.jinja"
        template.write_text(template.read_text().replace("USER", "user") + " ")
    elif change == "weights":
        save_tiny_llava(folder, seed=1)
    else:
        settings.model.dtype = "bfloat16"
    look_up(settings, tiny.pairs, tiny.images)
    assert passes() > 0


@pytest.mark.parametrize("change", ["train__max_text_tokens", "train__prefix_sharing"])
def test_what_changes_the_numbers_misses(tiny: Tiny, passes: Count, change: str) -> None:
    look_up(tiny_settings(tiny.model), tiny.pairs, tiny.images)
    passes()
    value = 12 if change == "train__max_text_tokens" else False
    look_up(tiny_settings(tiny.model, **{change: value}), tiny.pairs, tiny.images)
    assert passes() > 0


@pytest.mark.parametrize("damage", ["cut", "nan", "rows", "gone"])
def test_a_damaged_entry_is_made_again(tiny: Tiny, passes: Count, cache: Path, damage: str) -> None:
    from safetensors.torch import load_file, save_file

    settings = tiny_settings(tiny.model)
    expected = sums(look_up(settings, tiny.pairs, tiny.images), tiny.pairs)
    passes()
    (file,) = cache.glob("reference/*/log_probs.safetensors")
    tensors = load_file(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "nan":
        tensors["first.sums"][0] = float("nan")
        save_file(tensors, file)
    elif damage == "rows":
        save_file({name: value[1:].clone() for name, value in tensors.items()}, file)
    else:
        (file.parent / "rows.json").unlink()
    again = look_up(settings, tiny.pairs, tiny.images)
    assert passes() == 3 + TESTS
    assert sums(again, tiny.pairs) == expected


class Saved:
    """Recorder of the amounts of saved work."""

    def __init__(self) -> None:
        self.amounts: dict[str, int] = {}

    def saved(self, kind: str, amount: int) -> None:
        self.amounts[kind] = amount

    def waiting(self, reason: str | None) -> None:
        raise AssertionError(reason)


def files(cache: Path) -> dict[str, bytes]:
    found = cache.glob("reference/[!.]*/*")
    return {file.name: file.read_bytes() for file in found if file.name != "digests.json"}  # it holds times


@pytest.mark.parametrize(
    ("batches", "change", "left"),
    [
        (1, None, 2),
        (2, None, 1),
        (2, {"train__precompute_ref_batch_size": 4}, 3),  # other batches: the numbers would not be bit-equal
        (2, "damage", 3),
    ],
)
def test_an_interrupted_pass_continues_to_the_same_bits(
    batches: int, change: Any, left: int, tiny: Tiny, passes: Count, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(tiny.model, **(change if isinstance(change, dict) else {}))
    look_up(settings, tiny.pairs, tiny.images)
    expected = files(cache)
    shutil.rmtree(cache / "reference")
    move, moved, saved = module.to_device, [], Saved()

    def interrupted(batch: Any, device: Any) -> Any:
        if len(moved) == batches:
            raise Interrupted("terminated")
        moved.append(batch)
        return move(batch, device)

    monkeypatch.setattr(module, "to_device", interrupted)
    with pytest.raises(Interrupted), recorded_by(saved):
        look_up(tiny_settings(tiny.model), tiny.pairs, tiny.images)
    monkeypatch.setattr(module, "to_device", move)
    assert [*saved.amounts.values()] == [5 * batches]  # progress, for cluster.max_attempts
    if change == "damage":
        (part,) = cache.glob("reference/.*.parts/rows-*")
        part.write_bytes(part.read_bytes()[:-9])
    passes()
    look_up(settings, tiny.pairs, tiny.images)
    assert passes() == left + TESTS
    assert files(cache) == expected
    assert not [*cache.glob("reference/.*.parts")]


def test_a_model_that_overflows_is_an_error(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    make = module._compute

    def overflown(*args: Any) -> Reference:
        found = make(*args)
        found.first.sums *= float("nan")
        return found

    monkeypatch.setattr(module, "_compute", overflown)
    with pytest.raises(UserError, match="not finite"):
        look_up(tiny_settings(tiny.model), tiny.pairs, tiny.images)


def test_a_missing_image_names_the_pair(tiny: Tiny) -> None:
    pair = PreferencePair("lost", "what", "yes", "no", ("nowhere.png",))
    with pytest.raises(UserError, match=r"'lost'.*nowhere\.png"):
        look_up(tiny_settings(tiny.model), [pair], tiny.images)


def test_pairs_of_a_prompt_are_scored_together(tiny: Tiny) -> None:
    """Each answer once, with the log-probs of a pair alone."""
    texts = ("a red star", "left", "no no")
    pairs = [
        PreferencePair(f"{a}-{b}", "what is there", texts[a], texts[b], tiny.pairs[1].images)
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    settings = tiny_settings(tiny.model)
    together = look_up(settings, [*pairs, *tiny.pairs[:2]], tiny.images)
    for pair in pairs:
        alone = look_up(settings, [pair], tiny.images).of(pair)
        for found, expected in zip(together.of(pair), alone, strict=True):
            assert found.sum == pytest.approx(expected.sum, abs=1e-5)
            torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-5, rtol=0)
    assert together.of(pairs[0])[0].sum == together.of(pairs[1])[0].sum
