"""The recipe as a whole: what it leaves, what it says, and that it is the same bytes twice."""

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
from mmdpo.records import PreferencePair
from mmdpo.training.reference import Reference, reference
from mmdpo.training.run import TrainSummary, train
from mmdpo.training.trl_config import total_steps
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_config


def fresh(step: int) -> None:
    """What a run is told that goes on from no checkpoint."""
    assert step == 0


def run(tiny: Tiny, cfg: Any, folder: Path, known: Reference | None = None) -> tuple[TrainSummary, dict[int, dict]]:
    logged: dict[int, dict] = {}

    def log(metrics: dict[str, float], step: int) -> None:
        logged[step] = metrics

    return train(cfg, tiny.pairs, tiny.images, folder, log, fresh, known), logged


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_a_run_leaves(tiny: Tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from peft import PeftModel

    extra = [PreferencePair("empty", "what", "", "no"), PreferencePair("same", "what", "no", "no")]
    capfd.readouterr()
    summary, logged = run(tiny._replace(pairs=[*tiny.pairs, *extra]), tiny_config(tiny.model), tmp_path)
    line = "text tokens a row: longest 17, 99th percentile 17; no train.max_text_tokens"
    assert capfd.readouterr() == (line + "\n", "")  # no terminal: no bar
    assert summary.steps == 3 == total_steps(tiny_config(tiny.model), 12)
    assert (summary.examples, summary.epochs) == (12, 1.0)
    assert summary.dropped == {"empty_answer": 1, "same_answers": 1}
    assert summary.metrics == logged[3] and list(logged) == [1, 2, 3]
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
    cfg = tiny_config(tiny.model, model__lora__dropout=0.1)
    _, first = run(tiny, cfg, tmp_path / "a")
    _, second = run(tiny, cfg, tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    for step in first:
        for name in first[step].keys() - {*OF_THE_MACHINE}:
            assert first[step][name] == second[step][name]
    run(tiny, tiny_config(tiny.model, model__lora__dropout=0.1, seed=1), tmp_path / "c")
    assert content(tmp_path / "c") != content(tmp_path / "a")


def test_points_of_one_process_share_their_rows_and_no_numbers(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmdpo.training.run as recipe

    made = []
    real = recipe.tokenised
    monkeypatch.setattr(recipe, "tokenised", lambda *given: made.append(given) or real(*given))
    monkeypatch.setattr(recipe, "_LAST", {})
    run(tiny, tiny_config(tiny.model, beta=0.3), tmp_path / "alone")
    recipe._LAST.clear()
    run(tiny, tiny_config(tiny.model, method__fine_grained=True), tmp_path / "before")
    run(tiny, tiny_config(tiny.model, beta=0.3), tmp_path / "after")
    assert len(made) == 2
    assert content(tmp_path / "after") == content(tmp_path / "alone") != content(tmp_path / "before")
    run(tiny, tiny_config(tiny.model, train__max_text_tokens=15), tmp_path / "shorter")
    run(tiny._replace(pairs=tiny.pairs[:6]), tiny_config(tiny.model), tmp_path / "fewer")
    assert len(made) == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"model__lora__dropout": 0.1},
        {"model__train_projector": True},
        {"train__gradient_checkpointing": True},
        {"train__prefix_sharing": False},
    ],
)
def test_a_base_in_memory_gives_the_numbers_of_one_from_disk(
    tiny: Tiny, tmp_path: Path, settings: dict[str, Any]
) -> None:
    cfg = tiny_config(tiny.model, **settings)
    run(tiny, cfg, tmp_path / "from disk")
    asked = torch.arange(5, 15)[None]
    with use_model_cache(), torch.no_grad():
        untouched = load_model(str(tiny.model), "float32")(input_ids=asked).logits
        with torch.enable_grad(), pytest.raises(UserError, match="is nan"):
            run(tiny, tiny_config(tiny.model, lr=1e30, **settings), tmp_path / "diverged")
        trained = []
        for name in ("first", "second"):
            with torch.enable_grad():
                run(tiny, cfg, tmp_path / name)
            assert content(tmp_path / name) == content(tmp_path / "from disk")
            adapted = merged(cfg.model, tmp_path / name / "adapter")
            trained.append(adapted(input_ids=asked).logits)
        assert torch.equal(load_model(str(tiny.model), "float32")(input_ids=asked).logits, untouched)
    assert torch.equal(trained[0], trained[1]) and not torch.equal(trained[0], untouched)


def test_a_point_leaves_no_model_in_memory(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmdpo.training.run as recipe

    loaded: list[weakref.ref[Any]] = []

    def load(*given: Any) -> Any:
        alive.append(sum(model() is not None for model in loaded))
        model = load_model(*given)
        loaded.append(weakref.ref(model))
        return model

    alive: list[int] = []
    monkeypatch.setattr(recipe, "load_model", load)
    for name in ("a", "b", "c"):
        run(tiny, tiny_config(tiny.model), tmp_path / name)
    assert alive == [0, 0, 0]


def test_workers_prepare_the_same_batches(tiny: Tiny, tmp_path: Path) -> None:
    run(tiny, tiny_config(tiny.model), tmp_path / "a")
    run(tiny, tiny_config(tiny.model, train__workers=2), tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_subsets_and_flips_train_on_references_of_the_whole(tiny: Tiny, tmp_path: Path) -> None:
    cfg = tiny_config(tiny.model)
    known = reference(cfg, tiny.pairs, tiny.images)
    flipped = [dataclasses.replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in tiny.pairs[:4]]
    _, logged = run(tiny._replace(pairs=flipped), cfg, tmp_path, known)
    assert logged[1]["rewards/margins"] == pytest.approx(0, abs=1e-6)


def test_a_bfloat16_base_trains(tiny: Tiny, tmp_path: Path) -> None:
    _, logged = run(tiny, tiny_config(tiny.model, model__dtype="bfloat16"), tmp_path)
    assert logged[1]["loss"] == pytest.approx(0.693, abs=0.01)


@pytest.mark.parametrize(
    ("epochs", "batch", "accumulation", "pairs", "expected"),
    [(1, 16, 1, 560, 35), (3, 8, 4, 560, 54), (0.5, 16, 1, 100, 4), (1, 16, 4, 3, 1)],
)
def test_steps(tiny: Tiny, epochs: float, batch: int, accumulation: int, pairs: int, expected: int) -> None:
    cfg = tiny_config(tiny.model, train__epochs=epochs, train__batch_size=batch, train__accumulation=accumulation)
    assert total_steps(cfg, pairs) == expected
