"""A judge's journal, open for one process alone, and which limits apply to the judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdpo.clients.journal import Journal, journal
from mmdpo.config.resolvers import is_local
from mmdpo.config.schema import JudgeConfig
from mmdpo.console import print_line
from mmdpo.judge.judges import journal_of
from mmdpo.locks import hold_lock


@contextmanager
def locked_journal(judge: JudgeConfig) -> Iterator[Journal]:
    """Open the judge's journal for this process alone: limits and budget are those of one account."""
    path = journal_of(judge)
    with _locked(path), journal(path) as opened:
        yield opened


@contextmanager
def known_replies(judge: JudgeConfig) -> Iterator[Journal]:
    """Open the judge's journal to read; one that does not exist is empty."""
    path = journal_of(judge)
    with journal(path if path is not None and path.exists() else None, read_only=True) as opened:
        yield opened


def print_limits(judge: JudgeConfig, key: str = "judge") -> None:
    """Say that a service's limits do not apply to a server on this machine; `key` names the judge's settings."""
    limits, price = judge.limits, judge.price
    limited = limits.requests_per_minute or limits.tokens_per_minute or limits.requests_per_day
    if is_local(judge.base_url) and (price.input or price.output) and not limited:
        print_line(
            f"{key}.base_url={judge.base_url} is on this machine: the service's limits do not apply; type "
            f"{key}.limits.requests_per_minute=N to set one"
        )


@contextmanager
def _locked(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:  # the journal itself reports it
        yield
        return
    with hold_lock(Path(f"{path}.lock"), "asks the same judge"):
        yield
