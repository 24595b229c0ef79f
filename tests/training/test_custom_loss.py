"""A loss in a file of its own: found by name, trained with, and part of what a checkpoint depends on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mmdpo.training.losses
from mmdpo import registry
from mmdpo.errors import UserError
from mmdpo.training.custom_loss import CustomLoss, is_custom_loss
from mmdpo.training.resume import run_fingerprint
from mmdpo.training.run import train_adapter
from tests.support.tiny import OF_THE_MACHINE, Tiny, tiny_settings

SIGMOID = """
from torch.nn import functional


def loss(chosen_logratios, rejected_logratios, *, beta):
    return -functional.logsigmoid(beta * (chosen_logratios - rejected_logratios))
"""
SIGMOID_NORM = """
from torch.nn import functional


def loss(chosen_logratios, rejected_logratios, *, beta, chosen_tokens, rejected_tokens):
    delta = chosen_logratios / chosen_tokens - rejected_logratios / rejected_tokens
    return -functional.logsigmoid(beta * delta)
"""
ALL_KEYWORDS = """
def loss(chosen_logratios, rejected_logratios, *, chosen_logps, rejected_logps, label_smoothing, margin=2.0, **others):
    return margin + label_smoothing + chosen_logps - rejected_logps
"""

Add = Callable[[str, str], None]


@pytest.fixture
def add_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Write a file of a folder that is searched for losses; each test has its own names."""
    folder = tmp_path / "losses"
    folder.mkdir()
    monkeypatch.setattr(mmdpo.training.losses, "__path__", [*mmdpo.training.losses.__path__, str(folder)])

    def add(name: str, code: str) -> None:
        (folder / f"{name}.py").write_text(code)
        registry._files.cache_clear()  # a process finds the files that are there when it first looks

    return add


def logged(tiny: Tiny, folder: Path, **overrides: object) -> list[dict[str, float]]:
    steps: list[dict[str, float]] = []
    settings = tiny_settings(tiny.model, train__num_train_epochs=2.0, **overrides)
    train_adapter(
        settings, tiny.pairs, tiny.images, folder, lambda metrics, step: steps.append(metrics), lambda _: None
    )
    return [{name: step[name] for name in step.keys() - {*OF_THE_MACHINE}} for step in steps]


@pytest.mark.parametrize(("name", "code", "averages"), [("copied", SIGMOID, False), ("mean", SIGMOID_NORM, True)])
def test_a_copy_of_trls_loss_trains_as_trls(
    tiny: Tiny, tmp_path: Path, add_loss: Add, name: str, code: str, averages: bool
) -> None:
    expected = logged(tiny, tmp_path / "trl", logprob_avg=averages)
    add_loss(name, code)
    # logprob_avg chooses between TRL's losses; a custom loss averages or sums by itself
    found = logged(tiny, tmp_path / "own", logprob_avg=False, method__loss_type=name)
    assert len(found) == len(expected) == 6
    for ours, trls in zip(found, expected, strict=True):
        assert ours == pytest.approx(trls, abs=1e-6, rel=1e-5)
    assert found[-1]["rewards/margins"] != 0


def test_a_loss_may_be_mixed_with_trls(tiny: Tiny, tmp_path: Path, add_loss: Add) -> None:
    """Half of a copy and half of TRL's own train as TRL's."""
    expected = logged(tiny, tmp_path / "trl")
    add_loss("half", SIGMOID)
    found = logged(tiny, tmp_path / "own", method__loss_type=None, method__losses={"half": 0.5, "sigmoid": 0.5})
    for ours, trls in zip(found, expected, strict=True):
        assert ours == pytest.approx(trls, abs=1e-6, rel=1e-5)


def test_a_loss_gets_the_keywords_that_it_names(add_loss: Add) -> None:
    add_loss("keywords", ALL_KEYWORDS)
    one, two = torch.tensor([-3.0, -1.0]), torch.tensor([-4.0, -4.0])
    values = {"chosen_logps": one, "rejected_logps": two, "label_smoothing": 0.25, "beta": 0.1}
    tokens = {"chosen_tokens": torch.ones(2), "rejected_tokens": torch.ones(2)}
    found = CustomLoss("keywords")(torch.zeros(2), torch.zeros(2), **values, **tokens)
    assert float(found) == 2.25 + (1 + 3) / 2


def test_faults_of_a_loss_are_explained(add_loss: Add) -> None:
    assert not is_custom_loss("sigmoid")
    assert not is_custom_loss(None)
    with pytest.raises(UserError, match=r"method\.loss_type=absent"):
        CustomLoss("absent")
    add_loss("greedy", "def loss(chosen, rejected, *, beta, images):\n    return beta\n")
    with pytest.raises(UserError, match=r"method\.loss_type=greedy.*images.*chosen_tokens"):
        CustomLoss("greedy")
    add_loss("scalar", "def loss(chosen, rejected):\n    return (chosen - rejected).mean()\n")
    zeros = dict.fromkeys(("beta", "label_smoothing", "chosen_logps"), 0.0)
    with pytest.raises(UserError, match=r"method.loss_type=scalar.*\[\].*\[3\]"):
        CustomLoss("scalar")(torch.zeros(3), torch.zeros(3), **zeros)
    add_loss("hinge", SIGMOID)
    with pytest.raises(UserError, match=r"method\.loss_type=hinge.*rename"):
        is_custom_loss("hinge")


def test_a_checkpoint_belongs_to_the_content_of_its_loss(tiny: Tiny, add_loss: Add) -> None:
    trl = tiny_settings(tiny.model)
    add_loss("changing", SIGMOID)
    own = tiny_settings(tiny.model, method__loss_type="changing")
    before = run_fingerprint(own, "weights", "data")
    assert before == run_fingerprint(own, "weights", "data") != run_fingerprint(trl, "weights", "data")
    add_loss("changing", SIGMOID + "\n")
    assert run_fingerprint(own, "weights", "data") != before
