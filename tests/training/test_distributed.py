"""Two real processes (gloo, CPU) and one process train the same, also if a batch has no image."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmdpo.config.choices import AdapterUse
from mmdpo.config.schema import TrainConfig
from mmdpo.models.adapter import merged
from mmdpo.models.loading import load_processor
from mmdpo.training.distributed import deepspeed_config, from_slurm
from tests.support.program import completed, start_program
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_pairs, tiny_settings
from tests.training.test_kto import SAME
from tests.training.test_start import random_adapter

SETTINGS: dict[str, Any] = {
    "text_only": 2,
    "train__num_train_epochs": 2.0,
    "train__gradient_accumulation_steps": 2,
    "train__save_steps": 2,
    "model__train_projector": True,
}  # 6 steps of 4 pairs
ONE_ROW = {"train__per_device_train_batch_size": 1}
KTO = {
    "labelled": True,
    "train__per_device_train_batch_size": 2,
    "train__gradient_accumulation_steps": 1,
    "model__train_projector": False,
}
ADAPTER = "adapter/adapter_model.safetensors"
Logged = dict[int, dict[str, float]]


def together(tiny: Tiny, out: Path, processes: int, dies: bool = False, **settings: Any) -> Logged:
    """Train in processes of their own; returns the metrics that rank 0 logged."""
    images = out.with_name(f"{out.name}-images")
    tiny_pairs(images, text_only=(SETTINGS | settings).get("text_only", 3))
    arguments = [*map(str, (tiny.model, images, out)), json.dumps(SETTINGS | settings)]
    common = {
        **{name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")},
        **{"MMDPO_CACHE": str(out.parent / "cache"), "OMP_NUM_THREADS": "1"},
    }
    ranks = [
        start_program("-m", "tests.training.together", *arguments, environment=common | variables, merge=True)
        for variables in torchrun_variables(processes)
    ]
    while {rank.poll() for rank in ranks} == {None}:
        time.sleep(0.02)
    if any(rank.returncode for rank in ranks):  # torchrun ends the others
        for rank in ranks:
            rank.kill()
    done = [completed(rank) for rank in ranks]
    assert any(one.returncode for one in done) is dies, "\n".join(one.stdout for one in done)
    lines = (out / "log.jsonl").read_text().splitlines()
    return dict(map(json.loads, lines))


def torchrun_variables(processes: int) -> list[dict[str, str]]:
    """Return what torchrun sets for each of some processes on one machine; nothing for one process."""
    if processes == 1:
        return [{}]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    count = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [master | count | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def assert_same(logged: Logged, expected: Logged) -> None:
    assert list(logged) == list(expected) == [1, 2, 3, 4, 5, 6]
    for step, metrics in expected.items():
        # The warm-up's first step is none, so the first two batches meet the base: rewards tie at zero.
        ties = {"rewards/accuracies", "logps/chosen_below_reference"} if step <= 2 else set()
        for name in metrics.keys() - {*OF_THE_MACHINE} - ties:
            assert logged[step][name] == pytest.approx(metrics[name], abs=1e-5, rel=1e-4), (step, name)


def assert_same_adapters(one: Path, other: Path) -> None:
    found, wanted = (load_file(folder / ADAPTER) for folder in (one, other))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3)


def stock_trl(tiny: Tiny, folder: Path) -> Logged:
    """Return the logs of a KTO training by two processes of stock TRL, as far as ours log the same."""
    logged = together(tiny, folder / "stock", 2, stock=True, **KTO)
    return {step: {name: metrics[name] for name in SAME if name in metrics} for step, metrics in logged.items()}


def start_of(tiny: Tiny, folder: Path) -> dict[str, Any]:
    """Settings of a training that starts from a random adapter, which is written to a folder."""
    random_adapter(tiny_settings(tiny.model).model, folder)
    return {"model__adapter": str(folder), "model__train_projector": False}


@pytest.fixture(scope="module")
def alone(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Logged, Path]:
    folder = tmp_path_factory.mktemp("together") / "alone"
    return together(tiny, folder, processes=1, train__per_device_train_batch_size=2), folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "zero", [0, pytest.param(2, marks=pytest.mark.exhaustive), pytest.param(3, marks=pytest.mark.long)]
)
def test_two_processes_train_what_one_does(
    tiny: Tiny, alone: tuple[Logged, Path], zero: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected, folder = alone
    out = folder.parent / f"zero{zero}"
    assert_same(
        together(tiny, out, processes=2, train__per_device_train_batch_size=1, train__zero_stage=zero), expected
    )
    assert_same_adapters(out, folder)
    assert any("multi_modal_projector" in name for name in load_file(folder / ADAPTER))


@pytest.mark.slow
@pytest.mark.long
def test_a_run_with_zero_3_that_died_ends_as_an_undisturbed_one(tiny: Tiny, alone: tuple[Logged, Path]) -> None:
    expected, folder = alone
    out = folder.parent / "died"
    settings = {**ONE_ROW, "train__zero_stage": 3}
    cut = together(tiny, out, processes=2, dies=True, die_after=3, **settings)
    assert list(cut) == [1, 2, 3]
    assert_same(together(tiny, out, processes=2, **settings), expected)
    assert (out / "resumed").read_text() == "2"
    assert not (out / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("zero", [0, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_pairs_of_a_prompt_train_the_same_in_two_processes_that_died(tiny: Tiny, tmp_path: Path, zero: int) -> None:
    """The rows of a step do not depend on the number of processes, nor on a resumption."""
    settings = {"two_of_a_prompt": True}
    apart = {**ONE_ROW, **settings, "train__zero_stage": zero}
    expected = together(tiny, tmp_path / "alone", 1, train__per_device_train_batch_size=2, **settings)
    together(tiny, tmp_path / "two", 2, dies=True, die_after=5, **apart)
    assert_same(together(tiny, tmp_path / "two", 2, **apart), expected)
    assert (tmp_path / "two" / "resumed").read_text() == "4"
    assert (tmp_path / "two" / "prompts").read_text() == "6 of 12, shared: True"
    assert_same_adapters(tmp_path / "two", tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("use", [AdapterUse.train, AdapterUse.merge])
def test_two_processes_start_from_an_adapter_as_one_does(tiny: Tiny, tmp_path: Path, use: AdapterUse) -> None:
    settings = {**start_of(tiny, tmp_path / "first"), "model__adapter_use": use.value}
    expected = together(tiny, tmp_path / "alone", 1, train__per_device_train_batch_size=2, **settings)
    assert_same(together(tiny, tmp_path / "two", 2, **ONE_ROW, **settings), expected)
    assert_same_adapters(tmp_path / "two", tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("zero", [0, 3])
def test_two_processes_train_on_labels_as_two_of_stock_trl(tiny: Tiny, tmp_path: Path, zero: int) -> None:
    """One process would estimate KTO's KL term from other rows."""
    expected = stock_trl(tiny, tmp_path)
    assert_same(together(tiny, tmp_path / "ours", 2, train__zero_stage=zero, **KTO), expected)
    assert {"kl", "loss", "grad_norm"} <= expected[1].keys()


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_processes_train_on_labels_from_an_adapter_as_from_its_merged_weights(tiny: Tiny, tmp_path: Path) -> None:
    start = {**start_of(tiny, tmp_path / "first"), **KTO}
    merged(tiny_settings(tiny.model).model, tmp_path / "first").save_pretrained(tmp_path / "merged")
    load_processor(tiny_settings(tiny.model).model).save_pretrained(tmp_path / "merged")
    expected = stock_trl(tiny._replace(model=tmp_path / "merged"), tmp_path)
    found, further = (
        together(tiny, tmp_path / use.value, 2, **start, model__adapter_use=use.value)
        for use in (AdapterUse.merge, AdapterUse.train)
    )
    assert_same(found, expected)
    for name in expected[1].keys() - {"grad_norm"}:  # the same model, of which other weights are trained
        assert further[1][name] == pytest.approx(found[1][name], abs=1e-5, rel=1e-4), name
    assert further[6]["loss"] != pytest.approx(0.5, abs=1e-3)


def test_a_node_that_gives_each_process_its_gpu_has_one_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "2"}.items():
        monkeypatch.setenv(name, value)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(
        "submitit.helpers.TorchDistributedEnvironment.export",
        lambda self, **_: os.environ.update(RANK="2", LOCAL_RANK="2"),
    )
    monkeypatch.setattr("submitit.helpers.TorchDistributedEnvironment.__init__", lambda self: None)
    for gpus, local in ((4, "2"), (1, "0")):
        monkeypatch.delenv("RANK", raising=False)
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        from_slurm()
        assert (os.environ["RANK"], os.environ["LOCAL_RANK"]) == ("2", local)


@pytest.mark.slow
def test_one_process_may_use_zero(tiny: Tiny, alone: tuple[Logged, Path]) -> None:
    expected, folder = alone
    out = folder.parent / "single"
    assert_same(together(tiny, out, processes=1, train__per_device_train_batch_size=2, train__zero_stage=3), expected)


def test_deepspeed_is_configured_from_ours() -> None:
    assert deepspeed_config(TrainConfig(zero_stage=0), bfloat16=True) is None
    two, three = (deepspeed_config(TrainConfig(zero_stage=stage), bfloat16=True) for stage in (2, 3))
    assert two is not None
    assert three is not None
    assert (two["zero_optimization"]["stage"], three["zero_optimization"]["stage"]) == (2, 3)
    assert three["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"]
    assert two["bf16"] == {"enabled": True}
    assert "optimizer" not in two
