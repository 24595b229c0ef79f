"""Check a command line before Hydra composes it: keys that do not exist and presets that cannot be chosen.

Hydra would answer an unknown key with the advice to add it, and would take a built-in preset for one of the same name
in the user's own directory without a message. This module is on the path of `launch.py --cfg job`: it must stay light.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmdpo.config.group_aliases import spelled_out
from mmdpo.config.keys import key_problem
from mmdpo.config.new_sources import with_new_sources
from mmdpo.config.presets import set_own_directory
from mmdpo.config.schema import CONF, GROUPS, SWEEPS
from mmdpo.entry.halving import halving_overrides
from mmdpo.entry.override_values import value_problems
from mmdpo.entry.search import check_plugins, is_search, search_overrides
from mmdpo.env_secrets import refuse_secret_words, refuse_secrets
from mmdpo.errors import UserError

SWEEP = "sweep"


def check_command(arguments: Sequence[str]) -> list[str]:
    """Check the arguments of launch.py, and return those for Hydra, with what a searching sweeper needs.

    Raises UserError naming every problem.
    """
    from hydra._internal.utils import get_args_parser

    arguments = spelled_out(arguments)
    options = get_args_parser().parse_args(arguments)
    refuse_secret_words(arguments)
    if options.help or options.hydra_help or options.shell_completion:
        return arguments
    check_plugins(options.overrides)
    refuse_unparsable(options.overrides)
    check_overrides(options.overrides)
    if options.config_dir is not None:
        check_directory(Path(options.config_dir))
        set_own_directory(Path(options.config_dir).resolve())
    if not options.multirun and is_search(options.overrides):
        raise UserError("hydra/sweeper=: a search needs -m, as in python launch.py -m ...")
    return [*with_new_sources(arguments), *search_overrides(options.overrides), *halving_overrides(options.overrides)]


def check_overrides(overrides: Iterable[str]) -> None:
    """Raise UserError for every override with an unknown key or a value of a wrong type, with what to type."""
    texts = list(overrides)
    problems = dict.fromkeys(filter(None, map(override_problem, texts)))
    if not problems:
        problems = dict.fromkeys(value_problems(texts))
    if problems:
        raise UserError("\n".join(problems))


def refuse_unparsable(overrides: Iterable[str]) -> None:
    """Raise UserError for an override that Hydra cannot parse, such as one with a second = outside of quotes."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for text in overrides:
        try:
            parser.parse_override(text)
        except HydraException as error:
            reason = next(iter(str(error).splitlines()), "")
            raise UserError(
                f"{text}: cannot be parsed ({reason}); values with = or spaces stand in quotes, as in "
                "\"search.keep_points=['beta=0.1']\""
            ) from error


def override_problem(override: str) -> str | None:
    """Describe what is wrong with the key of an override such as `+train.x=1` or `~model.lr.dpo`, or return None."""
    key = override.partition("=")[0].strip().lstrip("+~")
    if "=" not in override and not override.startswith("~"):
        return None  # Hydra's parser describes it
    if not key or not key.replace(".", "").replace("_", "").isidentifier():
        return None  # hydra/launcher, group@package, or a mistake that Hydra's parser describes
    if key in GROUPS or key in (SWEEP, "hydra") or key.startswith("hydra."):
        return None
    return key_problem(key)


def check_directory(directory: Path) -> None:
    """Check the presets of the user's directory.

    Raises UserError if one has the name of a built-in one, which Hydra would use, or holds a secret of the environment.
    """
    if not directory.is_dir() or directory.resolve() == CONF:
        return  # Hydra names a missing directory
    presets = [file for group in (*GROUPS, SWEEP) for file in (directory / group).glob("*.yaml") if file.is_file()]
    refuse_secrets((str(file), file.read_text(encoding="utf-8", errors="replace")) for file in presets)
    folders = {group: CONF / group for group in GROUPS} | {SWEEP: SWEEPS}
    problems = [
        f"{file}: {group}={file.stem} is a built-in preset, which would be used instead; rename the file"
        for group, built_in in folders.items()
        for file in sorted((directory / group).glob("*.yaml"))
        if (built_in / file.name).is_file()
    ]
    if problems:
        raise UserError("\n".join(problems))


def check_preset(file: Path, group: str | None, content: Any) -> None:
    """Raise UserError for every key of a user's YAML file that the config does not have.

    Args:
        file: The file, for the message.
        group: The group whose keys the file holds, or None if its keys stand at the root of the config.
        content: The file's content: nested mappings.
    """
    prefix = f"{group}." if group else ""
    if group == "bench" and isinstance(content, dict) and isinstance(content.get("judge"), str):
        judge = content["judge"]
        raise UserError(f"{file}: judge: {judge} is a group now; write `defaults: [override /judge@judge: {judge}]`")
    keys = [f"{prefix}{key}" for key in _leaves(content) if key.partition(".")[0] not in ("", "hydra", "defaults")]
    problems = [f"{file}: {problem}" for key in keys if (problem := key_problem(key)) is not None]
    if problems:
        raise UserError("\n".join(problems))


def _leaves(content: Any, prefix: str = "") -> Iterable[str]:
    if not isinstance(content, dict) or not content:
        yield prefix.rstrip(".")
        return
    for name, value in content.items():
        yield from _leaves(value, f"{prefix}{name}.")
