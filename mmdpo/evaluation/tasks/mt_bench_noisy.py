"""Noisy-image MT-Bench: MT-Bench with an unrelated image before the first turn, or before each turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmdpo.config.choices import NoiseImage
from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.bench_files import BenchFile, find_file, require_file
from mmdpo.evaluation.fastchat import QUESTIONS, answer_writer, read_answers, read_judgments, read_questions
from mmdpo.evaluation.noise import choose_photo, list_photos, write_noise
from mmdpo.evaluation.rubrics.mt_bench import readings_of, upstream_scores
from mmdpo.evaluation.task import TURN_IMAGES, TURNS, Upstream
from mmdpo.evaluation.tasks.mt_bench import TASK as MT_BENCH
from mmdpo.records import Prompt

PHOTOS = BenchFile(
    "mt_bench_photos",
    "mt_bench_noisy/photos/",
    "photographs of any kind, such as some of COCO train2017",
    "that of the photographs",
    used=lambda bench: bench.noise is NoiseImage.photo,
)


def samples(bench: BenchConfig, folder: Path) -> list[Prompt]:
    """Read the questions, and write an image for each into the folder."""
    photos = _photos(bench)
    prompts = []
    for prompt in read_questions(bench):
        names = []
        for key in _keys(prompt, bench):
            names.append(f"images/{key}.png")
            photo = choose_photo(photos, f"{bench.seed} {key}") if photos else None
            write_noise(folder / names[-1], bench.noise, f"{bench.seed} {key}", photo)
        later = {TURN_IMAGES: names[1:]} if bench.noise_per_turn else {}
        prompts.append(replace(prompt, images=(names[0],), facts={**prompt.facts, **later}))
    return prompts


def chosen_photos(bench: BenchConfig) -> list[Path]:
    """List the photographs that the settings choose, in the order of the questions; none while a file is missing."""
    if bench.noise is not NoiseImage.photo or not (find_file(bench, QUESTIONS) and find_file(bench, PHOTOS)):
        return []
    photos = _photos(bench)
    keys = [key for prompt in read_questions(bench) for key in _keys(prompt, bench)]
    return [choose_photo(photos, f"{bench.seed} {key}") for key in keys]


def _photos(bench: BenchConfig) -> Sequence[Path]:
    """List the photographs to choose from; none for other kinds of images."""
    if bench.noise is not NoiseImage.photo:
        return ()
    return list_photos(require_file(bench, PHOTOS), f"bench.files.{PHOTOS.key}")


def _keys(prompt: Prompt, bench: BenchConfig) -> list[str]:
    """Name the images of a question; the names choose the images."""
    turns = len(prompt.facts[TURNS]) if bench.noise_per_turn else 1
    return [prompt.id, *(f"{prompt.id}_turn_{turn}" for turn in range(2, turns + 1))]


TASK = replace(
    MT_BENCH,
    label="MT-Bench, unrelated image",
    samples=samples,
    files=chosen_photos,
    bench_files=(*MT_BENCH.bench_files, PHOTOS),
    reads=(*MT_BENCH.reads, "noise", "noise_per_turn"),
    text_only=False,
    upstream=Upstream(
        upstream_scores, answer_writer("mt_bench_noisy"), read_answers, read_judgments, readings=readings_of
    ),
    minus="mt_bench",
    order=110,
)
