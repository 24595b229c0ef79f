"""Printed report of `python -m mmdpo doctor`: what `mmdpo.sources.doctor` finds, and the next command."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mmdpo.config.choices import TrainOn
from mmdpo.config.schema import DataConfig
from mmdpo.console import print_wrapped
from mmdpo.errors import UserError
from mmdpo.records import Conversation, LabelledAnswer, PreferencePair, SftExample
from mmdpo.sources.conversations import marked_texts
from mmdpo.sources.doctor import Finding, Location, Sample, examine, reads_file


@dataclass(frozen=True)
class Renderer:
    """Function that renders the prompt of a record as a model gets it, and the override that names the model."""

    model: str
    render: Callable[[Conversation], str]


NOT_DECODED = "Images of rows that are not needed exist, but were not decoded."


def print_report(
    data: DataConfig,
    train_on: TrainOn,
    judge: str,
    overrides: Sequence[str],
    console: Console,
    renderer: Renderer | None = None,
) -> bool:
    """Print a section per source while it is read.

    Args:
        data: The data to examine.
        train_on: The kind of training set that the method makes of them.
        judge: Name of the judge, for the next command.
        overrides: Overrides as typed, for the next command.
        console: Console to print to.
        renderer: What renders a sample as the model gets it; None if no model is there.

    Returns:
        Whether a run could use the data as they are.
    """
    if not reads_file(data) and not data.sources:
        print_wrapped(console, f"data={data.name} needs no files: its questions and images are generated.")
        _print_command(console, "Next:", _launch_command(data, judge, overrides))
        return True
    findings = []
    for finding in examine(data, train_on):
        findings.append(finding)
        _print_finding(console, finding, renderer)
    bad = [finding for finding in findings if not finding.good]
    if not bad:
        _print_command(console, f"data={data.name}: complete. Next:", _launch_command(data, judge, overrides))
    else:
        fitting = [word for finding in bad for override in finding.fitting[:1] for word in override.split()]
        missing = [location for finding in bad for location in finding.missing]
        _print_advice(console, data, missing, [*_without(overrides, ("data.format=",) if fitting else ()), *fitting])
    return not bad


def _print_finding(console: Console, finding: Finding, renderer: Renderer | None) -> None:
    title = "source " if finding.kind == "prompts" else "data="
    print_wrapped(console, f"{title}{finding.name}: {finding.kind}, format {finding.format}", style="bold")
    for location in finding.locations:
        _print_location(console, location, finding.columns)
    if finding.read is not None:
        _print_counts(console, finding)
    if finding.sample is not None:
        _print_sample(console, finding.sample, finding.fitting[:1], renderer)
    if finding.problem is not None:
        print_wrapped(console, "  wrong", style="red")
        for line in finding.problem.splitlines():
            print_wrapped(console, _printable(line), indent=4)
    console.print()


def _print_location(console: Console, location: Location, columns: Sequence[str]) -> None:
    style = "red" if location.missing else "green" if location.path else ""
    print_wrapped(console, f"  {location.content:<8}{location.state}", style=style)
    if location.path is not None:
        print_wrapped(console, f"    {location.path}")
    if location.missing:
        print_wrapped(console, f"expected: {location.expected}", indent=4)
        if location.content == "rows":
            print_wrapped(console, f"fields: {', '.join(columns)}", indent=4)
        print_wrapped(console, f"    {'or ' if location.path else ''}type {location.advice}")
    elif location.advice:
        print_wrapped(console, f"    type {location.advice} if rows name images")


def _print_counts(console: Console, finding: Finding) -> None:
    dropped = sum(finding.dropped.values())
    width = max(len(f"{number:,}") for number in (finding.read or 0, finding.wanted or 0, finding.kept))
    counts = [("read", finding.read or 0, "")]
    if finding.kind == "prompts":  # several rows may make one pair, so pairs have no count of kept rows
        counts.append(("kept", finding.kept, ""))
    counts.append(("dropped", dropped, ""))
    wanted = "" if finding.wanted is None else f" of {finding.wanted:,} wanted"
    after = f", after the first {finding.offset:,}" if finding.offset else ""
    counts.append((finding.kind, finding.found, wanted + after))
    for name, number, suffix in counts:
        short = name == finding.kind and finding.found < (finding.wanted or 1)
        print_wrapped(console, f"  {name:<8}{number:>{width},}{suffix}", style="red" if short else "")
        if name == "dropped":
            _print_reasons(console, finding)
    for label, number in finding.labels.items():
        print_wrapped(console, f"    {number:>{width},}  label {label}")
    if finding.unused:
        print_wrapped(console, f"columns not used: {', '.join(finding.unused)}", indent=2)
    if finding.kept > finding.found + finding.offset:
        print_wrapped(console, NOT_DECODED, indent=2, style="dim")


def _print_reasons(console: Console, finding: Finding) -> None:
    ranked = sorted(finding.dropped.items(), key=lambda item: (-item[1], item[0]))
    width = max((len(f"{number:,}") for number in finding.dropped.values()), default=0)
    for reason, number in ranked:
        print_wrapped(console, f"    {number:>{width},}  {reason}")
        print_wrapped(console, f"first: {_printable(finding.firsts[reason])}", indent=6 + width, style="dim")


def _print_sample(console: Console, sample: Sample, fitting: Sequence[str], renderer: Renderer | None) -> None:
    print_wrapped(console, f"  sample{f', with {fitting[0]}' if fitting else ''}")
    for name, value in [("id", sample.id), *_texts(sample.record)]:
        line = Text(f"    {name:<10}{_printable(value)}")
        line.truncate(console.width, overflow="ellipsis")
        console.print(line, soft_wrap=True)
    for path, size in sample.images:
        print_wrapped(console, "    {:<10}{} x {} pixels".format("image", *size))
        print_wrapped(console, f"      {path}")
    if renderer is None:
        return
    try:
        rendered = renderer.render(sample.record)
    except UserError as error:
        rendered = str(error)
    print_wrapped(console, f"    as {renderer.model} sees it, up to the answer")
    for shown in rendered.splitlines():
        print_wrapped(console, f"      {_printable(shown, indented=True)}")


def _texts(record: Conversation) -> Iterator[tuple[str, str]]:
    """Yield the texts of a record by name, with a marker for each image that does not stand before all of them."""
    if record.system:
        yield "system", record.system
    plain = dataclasses.replace(record, images=()) if not record.image_positions else record
    *earlier, question = marked_texts(plain)
    for index, text in enumerate(earlier):
        yield ("user", "assistant")[index % 2], text
    yield "question", question
    if isinstance(record, PreferencePair):
        yield "chosen", record.chosen
        yield "rejected", record.rejected
    elif isinstance(record, SftExample | LabelledAnswer):
        yield "answer", record.answer
    if isinstance(record, LabelledAnswer):
        yield "label", str(record.label).lower()


def _printable(text: str, indented: bool = False) -> str:
    """Put a text on one line and remove control characters; its spaces are kept if it is `indented`."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown.rstrip() if indented else " ".join(shown.split())


def _print_advice(console: Console, data: DataConfig, missing: list[Location], overrides: Sequence[str]) -> None:
    command = ["python", "-m", "mmdpo", "doctor"]
    if not missing:
        _print_command(console, "Fix what is wrong, or follow the advice above. Then run again:", command, overrides)
        return
    count = "1 file or folder is missing" if len(missing) == 1 else f"{len(missing)} files or folders are missing"
    if data.root is not None and all(_is_below(location.path, data.root) for location in missing):
        print_wrapped(console, f"{count}. They are expected below")
        print_wrapped(console, f"  {Path(data.root).absolute()}")
        typed = _without(overrides, ("data.root=",))
        _print_command(console, "Put them there or choose another folder. Then:", command, [*typed, "data.root=DIR"])
        return
    typed = _without(overrides, tuple(f"{location.key}=" for location in missing))
    advice = [location.advice for location in missing]
    _print_command(console, f"{count}. Then run again:", command, [*typed, *advice])


def _is_below(path: Path | None, root: str) -> bool:
    return path is not None and path.is_relative_to(root)


def _without(overrides: Sequence[str], keys: tuple[str, ...]) -> list[str]:
    return [override for override in overrides if not override.lstrip("+").startswith(keys)]


def _launch_command(data: DataConfig, judge: str, overrides: Sequence[str]) -> list[str]:
    """Return the dry run of these overrides. The oracle rates synthetic prompts only."""
    typed = [override for override in overrides if not override.startswith(("judge=", "dry_run="))]
    judges = [override for override in overrides if override.startswith("judge=")]
    if data.sources and judge == "oracle":
        judges = ["judge=gemini"]
    return ["python", "launch.py", *typed, *judges, "dry_run=true"]


def _print_command(console: Console, text: str, command: Sequence[str], overrides: Sequence[str] = ()) -> None:
    print_wrapped(console, text)
    print_wrapped(console, f"  {shlex.join([*command, *overrides])}", style="bold")
