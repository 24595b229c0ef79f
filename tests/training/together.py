"""One rank of a distributed training: `python -m tests.training.together MODEL IMAGES OUT JSON`.

JSON holds settings of tiny_settings, and `die_after`: the step after which a process exits with code 1; and
`two_of_a_prompt`: whether every two pairs have the same prompt; `labelled`: whether to train by KTO on their answers;
and `stock`: whether plain TRL does so.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import sys
import weakref
from pathlib import Path
from typing import Any

from mmdpo.config.choices import AdapterUse, TrainOn
from mmdpo.records import LabelledAnswer, PreferencePair
from tests.support.tiny import Tiny, tiny_pairs, tiny_settings

KTO = {"method__loss_type": "kto", "method__train_on": TrainOn.labelled, "logprob_avg": None}


def labelled(pair: PreferencePair, index: int) -> LabelledAnswer:
    """One answer of a pair: of every third the rejected one."""
    label = index % 3 != 0
    return LabelledAnswer(pair.id, pair.question, pair.chosen if label else pair.rejected, label, pair.images)


def main(model: str, images: str, out: str, settings: str) -> None:
    import torch

    from mmdpo.models.quantization import load_training_base
    from mmdpo.training import run, start
    from mmdpo.training.distributed import rank

    torch.set_num_threads(1)
    overrides: dict[str, Any] = json.loads(settings)
    last = overrides.pop("die_after", None)
    if "model__adapter_use" in overrides:
        overrides["model__adapter_use"] = AdapterUse(overrides["model__adapter_use"])
    folder = Path(out)
    folder.mkdir(exist_ok=True)

    def log(metrics: dict[str, float], step: int) -> None:
        if rank() == 0:
            with (folder / "log.jsonl").open("a") as lines:
                lines.write(json.dumps([step, metrics]) + "\n")
        if step == last:
            os._exit(1)

    def resumed(step: int) -> None:
        if rank() == 0:
            (folder / "resumed").write_text(str(step))

    loaded: list[weakref.ref[Any]] = []

    def load(*given: Any) -> Any:
        model = load_training_base(*given)
        loaded.append(weakref.ref(model))
        return model

    run.load_training_base = start.load_training_base = load  # type: ignore[attr-defined]
    pairs = tiny_pairs(Path(images), text_only=overrides.pop("text_only", 3))
    for first, second in zip(pairs[::2], pairs[1::2], strict=True) if overrides.pop("two_of_a_prompt", False) else ():
        index = pairs.index(second)
        pairs[index] = dataclasses.replace(first, id=second.id, rejected=second.rejected)
    examples: list[Any] = pairs
    if overrides.pop("labelled", False):
        examples, overrides = [labelled(pair, index) for index, pair in enumerate(pairs)], overrides | KTO
    if overrides.pop("stock", False):
        from tests.training.test_kto import stock

        given = Tiny(Path(model), pairs, Path(images))
        for number, step in enumerate(stock(given, tiny_settings(Path(model), **overrides), folder, examples)[0]):
            log(step, number + 1)
        return
    found = run.train_adapter(tiny_settings(Path(model), **overrides), examples, Path(images), folder, log, resumed)
    if rank() == 0:
        (folder / "prompts").write_text(f"{found.prompts} of {found.examples}, shared: {found.prefix_sharing}")
    gc.collect()
    assert loaded
    assert not any(model() for model in loaded), "the model is still in memory"


if __name__ == "__main__":
    main(*sys.argv[1:])
