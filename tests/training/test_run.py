"""The recipe as a whole: its files, its messages, and the same bytes twice."""

from __future__ import annotations

import dataclasses
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from mmdpo.errors import UserError
from mmdpo.models.adapter import merged
from mmdpo.models.loading import load_model
from mmdpo.models.model_cache import use_model_cache
from mmdpo.models.quantization import load_training_base
from mmdpo.records import PreferencePair
from mmdpo.training.reference import Reference, reference
from mmdpo.training.run import TrainSummary, train_adapter
from mmdpo.training.schedule import total_steps
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_settings


def fresh(step: int) -> None:
    """The value of `resumed` in a run without a checkpoint."""
    assert step == 0


def run(
    tiny: Tiny, settings: Any, folder: Path, reference_logps: Reference | None = None
) -> tuple[TrainSummary, dict[int, dict]]:
    logged: dict[int, dict] = {}

    def log(metrics: dict[str, float], step: int) -> None:
        logged[step] = metrics

    return train_adapter(settings, tiny.pairs, tiny.images, folder, log, fresh, reference_logps), logged


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_a_run_leaves(tiny: Tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from peft import PeftModel

    extra = [PreferencePair("empty", "what", "", "no"), PreferencePair("same", "what", "no", "no")]
    capfd.readouterr()
    summary, logged = run(tiny._replace(pairs=[*tiny.pairs, *extra]), tiny_settings(tiny.model), tmp_path)
    out, err = capfd.readouterr()
    line, few = out.splitlines()  # no terminal: no bar
    assert line == "text tokens per row: longest 17, 99th percentile 17; no train.max_text_tokens"
    assert "12 examples in batches of 4 and 1 epochs are 3 optimizer steps; for more, type train.num_train" in few
    assert err == ""
    assert summary.steps == 3 == total_steps(tiny_settings(tiny.model).train, 12)
    assert (summary.examples, summary.epochs) == (12, 1.0)
    assert summary.dropped == {"empty_answer": 1, "same_answers": 1}
    assert summary.metrics == logged[3]
    assert list(logged) == [1, 2, 3]
    assert json.dumps(dataclasses.asdict(summary))
    names = "loss rewards/chosen rewards/rejected rewards/accuracies rewards/margins logps/chosen logps/rejected"
    assert {*names.split(), "learning_rate", "grad_norm", *OF_THE_MACHINE} <= logged[1].keys()
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["adapter"]

    base = load_model(str(tiny.model), "float32")
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        before = base(input_ids=ids).logits
        after = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))(input_ids=ids).logits
    assert (after - before).abs().max() > 1e-3


def test_the_same_point_twice_is_the_same_bytes(tiny: Tiny, tmp_path: Path) -> None:
    settings = tiny_settings(tiny.model, model__lora__lora_dropout=0.1)
    _, first = run(tiny, settings, tmp_path / "a")
    _, second = run(tiny, settings, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    for step in first:
        for name in first[step].keys() - {*OF_THE_MACHINE}:
            assert first[step][name] == second[step][name]
    run(tiny, tiny_settings(tiny.model, model__lora__lora_dropout=0.1, seed=1), tmp_path / "c")
    assert content(tmp_path / "c") != content(tmp_path / "a")


def test_points_of_one_process_share_their_rows_and_no_numbers(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmdpo.training import prepare

    made = []
    real = prepare.tokenize_examples
    monkeypatch.setattr(prepare, "tokenize_examples", lambda *given: made.append(given) or real(*given))
    monkeypatch.setattr(prepare, "_last", {})
    run(tiny, tiny_settings(tiny.model, beta=0.3), tmp_path / "alone")
    prepare._last.clear()
    run(tiny, tiny_settings(tiny.model, method__fine_grained=True), tmp_path / "before")
    run(tiny, tiny_settings(tiny.model, beta=0.3), tmp_path / "after")
    assert len(made) == 2
    assert content(tmp_path / "after") == content(tmp_path / "alone") != content(tmp_path / "before")
    run(tiny, tiny_settings(tiny.model, train__max_text_tokens=15), tmp_path / "shorter")
    run(tiny._replace(pairs=tiny.pairs[:6]), tiny_settings(tiny.model), tmp_path / "fewer")
    assert len(made) == 4


@pytest.mark.parametrize(
    "overrides",
    [
        {"model__lora__lora_dropout": 0.1},
        {"model__train_projector": True},
        {"train__activation_checkpointing": True},
        {"train__prefix_sharing": False},
    ],
)
def test_a_base_in_memory_gives_the_numbers_of_one_from_disk(
    tiny: Tiny, tmp_path: Path, overrides: dict[str, Any]
) -> None:
    settings = tiny_settings(tiny.model, **overrides)
    run(tiny, settings, tmp_path / "from disk")
    asked = torch.arange(5, 15)[None]
    with use_model_cache(), torch.no_grad():
        untouched = load_model(str(tiny.model), "float32")(input_ids=asked).logits
        with torch.enable_grad(), pytest.raises(UserError, match="is nan"):
            run(tiny, tiny_settings(tiny.model, lr=1e30, **overrides), tmp_path / "diverged")
        trained = []
        for name in ("first", "second"):
            with torch.enable_grad():
                run(tiny, settings, tmp_path / name)
            assert content(tmp_path / name) == content(tmp_path / "from disk")
            adapted = merged(settings.model, tmp_path / name / "adapter")
            trained.append(adapted(input_ids=asked).logits)
        assert torch.equal(load_model(str(tiny.model), "float32")(input_ids=asked).logits, untouched)
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], untouched)


def test_a_point_leaves_no_model_in_memory(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmdpo.training.run as recipe

    loaded: list[weakref.ref[Any]] = []

    def load(*given: Any) -> Any:
        alive.append(sum(model() is not None for model in loaded))
        model = load_training_base(*given)
        loaded.append(weakref.ref(model))
        return model

    alive: list[int] = []
    monkeypatch.setattr(recipe, "load_training_base", load)
    for name in ("a", "b", "c"):
        run(tiny, tiny_settings(tiny.model), tmp_path / name)
    assert alive == [0, 0, 0]


def test_workers_prepare_the_same_batches(tiny: Tiny, tmp_path: Path) -> None:
    run(tiny, tiny_settings(tiny.model), tmp_path / "a")
    run(tiny, tiny_settings(tiny.model, train__dataloader_num_workers=2), tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_subsets_and_flips_train_on_references_of_the_whole(tiny: Tiny, tmp_path: Path) -> None:
    settings = tiny_settings(tiny.model, train__warmup_ratio=0.0)
    reference_logps = reference(settings.model, settings.train, tiny.pairs, tiny.images)
    flipped = [dataclasses.replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in tiny.pairs[:4]]
    _, logged = run(tiny._replace(pairs=flipped), settings, tmp_path, reference_logps)
    assert logged[1]["rewards/margins"] == pytest.approx(0, abs=1e-6)


def test_an_argument_that_the_schedule_does_not_take_is_named(tiny: Tiny, tmp_path: Path) -> None:
    settings = tiny_settings(tiny.model, train__trl={"lr_scheduler_kwargs": {"foo": 1}})
    with pytest.raises(UserError, match=r"train\.trl\.lr_scheduler_kwargs=.*foo"):
        run(tiny, settings, tmp_path)


def test_a_training_without_effect_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without effect.*14 lora_B weights are zero.*lr="):
        run(tiny, tiny_settings(tiny.model, lr=1e-50), tmp_path)  # 0 in float32
    assert not (tmp_path / "adapter").exists()


def test_a_bfloat16_base_trains(tiny: Tiny, tmp_path: Path) -> None:
    _, logged = run(tiny, tiny_settings(tiny.model, model__dtype="bfloat16"), tmp_path)
    assert logged[1]["loss"] == pytest.approx(0.693, abs=0.01)


@pytest.mark.parametrize(
    ("epochs", "batch", "accumulation", "pairs", "expected"),
    [(1, 16, 1, 560, 35), (3, 8, 4, 560, 54), (0.5, 16, 1, 100, 4), (1, 16, 4, 3, 1)],
)
def test_steps(tiny: Tiny, epochs: float, batch: int, accumulation: int, pairs: int, expected: int) -> None:
    settings = tiny_settings(
        tiny.model,
        train__num_train_epochs=epochs,
        train__per_device_train_batch_size=batch,
        train__gradient_accumulation_steps=accumulation,
    )
    assert total_steps(settings.train, pairs) == expected
