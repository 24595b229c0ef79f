"""Settings of one training: its axes, and the config groups that it uses."""

from __future__ import annotations

from dataclasses import dataclass

from mmdpo.config.choices import TrainOn
from mmdpo.config.losses import weighted_losses
from mmdpo.config.schema import MethodConfig, ModelConfig, TrainConfig


@dataclass(frozen=True)
class TrainingSettings:
    """Settings that a training depends on, besides its data."""

    method: MethodConfig
    model: ModelConfig
    train: TrainConfig
    lr: float
    beta: float | None = None  # of preference losses
    logprob_avg: bool | None = None  # of the sigmoid loss: average log-probs over an answer's tokens
    seed: int = 0

    @property
    def trains_on_pairs(self) -> bool:
        """True if the training uses a loss of pairs."""
        return self.method.train_on is TrainOn.pairs

    @property
    def trains_on_labels(self) -> bool:
        """True if the training uses a loss of labelled answers."""
        return self.method.train_on is TrainOn.labelled

    @property
    def trains_on_answers(self) -> bool:
        """True for supervised fine-tuning, whose loss is divided by the tokens of a step."""
        return not (self.trains_on_pairs or self.trains_on_labels)

    @property
    def averages_logps(self) -> bool:
        """True if the sigmoid loss averages log-probs over an answer's tokens instead of summing them."""
        return "sigmoid" in weighted_losses(self.method) and bool(self.logprob_avg)
