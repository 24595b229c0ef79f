"""Compare the answers of benchmarks with generating one by one, and in plain batches.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py cuda            # on a GPU, and the same in bfloat16:
    python benchmarks/evaluation.py cuda bfloat16

A random LLaVA with 576 image tokens answers in float32 on one core. Its embeddings and output head are set so that it
answers in two ways:

- short: 18 questions about each of two images, as in POPE. Every answer is one of two words, by the content of image
  and question, and an end token;
- long: 56 questions of 10 to 60 words, with answers of about 100 tokens (at most 256), sampled at temperature 1 with a
  seed per answer, so that no contender knows the length of an answer before it ends;
- described: 12 such questions about an image each. Here the image is most of the work of all contenders: it costs as
  much as 40 tokens of an answer.

All contenders answer the same requests in one process, one after the other. Figures are CPU-seconds, on a GPU seconds.
The first two requests are a warm-up, in which mmdpo also tests once whether the architecture allows what it does; that
is a figure of its own. In float32 every answer of mmdpo must be the one that is generated alone; in bfloat16 a tie can
change an answer, in plain batches as well, and the table shows the share of equal ones.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from random_llava import WORDS, Widths, random_llava, save_noise

from mmdpo.config.schema import ModelConfig
from mmdpo.models.library_output import suppress_library_output
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Prompt

WIDTHS = Widths(512, 1376, 8, 3, 256, 4)
IMAGES, QUESTIONS, SHORT_LIMIT = 2, 18, 8  # short answers
LONG, DESCRIBED, LONG_LIMIT, LENGTH = 56, 12, 256, 70  # long answers, and their mean length
BATCH = 32
EXPECTED = ("w0", "w1")
CONTENDERS = {"alone": "one by one", "plain": "batches of `generate`", "ours": "mmdpo"}
Answers = list[str]


def main(options: list[str]) -> None:
    """Measure; print a table, and the figures as JSON.

    Args:
        options: `cuda` for a GPU, and `bfloat16` for that type of the model.
    """
    unknown = [option for option in options if option not in ("cuda", "bfloat16")]
    if unknown:
        raise SystemExit(f"{' '.join(unknown)}: unknown; allowed are cuda and bfloat16")
    import numpy as np
    import torch

    from mmdpo.models.loading import load_processor

    torch.set_num_threads(1)
    rng = random.Random(0)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with suppress_library_output():
            model = random_llava(folder, WIDTHS).eval()
            if "bfloat16" in options:
                model = model.bfloat16()
            if "cuda" in options:
                model = model.cuda()
            processor = load_processor(ModelConfig(path=scratch))
        noise = np.random.default_rng(0)
        for number in range(DESCRIBED):
            save_noise(folder / f"{number}.png", noise)
        short, long, described = (
            short_requests(rng),
            long_requests(rng, LONG, False),
            long_requests(rng, DESCRIBED, True),
        )
        answer_at_length(model, processor, long)
        figures = {
            "long": compare(model, processor, long, folder),
            "described": compare(model, processor, described, folder),
        }
        answer_in_one_word(model, processor, short[:6], folder)
        figures["short"] = compare(model, processor, short, folder)
    unit = "s" if "cuda" in options else "CPU s"
    for name, title in (
        ("short", f"{QUESTIONS} short questions about each of {IMAGES} images"),
        ("long", f"{LONG} long answers, batches of {BATCH}"),
        ("described", f"{DESCRIBED} long answers about an image each"),
    ):
        figure = figures[name]
        print(f"{title:<44}{unit:>8}{'ratio':>8}{'equal answers':>16}")
        for contender, label in CONTENDERS.items():
            seconds = figure["seconds"][contender]
            ratio = seconds / figure["seconds"]["ours"]
            print(f"{label:<44}{seconds:>8.2f}{ratio:>7.1f}x{figure['equal'][contender]:>16.1%}")
    print(f"Tests of the architecture, once per process: {figures['short']['tests']:.1f} {unit}.")
    print(json.dumps(figures))


def words(rng: random.Random, low: int, high: int) -> str:
    """Return words of the vocabulary other than the expected answers."""
    return " ".join(f"w{rng.randrange(len(EXPECTED), WORDS)}" for _ in range(rng.randint(low, high)))


def short_requests(rng: random.Random) -> list[GenerationRequest]:
    """Return questions with an answer of one word."""
    return [
        GenerationRequest(Prompt(f"{image}/{number}", words(rng, 10, 20), (f"{image}.png",)), 0, SHORT_LIMIT, EXPECTED)
        for image in range(IMAGES)
        for number in range(QUESTIONS)
    ]


def long_requests(rng: random.Random, count: int, images: bool) -> list[GenerationRequest]:
    """Return questions whose answers have all lengths, with an image each or without any."""
    return [
        GenerationRequest(
            Prompt(f"{images}/{number}", words(rng, 10, 60), (f"{number}.png",) if images else ()), 1, LONG_LIMIT
        )
        for number in range(count)
    ]


def answer_at_length(model: Any, processor: Any, requests: Sequence[GenerationRequest]) -> None:
    """Set embeddings and output head so that an answer ends after every token with about the same probability."""
    model.get_input_embeddings().weight.data[:, 0] += 0.5
    constant = last_hidden(model, processor, requests, Path())[:, 0].mean()
    end = processor.tokenizer.eos_token_id
    model.get_output_embeddings().weight.data[end, 0] += math.log(WORDS / LENGTH) / constant


def answer_in_one_word(model: Any, processor: Any, requests: Sequence[GenerationRequest], images: Path) -> None:
    """Set embeddings and output head so that one of the expected answers and an end token follow a prompt."""
    import torch

    embeddings, head = model.get_input_embeddings().weight.data, model.get_output_embeddings().weight.data
    start, after = torch.eye(embeddings.shape[1]).to(embeddings)[1:3] * 5
    first, second, colon, end = processor.tokenizer.convert_tokens_to_ids([*EXPECTED, "ASSISTANT:", "</s>"])
    embeddings[colon] += start
    for token in (first, second):
        embeddings[token] += after
    head[end] = after
    hidden = last_hidden(model, processor, requests, images)
    mean = hidden.mean(dim=0)
    question = torch.linalg.svd(hidden - mean, full_matrices=False)[2][0]  # what the questions differ in most
    question -= mean * (question @ mean) / (mean @ mean)
    question = question.to(head)
    head[first], head[second] = start + question, start - question


def last_hidden(model: Any, processor: Any, requests: Sequence[GenerationRequest], images: Path) -> Any:
    """Return the state from which the first token of each answer is computed."""
    import torch

    from mmdpo.models.generate import model_inputs

    with torch.inference_mode():
        states = [
            model.model(**model_inputs(model, processor, [request.prompt], images)).last_hidden_state[0, -1]
            for request in requests
        ]
    return torch.stack(states).float().clone()


def compare(model: Any, processor: Any, requests: Sequence[GenerationRequest], images: Path) -> dict[str, Any]:
    """Return seconds and the share of answers that are equal to those that are generated alone."""
    import torch

    from mmdpo.models.engine import ModelEngine
    from mmdpo.models.generate import Decoding, generate

    def plain(size: int) -> Callable[[Sequence[GenerationRequest]], Answers]:
        def answer(asked: Sequence[GenerationRequest]) -> Answers:
            decoding = Decoding(asked[0].max_new_tokens or 0, size, asked[0].temperature)
            return generate(model, processor, [request.prompt for request in asked], images, decoding)

        return answer

    def ours(asked: Sequence[GenerationRequest]) -> Answers:
        found = dict(engine.answer(asked, images))
        return [found[index].text for index in range(len(asked))]

    engine = ModelEngine(model, processor, BATCH, 0, 0)
    contenders = {"alone": plain(1), "plain": plain(BATCH), "ours": ours}
    warm_up, seconds, answers = {}, {}, {}
    for name, run in contenders.items():
        began = clock(model)
        run(requests[:2])
        warm_up[name] = clock(model) - began
        began = clock(model)
        answers[name] = run(requests)
        seconds[name] = clock(model) - began
    alone = answers["alone"]
    equal = {name: statistics.mean(map(str.__eq__, found, alone)) for name, found in answers.items()}
    assert equal["ours"] == 1 or model.dtype != torch.float32, (
        f"{equal['ours']:.1%} of the answers are those that are generated alone"
    )
    lengths = [len(text.split()) for text in alone]
    return {
        "seconds": seconds,
        "equal": equal,
        "tests": warm_up["ours"] - warm_up["plain"],
        "different_answers": len(set(alone)),
        "mean_length": statistics.mean(lengths),
    }


def clock(model: Any) -> float:
    """Return this process's CPU-seconds or, once a GPU has finished its work, seconds."""
    import torch

    if model.device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main(sys.argv[1:])
