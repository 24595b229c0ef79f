"""Scripts and data of the pages, written so that no text of a model can end or start one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmdpo.console import printable
from mmdpo.files import atomic_write

ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""Letters that end a script or a line of one, as JSON writes them."""


def to_script(value: Any) -> str:
    """Write a value as JSON that may stand in a script, in an HTML page as well."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(ESCAPES)


def to_printable(value: Any) -> Any:
    """Return a value of dicts, lists and texts with control characters as visible escapes."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {to_printable(key): to_printable(one) for key, one in value.items()}
    return [to_printable(one) for one in value] if isinstance(value, list | tuple) else value


def policy(scripts: Sequence[str], styles: Sequence[str], data_files: bool = False) -> str:
    """Return the Content-Security-Policy of a page: its own scripts and styles, images, and nothing else.

    Args:
        scripts: The texts of the page's scripts.
        styles: The texts of its styles.
        data_files: Whether scripts and images beside the page are loaded, too.
    """
    beside = "'self' file: " if data_files else ""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {beside}{_digests(scripts)}",
            f"style-src {_digests(styles)}",
            f"img-src {beside}data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digests(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


@cache
def source(*names: str) -> str:
    """Return the files of this package by their names, one behind the other."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


def trusted(text: str) -> Any:
    """Mark a text of this package, or one that was escaped, as one that a template writes as it is."""
    from markupsafe import Markup

    return Markup(text)


def fill_template(template: str, **values: Any) -> str:
    """Fill a template of this package; all texts are escaped, and control characters are made visible."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mmdpo.analysis.page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,  # macros and scripts are so already
    )
    return environment.get_template(template).render(**values)


def write_if_changed(path: Path, text: str) -> None:
    """Write a file, unless it has this content already."""
    content = text.encode("utf-8")
    try:
        if path.read_bytes() == content:
            return
    except OSError:
        pass
    with atomic_write(path) as aside:
        aside.write_bytes(content)
