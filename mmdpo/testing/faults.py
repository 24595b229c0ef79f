"""The fault script of a rehearsal server."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Collection
from hashlib import sha256

from mmdpo.errors import UserError

GOOD = "good"
"""A call without a fault, for use between faults: good:5,daily_quota:1."""
ENTRY = re.compile(r"([a-z_0-9]+):(?:(\d+)|(\d+(?:\.\d+)?)%)")


class Faults:
    """The faults of a script such as `throttled:3,busy:10%`."""

    def __init__(self, script: str, known: Collection[str], seed: int = 0) -> None:
        """Parse the script.

        Args:
            script: `NAME:COUNT` for consecutive calls, in the script's order; `NAME:SHARE%` for a share of the prompts,
                on the first call of each.
            known: Names of the server's faults.
            seed: Seed of the shares.

        Raises:
            UserError: For an unknown name or form; names the choices.
        """
        self.seed = seed
        self.met: Counter[str] = Counter()
        self._counted: list[list[str | int]] = []
        self._shares: list[tuple[str, float]] = []
        self._struck: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        for entry in filter(None, (piece.strip() for piece in script.split(","))):
            found = ENTRY.fullmatch(entry)
            if not found or found[1] not in {GOOD, *known}:
                raise UserError(
                    f"fault {entry!r} is unknown; allowed are NAME:COUNT and NAME:SHARE%, as in "
                    f"throttled:3 or busy:10%, with one of {', '.join([GOOD, *sorted(known)])}"
                )
            if found[2]:
                self._counted.append([found[1], int(found[2])])
            else:
                self._shares.append((found[1], float(found[3]) / 100))

    def next(self, prompt: str, has_image: bool) -> str:
        """Return the fault of this call, or GOOD.

        Args:
            prompt: Digest of the prompt.
            has_image: Whether an image was sent; only then it can be refused.
        """
        with self._lock:
            name = self._due(prompt, has_image)
            self.met[name] += 1
            return name

    def _due(self, prompt: str, has_image: bool) -> str:
        while self._counted and not self._counted[0][1]:
            self._counted.pop(0)
        if self._counted:
            name, left = self._counted[0]
            if name == "image_refused" and not has_image:
                return GOOD
            self._counted[0][1] = int(left) - 1
            return str(name)
        for name, share in self._shares:
            if name == "image_refused" and not has_image:
                continue
            mark = (name, prompt)
            if mark not in self._struck and self._chance(name, prompt) < share:
                self._struck.add(mark)
                return name
        return GOOD

    def _chance(self, name: str, prompt: str) -> float:
        drawn = sha256(f"{self.seed} {name} {prompt}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") / 2**64
