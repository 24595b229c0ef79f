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
        errors: Number of bad rows, without skipped rows.
    """

    def __init__(self) -> None:
        """Start without rows."""
        self.reasons: Counter[str] = Counter()
        self.firsts: dict[str, str] = {}
        self.errors = 0
        self._listed: list[str] = []

    def add(self, place: str, error: BadRow) -> None:
        """Count a bad row; `place` names its file and row number."""
        self.reasons[error.reason] += 1
        self.firsts.setdefault(error.reason, f"{place}: {error.detail}")
        if isinstance(error, SkippedRow):
            return
        self.errors += 1
        if len(self._listed) < MAX_LISTED:
            self._listed.append(f"{place}: {error}")

    def check(self, read: int, kept: int, on_bad_row: OnBadRow, hint: str = "") -> None:
        """Raise an error if bad rows are not allowed, or if no row can be used.

        Args:
            read: Number of rows that were read.
            kept: Number of records that were made of them.
            on_bad_row: The setting `data.on_bad_row`.
            hint: Advice for a file in another format. With it, the message has one row per reason.

        Raises:
            UserError: Rows are bad and `on_bad_row` is `error`, or nothing is left.
        """
        if self.errors and (on_bad_row is OnBadRow.error or not kept):
            advice = "fix them"
            if on_bad_row is OnBadRow.error and self.errors < read:
                advice += ", or type data.on_bad_row=drop to continue without them"
            more = self.errors - len(self._listed)
            rest = [f"... and {more} more"] if more else []
            wrong = f"{self.errors} of {read} rows are wrong; "
            if hint:
                examples = [place.partition(": ")[0] + f": {reason}" for reason, place in self.firsts.items()]
                raise UserError("\n".join([wrong + hint, *examples[:MAX_LISTED]]))
            raise UserError("\n".join([wrong + advice, *self._listed, *rest]))
        if not kept:
            counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(self.reasons.items()))
            raise UserError(f"none of {read} rows can be used ({counts})")
