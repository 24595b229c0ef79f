"""Processes that answer the samples of one point together: one per GPU, as torchrun or srun started them.

Each stores the answers to its share. The first one collects them, and answers itself what another one leaves. They
exchange nothing but files, so that a process that has ended blocks no other.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from mmdpo.activity import report_waiting
from mmdpo.config.shard import Shard
from mmdpo.console import print_line
from mmdpo.evaluation.answer_store import AnswerStore

PATIENCE_SECONDS = 600.0
"""A process that has stored no answer for so long, and for as long as the own share took, is not waited for."""

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Peers:
    """The processes of one launch.

    Attributes:
        count: The number of processes.
        launch: A name of the launch, which no other launch has.
    """

    count: int
    launch: str

    def shard(self, rank: int) -> Shard:
        """Return the share of a process."""
        return Shard(rank + 1, self.count)

    def part_of(self, shard: Shard, rank: int) -> Shard:
        """Return the share of a process where several launches share a point's samples (`bench.shard`)."""
        return Shard((shard.number - 1) * self.count + rank + 1, shard.count * self.count)

    def writer(self, rank: int) -> str:
        """Return the name of a process's file of answers."""
        return f"process-{self.shard(rank).label}"

    def wait(self, store: AnswerStore, seconds: float) -> None:
        """Wait until the others have stored their shares, or store nothing any longer.

        Args:
            store: The stored answers.
            seconds: The duration of the own share.
        """
        patience = max(seconds, PATIENCE_SECONDS)
        waiting = {self.writer(rank): (0, time.monotonic()) for rank in range(1, self.count)}
        try:
            while True:
                store.read()
                for writer, (size, since) in [*waiting.items()]:
                    if store.finished(writer) == self.launch:
                        del waiting[writer]
                    elif store.size(writer) != size:
                        waiting[writer] = (store.size(writer), time.monotonic())
                    elif time.monotonic() - since > patience:
                        print_line(
                            f"{writer} has stored no answer for {patience / 60:.0f} min; the first process continues"
                        )
                        del waiting[writer]
                if not waiting:
                    return
                report_waiting(f"the answers of {len(waiting)} other processes")
                time.sleep(POLL_SECONDS)
        finally:
            report_waiting(None)
