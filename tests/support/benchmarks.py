"""Small files of our own in the formats of all benchmarks, as `bench.root` holds them."""

from __future__ import annotations

from pathlib import Path

from tests.support.bench_alpaca_eval import write_alpaca_eval
from tests.support.bench_amber import write_amber
from tests.support.bench_llava_bench import write_llava_bench
from tests.support.bench_mm_vet import write_mm_vet
from tests.support.bench_mmbench import write_mmbench
from tests.support.bench_mmhal import write_mmhal
from tests.support.bench_mt_bench import write_mt_bench, write_photos
from tests.support.bench_pope import write_pope, write_repope

TASKS = (
    *("mt_bench", "mt_bench_noisy", "alpaca_eval", "mm_vet", "llava_bench"),
    *("pope", "repope", "mmbench", "amber", "mmhal"),
)


def write_benchmarks(root: Path) -> Path:
    """Write the files and images of all ten tasks below a folder."""
    write_photos(root)
    for write in (
        *(write_mt_bench, write_alpaca_eval, write_mm_vet, write_llava_bench),
        *(write_pope, write_repope, write_mmbench, write_amber, write_mmhal),
    ):
        write(root)
    return root
