"""What is kept of wrong rows: how many there were of each kind, and the first few in full."""

from __future__ import annotations

from collections import Counter

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.sources.rows import BadRow, Unfit

LISTED = 10  # wrong rows that an error spells out; the others are counted


class Wrong:
    """Collects wrong rows, so that one error at the end can name many."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.firsts: dict[str, str] = {}  # the first row of each reason, in full
        self._faults = 0
        self._listed: list[str] = []

    def add(self, place: str, error: BadRow) -> None:
        self.reasons[error.reason] += 1
        self.firsts.setdefault(error.reason, f"{place}: {error.detail}")
        if isinstance(error, Unfit):
            return
        self._faults += 1
        if len(self._listed) < LISTED:
            self._listed.append(f"{place}: {error}")

    def settle(self, read: int, kept: int, on_bad_row: OnBadRow) -> None:
        """Raise UserError where rows are wrong and must not be, or where none is left."""
        if self._faults and (on_bad_row is OnBadRow.error or not kept):
            advice = "mend them"
            if on_bad_row is OnBadRow.error and self._faults < read:
                advice += ", or type data.on_bad_row=drop to go on without them"
            more = self._faults - len(self._listed)
            rest = [f"... and {more} more"] if more else []
            head = f"{self._faults} of {read} rows are wrong; {advice}"
            raise UserError("\n".join([head, *self._listed, *rest]))
        if not kept:
            counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(self.reasons.items()))
            raise UserError(f"none of {read} rows can be used ({counts})")
