"""Errors of single rows, and the collection that reports many of them in one message."""

from __future__ import annotations

from collections import Counter

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.images import NoImage

MAX_LISTED = 10
"""Rows that an error message quotes; the others are only counted."""


class BadRow(ValueError):
    """A row that cannot be used. Rows are counted by `reason`; `detail` describes this one."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the reason and the detail; the message is both."""
        super().__init__(f"{reason}; {detail}")
        self.reason = reason
        self.detail = detail


class BadImage(BadRow):
    """A row whose image is missing or cannot be decoded."""

    def __init__(self, error: UserError) -> None:
        """Derive the reason from the error of `mmdpo.images`."""
        state = "no such file" if isinstance(error, NoImage) else "not usable"
        super().__init__(f"field 'image': {state}", str(error))


class SkippedRow(BadRow):
    """A correct row that is not needed here. It is counted with the bad rows, but is never an error."""


class BadRows:
    """Collect bad rows, so that one error message can report all of them.

    Attributes:
        reasons: Number of rows per reason, with skipped rows.
        firsts: Place and detail of the first row per reason.
    """

    def __init__(self) -> None:
        """Start without rows."""
        self.reasons: Counter[str] = Counter()
        self.firsts: dict[str, str] = {}
        self._errors = 0
        self._listed: list[str] = []

    def add(self, place: str, error: BadRow) -> None:
        """Count a bad row; `place` names its file and row number."""
        self.reasons[error.reason] += 1
        self.firsts.setdefault(error.reason, f"{place}: {error.detail}")
        if isinstance(error, SkippedRow):
            return
        self._errors += 1
        if len(self._listed) < MAX_LISTED:
            self._listed.append(f"{place}: {error}")

    def check(self, read: int, kept: int, on_bad_row: OnBadRow) -> None:
        """Raise an error if bad rows are not allowed, or if no row can be used.

        Args:
            read: Number of rows that were read.
            kept: Number of records that were made of them.
            on_bad_row: The setting `data.on_bad_row`.

        Raises:
            UserError: Rows are bad and `on_bad_row` is `error`, or nothing is left.
        """
        if self._errors and (on_bad_row is OnBadRow.error or not kept):
            advice = "fix them"
            if on_bad_row is OnBadRow.error and self._errors < read:
                advice += ", or type data.on_bad_row=drop to continue without them"
            more = self._errors - len(self._listed)
            rest = [f"... and {more} more"] if more else []
            raise UserError("\n".join([f"{self._errors} of {read} rows are wrong; {advice}", *self._listed, *rest]))
        if not kept:
            counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(self.reasons.items()))
            raise UserError(f"none of {read} rows can be used ({counts})")
