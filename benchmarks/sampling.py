"""Compare self-sampling with generating one completion at a time, as the paper's authors did.

    python benchmarks/sampling.py

All contenders answer the same prompts of the miniature, one after the other in one process on one core. One of them
uses batches but computes image and prompt again for each completion, which shows the effect of sharing alone. A figure
is the median of the rounds.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmdpo.models.generate import Decoding, generate_several
from mmdpo.models.library_output import suppress_library_output
from mmdpo.records import Completion, Prompt
from mmdpo.sources import nano

PROMPTS, COMPLETIONS, ROUNDS = 64, 4, 3


def main() -> None:
    """Measure; print a table, and the figures as JSON."""
    import torch

    from mmdpo.entry.compose import compose_config
    from mmdpo.models.loading import load_model, load_processor

    torch.set_num_threads(1)
    config = compose_config()
    with suppress_library_output():
        model = load_model(config.model.path, "float32").eval()
        processor = load_processor(config.model)
    together = Decoding(config.data.sampling.max_new_tokens, PROMPTS, temperature=0.7)
    alone = replace(together, batch_size=1)
    seconds: dict[str, list[float]] = {"one": [], "batched": [], "shared": []}
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prompts = nano.prompts("preference", PROMPTS, 0, folder)

        def several(decoding: Decoding, share: bool) -> Callable[[], list[list[Completion]]]:
            return lambda: generate_several(model, processor, prompts, folder, decoding, COMPLETIONS, share)

        def one_by_one() -> list[list[Completion]]:
            return [_one_by_one(prompt) for prompt in prompts]

        def _one_by_one(prompt: Prompt) -> list[Completion]:
            return [
                generate_several(model, processor, [prompt], folder, replace(alone, seed=seed), 1)[0][0]
                for seed in range(COMPLETIONS)
            ]

        contenders = {
            "one": one_by_one,
            "batched": several(together, False),
            "shared": several(together, True),
        }
        for round_ in range(ROUNDS + 1):
            texts = {}
            for name, run in contenders.items():
                began = time.perf_counter()
                texts[name] = run()
                if round_:  # the first round is a warm-up
                    seconds[name].append(time.perf_counter() - began)
            assert texts["batched"] == texts["shared"]
    median = {name: statistics.median(values) for name, values in seconds.items()}
    count = PROMPTS * COMPLETIONS
    print(f"{PROMPTS} prompts, {COMPLETIONS} completions each              s   completions/s   ratio")
    for name, label in (
        ("one", "one prompt, one completion at a time"),
        ("batched", "batched"),
        ("shared", "batched, prefix computed once (mmdpo)"),
    ):
        value = median[name]
        print(f"{label:40}{value:6.2f}{count / value:16.1f}{value / median['shared']:7.2f}x")
    print(json.dumps({"seconds": median, "times_one": median["one"] / median["shared"]}))


if __name__ == "__main__":
    main()
