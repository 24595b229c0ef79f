"""Functions that the YAML files of conf/ use in interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from omegaconf import OmegaConf


def is_local(url: str | None) -> bool:
    """Return whether a URL leads to this machine, as those of rehearsal servers do."""
    try:
        host = urlsplit(url or "").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _unless_local(url: str | None, value: Any) -> Any:
    return None if is_local(url) else value


def _first_or(name: str, names: Sequence[str]) -> str:
    return name if name in names or not names else str(names[0])


def register_resolvers() -> None:
    """Make the functions known.

    `${unless_local:URL,VALUE}` is the value, or null if the URL leads to this machine. `${first_or:NAME,LIST}` is the
    name if the list holds it or is empty, else its first entry.
    """
    OmegaConf.register_new_resolver("unless_local", _unless_local, replace=True)
    OmegaConf.register_new_resolver("first_or", _first_or, replace=True)
