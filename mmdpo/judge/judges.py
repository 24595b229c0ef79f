"""The judges by name. Their libraries are loaded when one is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmdpo.cache import cache_root
from mmdpo.clients.client import Client
from mmdpo.config.schema import JudgeConfig
from mmdpo.errors import UserError
from mmdpo.judge.local import RULES, LocalJudge, Rate


def _gemini(judge: JudgeConfig) -> Client:
    if judge.batch:
        from mmdpo.clients.gemini_batch import GeminiBatches

        return GeminiBatches(judge)
    from mmdpo.clients.gemini import GeminiJudge

    return GeminiJudge(judge)


def _gemini_legacy(judge: JudgeConfig) -> Client:
    from mmdpo.clients.gemini_legacy import LegacyGeminiJudge

    return LegacyGeminiJudge(judge)


def _openai(judge: JudgeConfig) -> Client:
    from mmdpo.judge.openai import OpenAIJudge

    return OpenAIJudge(judge)


SERVICES: dict[str, Callable[[JudgeConfig], Client]] = {
    "gemini": _gemini,
    "gemini_legacy": _gemini_legacy,
    "openai": _openai,
}


def client_of(judge: JudgeConfig) -> Client:
    """The judge that `judge=` names. Raises UserError for a missing key or library."""
    if judge.name in RULES:
        return LocalJudge(RULES[judge.name])
    return SERVICES[judge.name](judge)


def rule_named(name: str) -> Rate:
    """The rules of a judge that needs no service, which `bench.judge=` names."""
    if name not in RULES:
        raise UserError(f"judge {name!r} is unknown here; allowed are {', '.join(RULES)}")
    return RULES[name]


def journal_of(judge: JudgeConfig) -> Path | None:
    """Where a judge's journal lies; None for one of rules, which is asked anew for nothing."""
    if judge.name in RULES:
        return None
    return Path(judge.journal) if judge.journal else cache_root() / "journals" / f"{judge.name}.sqlite"
