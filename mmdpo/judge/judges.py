"""Judges by the name of their client or rules, which are imported when one is made."""

from __future__ import annotations

from pathlib import Path

from mmdpo.cache import cache_root
from mmdpo.clients.client import Client
from mmdpo.config.choices import BENCH_RULES, CLIENTS, RULES
from mmdpo.config.schema import JudgeConfig
from mmdpo.judge.rule_client import Rate, RuleClient


def client_of(judge: JudgeConfig) -> Client:
    """Return the client that `judge.client` names. Raises UserError for a missing key or library."""
    if judge.client in RULES.names():
        return RuleClient(RULES.load(judge.client))
    client: Client = CLIENTS.load(judge.client)(judge)
    return client


def rule_named(name: str) -> Rate:
    """Return the rules that `bench.judge` names. Raises UserError naming the choices."""
    rate: Rate = BENCH_RULES.load(name)
    return rate


def journal_of(judge: JudgeConfig) -> Path | None:
    """Return the file of a judge's journal; None for rules, which cost nothing to ask again."""
    if judge.client in RULES.names():
        return None
    return Path(judge.journal) if judge.journal else cache_root() / "journals" / f"{judge.client}.sqlite"
