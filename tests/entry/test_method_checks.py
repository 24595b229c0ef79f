"""Checks of losses and labels, before anything starts."""

from __future__ import annotations

import pytest

from mmdpo.config.losses import depends_on_micro_batch, weighted_losses
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "facts"),
    [
        (["method.losses.sft=1"], ["method.loss_type=null"]),
        (["method.loss_type=null"], ["method.loss_type is missing"]),
        (["method.loss_type=null", "method.losses={sigmod:1}"], ["sigmod", "sigmoid"]),
        (["method=mpo", "method.losses.sft=0"], ["method.losses.sft"]),
        (["method=mpo", "method.fine_grained=true"], ["method.fine_grained=true"]),
        (["method=mpo", "method.label_smoothing=0.1"], ["method.label_smoothing=0.1", "robust"]),
        (["method.loss_type=null", "method.losses={hinge:1}", "logprob_avg=true"], ["logprob_avg=true"]),
        (["method.loss_type=null", "method.losses={sigmoid:1,sigmoid_norm:1}", "logprob_avg=true"], ["sigmoid_norm"]),
        (["method=mpo", "method.losses={sigmoid:1}"], ["~method.losses.bco_pair ~method.losses.sft"]),
        (["method=mpo", "method.losses={}"], ["~method.losses.sigmoid"]),
        (["method.loss_type=null", "method.losses={sft:1,hinge:1,sft:2}"], ["sft twice"]),
        (["method=sft", "method.losses.sft=1"], ["method=sft"]),
        (["method.loss_type=kto"], ["method=kto"]),
        (["method=kto", "method.loss_type=sigmoid"], ["method.loss_type=kto"]),
        (["method=kto", "pairs.rule=all"], ["pairs.rule=all", "pairs.desirable="]),
        (["method=kto", "train.per_device_train_batch_size=1"], ["train.per_device_train_batch_size=1"]),
        (["method=kto", "method.desirable_weight=0"], ["method.desirable_weight"]),
        (["model.quantization=int3"], ["nf4"]),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_type(overrides: list[str], facts: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        compose_config(overrides)
    assert all(fact in str(raised.value) for fact in facts), str(raised.value)


def test_losses_and_their_weights() -> None:
    assert weighted_losses(compose_config(["method=mpo"]).method) == {"bco_pair": 0.2, "sft": 1.0, "sigmoid": 0.8}
    assert weighted_losses(compose_config([]).method) == {"sigmoid": 1.0}
    assert weighted_losses(compose_config(["method=sft"]).method) == {}
    own = compose_config(["method.loss_type=null", "method.losses={apo_zero:1,sigmoid:0.5}", "logprob_avg=true"])
    assert weighted_losses(own.method) == {"apo_zero": 1.0, "sigmoid": 0.5}
    fewer = compose_config(["method=dpo_sft", "method.losses={sft:2}", "~method.losses.sigmoid"])
    assert weighted_losses(fewer.method) == {"sft": 2.0}
    dependent = {
        name: depends_on_micro_batch(compose_config([f"method={name}"]).method) for name in ("dpo", "mpo", "kto")
    }
    assert dependent == {"dpo": False, "mpo": True, "kto": True}
