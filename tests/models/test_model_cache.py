"""The model cache: separate modules, shared weights, one entry per folder and type."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from mmdpo.models import loading
from mmdpo.models.loading import load_model
from mmdpo.models.model_cache import use_model_cache
from tests.support.tiny import save_tiny_llava


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return save_tiny_llava(tmp_path / "tiny")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were read."""
    read: list[str] = []
    real = loading.load_checkpoint
    monkeypatch.setattr(
        loading, "load_checkpoint", lambda path, *more, **named: read.append(path) or real(path, *more, **named)
    )
    return read


def places(model: Any) -> dict[str, int]:
    return {name: weight.data_ptr() for name, weight in model.named_parameters()}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.arange(5, 15)[None]).logits
    return found


def test_it_is_read_once_and_only_weights_are_shared(tiny: Path, loads: list[str]) -> None:
    with use_model_cache():
        first, second = load_model(str(tiny), "float32"), load_model(str(tiny), "float32")
        assert loads == [str(tiny)]
        assert places(first) == places(second)
        assert not {id(module) for module in first.modules()} & {id(module) for module in second.modules()}
        assert not {id(weight) for weight in first.parameters()} & {id(w) for w in second.parameters()}
        buffers = {buffer.data_ptr() for buffer in first.buffers()}
        assert buffers
        assert not buffers & {buffer.data_ptr() for buffer in second.buffers()}
        assert first.config is not second.config
    third = load_model(str(tiny), "float32")
    assert len(loads) == 2
    assert torch.equal(logits(first), logits(third))
    assert torch.equal(logits(second), logits(third))


def test_what_one_caller_does_to_its_model_is_not_seen_by_the_next(tiny: Path) -> None:
    untouched = logits(load_model(str(tiny), "float32"))
    with use_model_cache():
        model = load_model(str(tiny), "float32")
        model.train().requires_grad_(False)
        model.config.image_token_id = model.generation_config.max_length = 77
        model.forward = None
        for module in model.modules():
            module.register_forward_hook(lambda *given: torch.zeros(0))
        model.get_decoder().layers[0] = torch.nn.Identity()
        model.get_output_embeddings().weight = torch.nn.Parameter(torch.zeros(1))

        after = load_model(str(tiny), "float32")
        assert not after.training
        assert all(weight.requires_grad for weight in after.parameters())
        assert 77 not in (after.config.image_token_id, after.generation_config.max_length)
        assert torch.equal(logits(after), untouched)


def test_own_weights_may_be_changed(tiny: Path, loads: list[str]) -> None:
    untouched = logits(load_model(str(tiny), "float32"))
    with use_model_cache():
        own = load_model(str(tiny), "float32", own_weights=True)
        with torch.no_grad():
            for weight in own.parameters():
                weight.zero_()
        assert torch.equal(logits(load_model(str(tiny), "float32")), untouched)
    assert len(loads) == 2


def test_tied_weights_stay_tied(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loading.load_checkpoint

    def tied(path: str, kind: torch.dtype, *more: Any, **named: Any) -> Any:
        model = real(path, kind)
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
        return model

    monkeypatch.setattr(loading, "load_checkpoint", tied)
    with use_model_cache():
        for own_weights in (False, True):
            model = load_model(str(tiny), "float32", own_weights)
            assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_another_type_or_content_is_read_anew(tiny: Path, tmp_path: Path, loads: list[str]) -> None:
    with use_model_cache():
        assert load_model(str(tiny), "float32").dtype == torch.float32
        assert load_model(str(tiny), "bfloat16").dtype == torch.bfloat16
        before = logits(load_model(str(tiny), "float32"))
        assert len(loads) == 3
        shutil.copytree(save_tiny_llava(tmp_path / "other", seed=1), tiny, dirs_exist_ok=True)
        assert not torch.equal(logits(load_model(str(tiny), "float32")), before)


def test_without_room_for_two_none_is_kept(tiny: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with use_model_cache():
        first, second = load_model(str(tiny), "float32"), load_model(str(tiny), "float32")
    assert len(loads) == 2
    assert not set(places(first).values()) & set(places(second).values())
