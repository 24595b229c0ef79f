"""Losses of mmdpo.training.losses, as the trainer calls them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdpo.config.choices import LOSSES
from mmdpo.errors import UserError
from mmdpo.files import file_fingerprint
from mmdpo.registry import Kind

if TYPE_CHECKING:
    import torch

CUSTOM_LOSSES = Kind("mmdpo.training.losses", "loss", "method.loss_type")

KEYWORDS = ("beta", "label_smoothing", "chosen_logps", "rejected_logps", "chosen_tokens", "rejected_tokens")
"""Keywords that a loss may name; mmdpo/training/losses/__init__.py describes them."""


class CustomLoss:
    """A preference loss of mmdpo.training.losses, called with the keywords that its function names."""

    def __init__(self, name: str) -> None:
        """Load the loss by the name of its file.

        Raises UserError if there is no such file, or if its function requires an unknown keyword.
        """
        self.name = name
        self._function: Callable[..., torch.Tensor] = CUSTOM_LOSSES.load(name)
        self._keywords = _keywords(name, self._function)

    def __call__(
        self, chosen_logratios: torch.Tensor, rejected_logratios: torch.Tensor, **offered: Any
    ) -> torch.Tensor:
        """Compute the mean loss of B pairs.

        Args:
            chosen_logratios: Log-probs of the chosen answers minus the reference's [B], in nats.
            rejected_logratios: The same of the rejected answers [B].
            **offered: A value for each of KEYWORDS.

        Returns:
            The mean over the pairs, a scalar.

        Raises:
            UserError: The function does not return one loss per pair.
        """
        values = {name: offered[name] for name in self._keywords}
        losses = self._function(chosen_logratios, rejected_logratios, **values)
        if losses.shape != chosen_logratios.shape:
            raise UserError(
                f"method.loss_type={self.name}: loss() returned the shape {list(losses.shape)}; it must return one "
                f"loss per pair, the shape {list(chosen_logratios.shape)}"
            )
        return losses.mean()


def is_custom_loss(name: str | None) -> bool:
    """Return whether `method.loss_type` names a file of mmdpo.training.losses.

    Raises UserError if TRL has a loss of that name, too.
    """
    if name not in CUSTOM_LOSSES.names():
        return False
    if name in LOSSES:
        raise UserError(
            f"method.loss_type={name}: both TRL and mmdpo/training/losses/{name}.py have a loss of this name; rename "
            "the file"
        )
    return True


def loss_fingerprint(name: str | None) -> str | None:
    """Hash the file of a custom loss; None for TRL's losses, and for SFT."""
    if name is None or not is_custom_loss(name):
        return None
    module = importlib.import_module(f"{CUSTOM_LOSSES.package}.{name}")
    return file_fingerprint(Path(str(module.__file__)))


def _keywords(name: str, function: Callable[..., Any]) -> list[str]:
    """List the keywords to call the function with. Raises UserError for a required one that is unknown."""
    parameters = list(inspect.signature(function).parameters.values())[2:]
    unknown = [
        parameter.name
        for parameter in parameters
        if parameter.name not in KEYWORDS
        and parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_KEYWORD
    ]
    if unknown:
        raise UserError(
            f"method.loss_type={name}: loss() requires {', '.join(unknown)}; it can get {', '.join(KEYWORDS)}. Give "
            "other keywords a default."
        )
    return [parameter.name for parameter in parameters if parameter.name in KEYWORDS]
