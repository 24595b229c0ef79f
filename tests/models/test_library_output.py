"""Output of the libraries: hidden, except for errors and warnings that something was not done."""

from __future__ import annotations

import logging
import warnings

import pytest

from mmdpo.models import library_output
from mmdpo.models.library_output import suppress_library_output


@pytest.fixture(autouse=True)
def _nothing_shown_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_output, "_shown", set())


@pytest.mark.parametrize(
    "message",
    [
        "Found missing adapter keys while loading the checkpoint: ['base_model.model.layers.0.lora_A.weight'].",
        "Some weights of X were not initialized from the model checkpoint and are newly initialized: ['head']",
        "Keyword argument `foo` is not a valid argument for this processor and will be ignored.",
        "Unexpected keyword arguments ['lora_ga'] for class LoraConfig, these are ignored.",
        "Sequences longer than 2048 tokens are truncated",
    ],
)
def test_what_was_not_done_is_shown_once(message: str, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with suppress_library_output(), suppress_library_output():
            logging.getLogger("transformers.modeling_utils").warning(message)
            logging.getLogger("trl").warning(message)
            warnings.warn(message, UserWarning, stacklevel=1)
    out, err = capfd.readouterr()
    assert (out.count(message), err) == (1, "")


def test_the_rest_is_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    with suppress_library_output():
        logging.getLogger("transformers.trainer").warning("The tokenizer has new special tokens.")
        logging.getLogger("peft").info("missing keys")
        warnings.warn("The following generation flags are not valid and may be ignored: ['top_p']", stacklevel=1)
        warnings.warn("this argument is ignored", DeprecationWarning, stacklevel=1)
    assert capfd.readouterr() == ("", "")


def test_errors_are_shown_and_the_loggers_are_as_before(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("accelerate")
    before = (logger.level, list(logger.handlers), logger.propagate)
    with suppress_library_output():
        logger.error("out of order")
    assert "out of order" in caplog.text
    assert (logger.level, logger.handlers, logger.propagate) == before
