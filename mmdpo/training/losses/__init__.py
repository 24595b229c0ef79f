"""Preference losses that TRL does not have, one file per loss.

A file `NAME.py` in this folder defines a pure function `loss`, and `method.loss_type=NAME` trains with it. The sigmoid
loss of DPO (arXiv 2305.18290, eq. 7) would be:

    import torch
    from torch.nn import functional


    def loss(chosen_logratios: torch.Tensor, rejected_logratios: torch.Tensor, *, beta: float) -> torch.Tensor:
        return -functional.logsigmoid(beta * (chosen_logratios - rejected_logratios))

It gets the log-prob of each chosen and each rejected answer minus the reference's, [B] in nats, and returns the loss of
each pair [B], of which the trainer takes the mean. It may name any of these keywords, and gets those that it names:

- `beta`: the axis `beta`;
- `label_smoothing`: `method.label_smoothing`;
- `chosen_logps`, `rejected_logps` [B]: log-probs of the answers under the trained model, in nats;
- `chosen_tokens`, `rejected_tokens` [B]: number of tokens of the answers.

Any other keyword needs a default, which is then a constant of the loss. `mmdpo/training/custom_loss.py` calls it.
"""
