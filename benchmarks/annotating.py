"""Measure the time and memory of annotation without the judge's, and the used share of a quota.

    python benchmarks/annotating.py [RECORDS]

The records are generated on demand, with four completions each; the journal is a file, as in a real run. There is no
comparison: no other library keeps a journal.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mmdpo.clients.journal import journal
from mmdpo.config.schema import JudgeConfig, LimitsConfig
from mmdpo.judge.annotate import annotate
from mmdpo.judge.items import Item
from mmdpo.judge.rule_client import RuleClient
from mmdpo.judge.rules.longer import rate
from mmdpo.records import Completion, Prompt

RECORDS = 1_000_000
REQUESTS_PER_MINUTE, SECONDS = 1200, 20  # the quota, and the duration of its measurement
WARM_UP = 10_000  # records before the first measurement of memory


def items(count: int) -> Iterator[Item]:
    """Generate prompts with four completions of about 60 words."""
    for number in range(count):
        name = f"prompt-{number}"
        words = f"word{number} " * 60
        texts = [f"{words}{index} {'more ' * index}" for index in range(4)]
        yield (
            Prompt(name, f"What is in picture {number}?"),
            [Completion(name, index, text) for index, text in enumerate(texts)],
        )


def memory() -> float:
    """Return the current memory of this process (MiB)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def overhead(folder: Path, count: int) -> dict[str, float]:
    """Measure milliseconds per record, to ask and to read, and the memory after the first records and at most."""
    seen: list[float] = []
    asked = 0

    def advance(more: int) -> None:
        nonlocal asked
        asked += more
        if asked == WARM_UP or asked % 100_000 == 0:
            seen.append(memory())

    judge = JudgeConfig("longer", "longer", limits=LimitsConfig(concurrency=1))
    began = time.perf_counter()
    with journal(folder / "journal.sqlite") as opened:
        made = annotate(lambda: items(count), count, folder, judge, RuleClient(rate), opened, advance)
        scored = sum(1 for _ in made)
    seconds = time.perf_counter() - began
    assert scored == count
    seen.append(memory())
    return {
        "records": count,
        "ms_per_record": 1000 * seconds / count,
        "mib_at_first": seen[0],
        "mib_at_most": max(seen),
        "journal_mib": (folder / "journal.sqlite").stat().st_size / (1 << 20),
    }


def quota(folder: Path) -> dict[str, float]:
    """Measure the share of a quota per minute that is used while there is work."""
    limits = LimitsConfig(requests_per_minute=REQUESTS_PER_MINUTE, concurrency=8)
    judge = JudgeConfig("longer", "longer", limits=limits)
    count = REQUESTS_PER_MINUTE * SECONDS // 60
    began = time.perf_counter()
    with journal(folder / "quota.sqlite") as opened:
        list(annotate(lambda: items(count), count, folder, judge, RuleClient(rate), opened))
    seconds = time.perf_counter() - began
    return {"quota_used": (count - 1) / (REQUESTS_PER_MINUTE / 60) / seconds}


def main() -> None:
    """Measure; print a table, and the figures as JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        figures = {**overhead(Path(folder), count), **quota(Path(folder))}
    print(f"{figures['records']:,.0f} records, four completions each, a judge without latency")
    print(f"  per record        {figures['ms_per_record']:8.3f} ms, asked, journaled and read back")
    print(f"  memory            {figures['mib_at_first']:8.0f} MiB after {WARM_UP:,} records")
    print(f"                    {figures['mib_at_most']:8.0f} MiB at most")
    print(f"  journal           {figures['journal_mib']:8.0f} MiB")
    print(f"a quota of {REQUESTS_PER_MINUTE} requests per minute, measured for {SECONDS} s")
    print(f"  used              {100 * figures['quota_used']:8.1f} %")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
