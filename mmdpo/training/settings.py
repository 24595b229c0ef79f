"""Settings of one training: its axes, and the config groups that it uses."""

from __future__ import annotations

from dataclasses import dataclass

from mmdpo.config.choices import TrainOn
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
        """True if the training uses a preference loss; otherwise it is SFT."""
        return self.method.train_on is TrainOn.pairs

    @property
    def averages_logps(self) -> bool:
        """True if the loss averages log-probs over an answer's tokens instead of summing them."""
        return self.method.loss_type == "sigmoid" and bool(self.logprob_avg)
