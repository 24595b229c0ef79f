"""`python -m mmdpo doctor`: prints what `mmdpo.sources.doctor` finds, and what to type next."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mmdpo.config.schema import DataConfig
from mmdpo.sources.doctor import Finding, Place, Sample, examine, holds_pairs

DECODED = "Images of rows that are not needed are known to be there; they are not decoded."


def report(data: DataConfig, judge: str, overrides: Sequence[str], console: Console) -> bool:
    """Print a part for each source as it is read; returns whether all is there and good."""
    if not holds_pairs(data) and not data.sources:
        _say(console, f"data={data.name} needs no files: its questions and pictures are drawn.")
        _command(console, "Next:", _launch(data, judge, overrides))
        return True
    findings = []
    for finding in examine(data):
        findings.append(finding)
        _part(console, finding)
    bad = [finding for finding in findings if not finding.good]
    if not bad:
        _command(console, f"data={data.name}: all there. Next:", _launch(data, judge, overrides))
    else:
        _advise(console, data, [place for finding in bad for place in finding.missing], overrides)
    return not bad


def _part(console: Console, finding: Finding) -> None:
    of_what, how = ("data=", "format") if finding.kind == "pairs" else ("source ", "reader")
    _say(console, f"{of_what}{finding.name}: {finding.kind}, {how} {finding.form}", style="bold")
    for place in finding.places:
        _place(console, place, finding.columns)
    if finding.read is not None:
        _counts(console, finding)
    if finding.sample is not None:
        _sample(console, finding.sample)
    if finding.problem is not None:
        _say(console, "  wrong", style="red")
        for line in finding.problem.splitlines():
            _say(console, _plain(line), indent=4)
    console.print()


def _place(console: Console, place: Place, columns: Sequence[str]) -> None:
    style = "red" if place.missing else "green" if place.path else ""
    _say(console, f"  {place.what:<8}{place.state}", style=style)
    if place.path is not None:
        _say(console, f"    {place.path}")
    if place.missing:
        _say(console, f"expected: {place.wants}", indent=4)
        if place.what == "rows":
            _say(console, f"fields: {', '.join(columns)}", indent=4)
        _say(console, f"    {'or ' if place.path else ''}type {place.advice}")
    elif place.advice:
        _say(console, f"    type {place.advice} where rows name images")


def _counts(console: Console, finding: Finding) -> None:
    dropped = sum(finding.dropped.values())
    widest = max(len(f"{number:,}") for number in (finding.read or 0, finding.wanted or 0, finding.kept))
    counts = [("read", finding.read or 0, "")]
    if finding.kind == "prompts":  # a row of pairs may make several, or be a part of one
        counts.append(("kept", finding.kept, ""))
    counts.append(("dropped", dropped, ""))
    taken = "" if finding.wanted is None else f" of {finding.wanted:,} wanted"
    after = f", after the first {finding.offset:,}" if finding.offset else ""
    counts.append((finding.kind, finding.found, taken + after))
    for name, number, more in counts:
        short = name == finding.kind and finding.found < (finding.wanted or 1)
        _say(console, f"  {name:<8}{number:>{widest},}{more}", style="red" if short else "")
        if name == "dropped":
            _reasons(console, finding)
    if finding.unused:
        _say(console, f"columns not used: {', '.join(finding.unused)}", indent=2)
    if finding.kept > finding.found + finding.offset:
        _say(console, DECODED, indent=2, style="dim")


def _reasons(console: Console, finding: Finding) -> None:
    ranked = sorted(finding.dropped.items(), key=lambda item: (-item[1], item[0]))
    widest = max((len(f"{number:,}") for number in finding.dropped.values()), default=0)
    for reason, number in ranked:
        _say(console, f"    {number:>{widest},}  {reason}")
        _say(console, f"first: {_plain(finding.firsts[reason])}", indent=6 + widest, style="dim")


def _sample(console: Console, sample: Sample) -> None:
    _say(console, "  sample")
    for name, value in {"id": sample.id, **sample.texts}.items():
        line = Text(f"    {name:<10}{_plain(value)}")
        line.truncate(console.width, overflow="ellipsis")
        console.print(line, soft_wrap=True)
    if sample.image is not None and sample.size is not None:
        _say(console, "    {:<10}{} x {} pixels".format("image", *sample.size))
        _say(console, f"      {sample.image}")


def _plain(text: str) -> str:
    """The text on one line, without what would steer the terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _advise(console: Console, data: DataConfig, missing: list[Place], overrides: Sequence[str]) -> None:
    command = ["python", "-m", "mmdpo", "doctor"]
    if not missing:
        _command(console, "Mend what is wrong, or type what is advised above; then again:", command, overrides)
        return
    root = Path(os.environ.get("MMDPO_DATA", "data"))
    count = "1 thing is missing" if len(missing) == 1 else f"{len(missing)} things are missing"
    if data.name == "paper" and all(place.path and place.path.is_relative_to(root) for place in missing):
        stated = "is not set" if "MMDPO_DATA" not in os.environ else "is set"
        _say(console, f"{count}. $MMDPO_DATA {stated}; files are expected under")
        _say(console, f"  {root.absolute()}")
        line = f"MMDPO_DATA=DIR {shlex.join([*command, *overrides])}"
        _say(console, "Put them there or name another folder; then again:")
        _say(console, f"  {line}", style="bold")
        return
    keys = tuple(f"{place.key}=" for place in missing)
    typed = [override for override in overrides if not override.lstrip("+").startswith(keys)]
    again = [*typed, *(place.advice for place in missing)]
    _command(console, f"{count}. Then again:", command, again)


def _launch(data: DataConfig, judge: str, overrides: Sequence[str]) -> list[str]:
    """The line that says what a run would do; the oracle knows drawn pictures only."""
    typed = [override for override in overrides if not override.startswith(("judge=", "dry_run="))]
    judges = [override for override in overrides if override.startswith("judge=")]
    if data.sources and data.path is None and judge == "oracle":
        judges = ["judge=gemini"]
    return ["python", "launch.py", *typed, *judges, "dry_run=true"]


def _command(console: Console, says: str, command: Sequence[str], overrides: Sequence[str] = ()) -> None:
    _say(console, says)
    _say(console, f"  {shlex.join([*command, *overrides])}", style="bold")


def _say(console: Console, text: str, indent: int | None = None, style: str = "") -> None:
    """A line as it is, or one that is broken between words only, where it is to be indented."""
    if indent is not None:
        space = " " * indent
        text = textwrap.fill(
            text,
            console.width,
            initial_indent=space,
            subsequent_indent=space,
            break_long_words=False,
            break_on_hyphens=False,
        )
    console.print(text, style=style or None, markup=False, soft_wrap=True)
