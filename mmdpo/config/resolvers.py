"""Functions that the YAML files of conf/ use in interpolations."""

from __future__ import annotations

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


def register_resolvers() -> None:
    """Make `${unless_local:URL,VALUE}` known: the value, or null if the URL leads to this machine."""
    OmegaConf.register_new_resolver("unless_local", _unless_local, replace=True)
